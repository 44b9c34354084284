"""Which pair a rollback goes back to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.errors import RegistryError
from framework.interfaces.registry import HistoryEntry
from framework.runs.rollback import previous_version


def _history(*moves: int | str) -> list[HistoryEntry]:
    """Moves to these versions; a text is another action in between."""
    return [
        HistoryEntry(
            "2024-01-01",
            "me",
            m if isinstance(m, str) else "move",
            "n",
            "prod",
            None,
            m if isinstance(m, int) else 99,
            None,
            None,
            None,
        )
        for m in moves
    ]


@pytest.mark.parametrize(
    ("moves", "before"),
    [
        ((1, 2), 1),
        ((1, 2, 3), 2),
        ((1, 2, 3, 2), 1),  # after a rollback the next one goes further back, not forth again
        ((1, 2, 3, 2, 1, 4), 1),
        ((1, 2, 2), 1),  # the same again is no move
        ((1, "refuse", 2, "register", "repair"), 1),
        ((5, 3, 7, 3), 5),
    ],
)
def test_the_version_below_on_the_stack(moves: tuple[int | str, ...], before: int) -> None:
    assert previous_version(_history(*moves), "n", "prod") == before


@pytest.mark.parametrize("moves", [(), (1,), (1, 1), (1, 2, 1), ("refuse", 4)])
def test_nothing_to_go_back_to(moves: tuple[int | str, ...]) -> None:
    with pytest.raises(RegistryError) as caught:
        previous_version(_history(*moves), "n", "prod")
    assert (
        str(caught.value)
        == "alias 'prod' of 'n' has no earlier pair to go back to; run=history alias=prod "
        "lists its moves."
    )


@given(versions=st.lists(st.integers(1, 50), min_size=2, max_size=12, unique=True))
def test_repeated_rollbacks_walk_back_to_the_first(versions: list[int]) -> None:
    moves, walked = list(versions), []
    for _ in versions[1:]:
        moves.append(previous_version(_history(*moves), "n", "prod"))
        walked.append(moves[-1])
    assert walked == versions[-2::-1]
    with pytest.raises(RegistryError):
        previous_version(_history(*moves), "n", "prod")
