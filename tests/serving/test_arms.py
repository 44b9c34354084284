"""Arms: whose an entity is, what a swap lets go, when a refused pair is tried again; keys and their
scopes.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections import Counter
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from framework.data.buckets import bucket_of
from framework.errors import ConfigError
from framework.serving.arms.arms import ArmTable
from framework.serving.http.access import Access, check_address
from framework.serving.http.asgi import Call
from framework.serving.http.refusal import Refusal
from framework.serving.options import AccessOptions, ServingOptions
from framework.serving.service import Service
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import make_deployment, make_row

ENTITIES = [(f"A{i}", f"C{j}") for i in range(200) for j in range(50)]


def make_service(directory: Path, **options: object) -> tuple[Service, FolderRegistry]:
    deployment = make_deployment(directory)
    registry = FolderRegistry(directory)
    for number, alias in ((4, "candidate"), (5, "other")):
        registry.add(number)
        registry.point(alias, number)
    return Service(deployment, ServingOptions.model_validate(options)), registry


def arms_of(table: ArmTable) -> dict[tuple[str, ...], str]:
    return {entity: table.of(entity).name for entity in ENTITIES}


def test_the_place_of_an_entity_is_fixed_for_ever() -> None:
    assert [bucket_of("shops", entity) for entity in (("harbour",), ("JFK", "DL"))] == [8944, 4771]
    assert bucket_of("a", ("bc", "d")) != bucket_of("a", ("b", "cd"))
    places = Counter(bucket_of("shops", entity) // 1000 for entity in ENTITIES)
    assert min(places.values()) > 900


def test_shares_are_kept_and_a_rising_canary_takes_from_the_served_pair_alone(
    tmp_path: Path,
) -> None:
    canary = {"alias": "candidate", "steps": [5]}
    service, _ = make_service(tmp_path, split={"other": 20}, canary=canary)
    before = arms_of(service.arms.table)
    assert abs(Counter(before.values())["other"] - 2000) < 200
    assert abs(Counter(before.values())["candidate"] - 500) < 100
    service.arms.weigh("candidate", 50)
    after = arms_of(service.arms.table)
    assert abs(Counter(after.values())["candidate"] - 5000) < 300
    moved = {(before[e], after[e]) for e in ENTITIES if before[e] != after[e]}
    assert moved == {("production", "candidate")}


def test_what_was_swapped_out_is_let_go_with_its_last_request(tmp_path: Path) -> None:
    service, registry = make_service(tmp_path)
    body = orjson.dumps({"rows": [make_row()]})
    held = service.arms.table.primary
    old, model = weakref.ref(held), weakref.ref(held.pipeline.pair.model)  # type: ignore[attr-defined]
    registry.point("production", 4)
    assert [entry["status"] for entry in service.follower.look()] == ["swapped"]
    answer = asyncio.run(service.answers.payload(body, Call("POST", "/predict", b"", {}, b"")))
    assert answer.pair == 4
    assert (
        len(asyncio.run(held.pipeline.read_payload(body))) == 1
    )  # a request that had begun goes on with it
    del held
    gc.collect()
    assert old() is None
    assert model() is None


def test_a_refused_pair_waits_longer_each_time_and_is_tried_at_once_when_the_alias_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("framework.serving.arms.follower.monotonic", lambda: now[0])
    service, registry = make_service(tmp_path, reload={"seconds": 2, "backoff": 5})
    opened: list[int] = []
    inner = service.follower._open

    def open_arm(alias: str, version: object) -> object:
        opened.append(version.version)  # type: ignore[attr-defined]
        return inner(alias, version)  # type: ignore[arg-type]

    monkeypatch.setattr(service.follower, "_open", open_arm)
    registry.change_byte(4)
    registry.point("production", 4)
    waits = []
    for _ in range(40):
        tries = len(opened)
        service.follower.look()
        if len(opened) > tries:
            waits.append(now[0])
        now[0] += 0.5
    assert [b - a for a, b in itertools.pairwise(waits)] == [2, 4, 5, 5]
    service.follower.look(insist=True)
    assert len(opened) == len(waits) + 1
    assert "version 4 is not served" in service.follower.troubles["production"]
    registry.point("production", 5)
    service.follower.look()
    assert opened[-1] == 5
    assert service.follower.troubles == {}


def test_keys_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = sha256(b"secret").hexdigest()
    monkeypatch.setenv(
        "FRAMEWORK_SERVING_KEYS",
        f"predict {hashed} a remark; metrics,admin {sha256(b'other').hexdigest()}  # more",
    )
    access = Access(AccessOptions())
    access(Call("POST", "/predict", b"", {b"authorization": b"Bearer secret"}, b""))
    access(Call("GET", "/health/live", b"", {}, b""))
    for path, key, status in (
        ("/admin/reload", b"secret", 403),
        ("/predict", b"other", 403),
        ("/predict", b"secret2", 401),
    ):
        with pytest.raises(Refusal) as refused:
            access(Call("POST", path, b"", {b"authorization": b"Bearer " + key}, b""))
        assert refused.value.status == status
    check_address("0.0.0.0", access, AccessOptions())
    with pytest.raises(ConfigError, match="both given"):
        Access(AccessOptions(keys_file=tmp_path / "keys"))
    monkeypatch.setenv("FRAMEWORK_SERVING_KEYS", "predict my-plain-key")
    with pytest.raises(ConfigError, match=r"FRAMEWORK_SERVING_KEYS, line 1: not a key") as wrong:
        Access(AccessOptions())
    assert "my-plain-key" not in str(wrong.value)


def test_an_address_of_loopback_needs_no_keys() -> None:
    access = Access(AccessOptions())
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        check_address(host, access, AccessOptions())
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(ConfigError, match="there are no keys"):
            check_address(host, access, AccessOptions())
    check_address("0.0.0.0", access, AccessOptions(open=True))
