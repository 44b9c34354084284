"""One version number for both halves, whatever was left behind before.

Called under the ledger's lock; no other place creates versions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from framework.pairs.manifest import HALVES
from framework_mlflow.store.store import PENDING, STATE, VOID, Store

Voided = list[tuple[str, int]]


def create_versions(
    store: Store,
    name: str,
    level: int,
    sources: Mapping[str, str],
    run_id: str,
    tags: Mapping[str, str],
    step: Callable[[str], None] = lambda _: None,
) -> tuple[int, Voided]:
    """Create both halves under one number. Returns it and what had to be voided: ``(half,
    number)``.

    ``tags``: of both versions. ``level``: the highest number that is settled. MLflow gives each
    half the number after its own highest, never one that was deleted; a number above the level that
    it skips was left by a registration that did not finish. A half that lags behind is brought up
    with void versions. Nothing here is a pair before the ledger says so.
    """
    voided: Voided = []

    def create(half: str, settled: int) -> int:
        number = store.create_version(name, half, sources[half], run_id, {**tags, STATE: PENDING})
        step(f"{half} created")
        voided.extend(
            (half, gap)
            for gap in range(settled + 1, number)
            if store.tag(name, half, gap, STATE, VOID)
        )
        return number

    numbers = {half: create(half, level) for half in HALVES}
    while min(numbers.values()) <= level or len(set(numbers.values())) > 1:
        half = min(HALVES, key=lambda h: numbers[h])
        store.tag(name, half, numbers[half], STATE, VOID)
        voided.append((half, numbers[half]))
        numbers[half] = create(half, numbers[half])
    return numbers["model"], voided


def void_leftovers(store: Store, name: str, known: Collection[int]) -> tuple[int, Voided]:
    """Void every version that is no pair and not void yet. Returns the highest number there is, and
    what was voided.
    """
    voided: Voided = []
    highest = 0
    for half in HALVES:
        for number, tags in sorted(store.versions(name, half).items()):
            highest = max(highest, number)
            if (
                number not in known
                and tags.get(STATE) != VOID
                and store.tag(name, half, number, STATE, VOID)
            ):
                voided.append((half, number))
    return highest, voided


def why_void(half: str, number: int) -> str:
    return f"{half} version {number}: its registration never completed, or it has no twin"
