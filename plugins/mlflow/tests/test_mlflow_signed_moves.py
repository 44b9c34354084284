"""A signed move says who pointed an alias at a pair: without one of a trusted key nothing loads
through the alias.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from framework_mlflow.ledger.history import follow
from framework_mlflow.ledger.signed_entries import sign_entry
from framework_mlflow.registry.registry import MlflowRegistry
from mlflow_cases import options_in
from mlflow_keys import Keys

from framework.errors import ConfigError, RefusedError
from framework.interfaces.registry import HistoryEntry
from framework.testing.contracts.drafts import install_fakes, make_draft
from framework.testing.servers import command

EXAMPLE = Path(__file__).parents[3] / "examples" / "project"
NEWEST = "WHERE number = 4"
#: What somebody who may write to the ledger may do, and what is said of it.
CHANGES = (
    (
        "UPDATE framework_aliases SET version = 1",
        "points at version 1, its newest move went to version 2",
    ),
    (f"UPDATE framework_history SET who = 'release@ci' {NEWEST}", "somebody changed it"),
    (f"UPDATE framework_history SET at = '2030-01-01' {NEWEST}", "somebody changed it"),
    (f"UPDATE framework_history SET previous = 'x' {NEWEST}", "somebody changed it"),
    (f"DELETE FROM framework_signatures {NEWEST}", "is not signed"),
    (f"UPDATE framework_signatures SET signature = '?' {NEWEST}", "somebody changed it"),
    ("DELETE FROM framework_history WHERE action = 'move'", "no move of it is recorded"),
)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def state(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "project" / "state"
    folder.mkdir(parents=True)
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


def signing(state: Path, key: str | None) -> MlflowRegistry:
    return MlflowRegistry(options_in(state, sign={"key": key}))


def trusting(state: Path, *keys: str, retired: tuple[str, ...] = ()) -> MlflowRegistry:
    return MlflowRegistry(options_in(state, trust=keys, retired=retired))


def register(registry: MlflowRegistry, folder: Path, count: int) -> None:
    for number in range(count):
        registry.register(make_draft(folder / f"draft-{number}"), "r")


def edit(state: Path, *statements: str) -> None:
    database = sqlite3.connect(state / "ledger.db")
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


def refusal(registry: MlflowRegistry, alias: str = "production") -> str:
    with pytest.raises(RefusedError) as raised:
        registry.resolve("fake", alias)
    text = str(raised.value)
    assert "\n" not in text
    assert f"run=alias alias={alias} version=" in text
    return text


def test_an_alias_is_followed_only_by_a_move_of_a_trusted_key(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    ours, theirs, nobody = (signing(state, key) for key in (keys.ours, keys.theirs, None))
    register(ours, tmp_path, 1)
    trusted = trusting(state, keys.trusted)
    nobody.move("fake", "production", 1, expected=None)
    assert "is not signed and registry.trust asks for a signature" in refusal(trusted)
    theirs.move("fake", "production", 1, expected=1)
    assert "which registry.trust does not list" in refusal(trusted)
    ours.move("fake", "production", 1, expected=1)
    assert trusted.resolve("fake", "production").version == 1
    assert trusted.resolve("fake", "latest") == trusted.resolve("fake", "1")
    assert trusting(state).resolve("fake", "production").version == 1
    statuses = [entry.signature and entry.signature["status"] for entry in trusted.history("fake")]
    assert statuses == ["trusted", "unsigned", "unknown", "trusted"]
    assert [entry.signature is None for entry in nobody.history("fake")] == [0, 1, 0, 0]
    assert trusted.verify() == []


def test_a_move_that_nothing_would_load_through_is_refused(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    """Where ``registry.trust`` is set, and what signs is missing or not believed there."""
    register(signing(state, keys.ours), tmp_path, 1)
    for sign, said in (
        ({}, "registry.sign.key is not set"),
        ({"key": keys.theirs}, "which registry.trust does not list: nothing would load"),
    ):
        registry = MlflowRegistry(options_in(state, trust=[keys.trusted], sign=sign))
        with pytest.raises(ConfigError, match=said) as raised:
            registry.move("fake", "production", 1, expected=None)
        assert "\n" not in str(raised.value)
    assert registry.pairs("fake")[0].aliases == ()


def test_a_ledger_that_somebody_changed_is_refused_and_told(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    ours = signing(state, keys.ours)
    register(ours, tmp_path, 2)
    ours.move("fake", "production", 1, expected=None)
    ours.move("fake", "production", 2, expected=1)
    trusted = trusting(state, keys.trusted)
    whole = tmp_path / "whole.db"
    for statement, said in CHANGES:
        shutil.copy(state / "ledger.db", whole)
        edit(state, statement)
        assert said in refusal(trusted), statement
        findings = trusted.verify()
        assert any(said in f.text and not f.repaired for f in findings), statement
        whole.rename(state / "ledger.db")  # another file: connections are opened anew
    assert trusted.verify() == []


def test_a_forged_move_is_refused_though_its_chain_is_whole(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    """Whoever may write to the ledger can compute hashes, and copy a signature, and cannot sign."""
    ours = signing(state, keys.ours)
    register(ours, tmp_path, 2)
    ours.move("fake", "production", 1, expected=None)
    ours.move("fake", "production", 2, expected=1)
    signing(state, None).move("fake", "production", 1, expected=2)  # hashed as any other
    trusted = trusting(state, keys.trusted)
    assert "is not signed" in refusal(trusted)
    copy = "INSERT INTO framework_signatures SELECT name, {}, key, signature FROM "
    edit(state, copy.format(5) + "framework_signatures WHERE number = 3")
    assert "somebody changed it" in refusal(trusted)
    finding = next(f for f in trusted.verify() if "alias 'production'" in f.text)
    assert "does not have the signature of the key" in finding.text
    trusted = MlflowRegistry(options_in(state, trust=[keys.trusted], sign={"key": keys.ours}))
    trusted.move("fake", "production", 1, expected=1)
    assert trusted.resolve("fake", "production").version == 1


def test_a_changed_entry_before_the_newest_move_is_told(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    ours = signing(state, keys.ours)
    register(ours, tmp_path, 1)
    ours.move("fake", "staging", 1, expected=None)
    ours.move("fake", "production", 1, expected=None)
    with ours.ledger.reading() as reader:
        first, *later = reader.links("fake")
    fields = {name: getattr(first.entry, name) for name in HistoryEntry.__dataclass_fields__}
    forged = follow(1, "", HistoryEntry(**{**fields, "who": "somebody else"}))
    edit(
        state,
        f"UPDATE framework_history SET who = 'somebody else', hash = '{forged.hash}' "
        "WHERE number = 1",
        f"UPDATE framework_history SET previous = '{forged.hash}' WHERE number = 2",
    )
    assert sign_entry(forged, ours._signing_key).key == later[0].signature.key  # type: ignore
    trusted = trusting(state, keys.trusted)
    trusted.resolve("fake", "production")
    texts = [finding.text for finding in trusted.verify()]
    assert any("entry 1 of the history" in text and "changed it" in text for text in texts), texts


def test_a_ledger_of_an_earlier_version_takes_signatures(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    register(signing(state, keys.ours), tmp_path, 1)
    signing(state, None).move("fake", "production", 1, expected=None)
    edit(state, "DROP TABLE framework_signatures")
    trusted = trusting(state, keys.trusted)
    assert "is not signed" in refusal(trusted)
    assert trusting(state).resolve("fake", "production").version == 1
    signing(state, keys.ours).move("fake", "production", 1, expected=1)
    assert trusted.resolve("fake", "production").version == 1
    assert signing(state, None).verify() == []


def test_the_proof_of_a_move_takes_at_most_5_ms(keys: Keys, state: Path, tmp_path: Path) -> None:
    ours = signing(state, keys.ours)
    register(ours, tmp_path, 1)
    ours.move("fake", "production", 1, expected=None)
    trusted = trusting(state, keys.trusted)
    trusted.resolve("fake", "production")
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        trusted.resolve("fake", "production")
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.005


def test_a_retired_key_needs_trusted_ones_and_signs_nothing(keys: Keys, state: Path) -> None:
    with pytest.raises(ValueError, match="retired: does nothing without trust"):
        trusting(state, retired=(keys.trusted,))
    options = options_in(
        state, sign={"key": keys.theirs}, trust=[keys.trusted], retired=[keys.untrusted]
    )
    with pytest.raises(ConfigError, match=r"registry\.sign\.key: registry\.retired lists this key"):
        MlflowRegistry(options).check_options()


def test_the_job_of_a_ci_service_is_named(
    keys: Keys, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FRAMEWORK_USER", "GITHUB_ACTIONS", "JENKINS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_JOB_URL", "https://git.example.org/team/forecasts/-/jobs/7")
    ours = signing(state, keys.ours)
    register(ours, tmp_path, 1)
    [entry] = trusting(state, keys.trusted).history("fake")
    assert entry.who == "https://git.example.org/team/forecasts/-/jobs/7"
    assert entry.signature == {"key": entry.signature["key"], "status": "trusted"}  # type: ignore


def test_a_rollback_to_a_pair_of_a_retired_key_must_name_it(
    keys: Keys, state: Path, tmp_path: Path
) -> None:
    """The command line: exit code 3 and one line; the pair that serves goes on being loaded."""
    project = state.parent
    shutil.copytree(EXAMPLE / "conf", project / "conf")
    install_fakes(project)
    old, new, nobody = (signing(state, key) for key in (keys.theirs, keys.ours, None))
    for number, registry in enumerate((old, new)):
        registry.register(make_draft(tmp_path / str(number), "shops"), "r")
    old.move("shops", "production", 1, expected=None)
    before = trusting(state, keys.trusted, retired=(keys.untrusted,))
    assert before.fetch(before.resolve("shops", "production")).retired_key
    new.move("shops", "production", 2, expected=1)

    def run(*arguments: str, code: int) -> dict[str, Any]:
        trust = (f"registry.trust=[{keys.trusted}]", f"registry.retired=[{keys.untrusted}]")
        options = ("alias=production", f"registry.sign.key={keys.ours}", *trust)
        done = command.run("+experiment=shops", *arguments, *options, cwd=project)
        assert done.returncode == code, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    error = run("run=rollback", code=3)["error"]
    assert "which registry.retired lists; name the pair if it is meant: version=1" in error
    assert run("run=rollback", "version=1", code=0)["pair"]["version"] == 1
    nobody.move("shops", "production", 2, expected=1)
    history = run("run=history", code=0)
    statuses = [entry["signature"]["status"] for entry in history["history"]]
    assert statuses == ["retired", "trusted", "trusted", "unsigned"]
    assert "the newest move of alias 'production' is not signed" in history["warnings"][0]
