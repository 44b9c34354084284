"""A canary in every secret of a project with real stores: after every command it is in no file, no
line, no answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import psycopg
import pytest

from framework.testing.servers import command, postgresql, redis

pytestmark = pytest.mark.stress


#: With what YAML, URLs and JSON write otherwise than it is.
CANARY = "kestrel-7Q's%/b"
IN_A_URL = "kestrel-7Q%27s%25%2Fb"
#: A part of it, in any of its forms.
TRACE = b"kestrel-7Q"

CONFIG = """
defaults: [framework, override /retrieval: feast, override /feature_store: shops, _self_]
"""
STORE = """
project: shops
provider: local
registry: {path: "${paths.state}/feast/registry.db", cache_ttl_seconds: 60, serve_features_while_materializing: true}
online_store: {type: redis, connection_string: "${oc.env:ONLINE}"}
offline_store:
  {type: postgres, host: 127.0.0.1, database: tests, user: tests, sslmode: disable, password: "${oc.env:PGPASSWORD}",
  port: "${oc.decode:${oc.env:PGPORT}}"}
entity_key_serialization_version: 3
materialization: {pull_latest_features: true}
"""  # noqa: E501
EXPERIMENT = """
# @package _global_
defaults: [override /source: sql, override /model: seasonal_naive]
name: shops
panel: {targets: [sales], frequency: D, horizon: 2, season_length: 7}
source:
  url: postgresql+psycopg://tests:${oc.env:IN_A_URL}@127.0.0.1:${oc.env:PGPORT}/tests
  tables: {daily: {query: "SELECT event_timestamp, shop, sales FROM sales"}}
features:
  primary: daily
  views: {daily: {entity: [shop], columns: [sales], ttl: 1d}}
retrieval: {window: 14}
backtest: {folds: 1}
registry: {ledger: "postgresql+psycopg://tests:${oc.env:IN_A_URL}@127.0.0.1:${oc.env:PGPORT}/tests"}
serving: {port: 0, tracing: {endpoint: "http://me:${oc.env:IN_A_URL}@127.0.0.1:1/v1/traces"}}
"""


class Project:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        for path, text in {
            "config": CONFIG,
            "feature_store/shops": STORE,
            "experiment/shops": EXPERIMENT,
        }.items():
            file = folder / "conf" / f"{path}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def run(self, *overrides: str, **environment: str) -> CompletedProcess[str]:
        done = command.run(
            "+experiment=shops",
            *overrides,
            cwd=self.folder,
            env={**self.environment, **environment},
        )
        assert TRACE.decode() not in done.stdout + done.stderr, overrides
        return done

    def traces(self) -> list[str]:
        return [
            str(path)
            for path in self.folder.rglob("*")
            if path.is_file() and TRACE in path.read_bytes()
        ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Trained, promoted and materialized, by commands that say nothing of the canary."""
    with postgresql.server() as place, redis.server("--requirepass", CANARY) as online:
        with psycopg.connect(f"postgresql://tests@{place}") as connection:
            connection.execute(
                "CREATE TABLE sales AS SELECT event_timestamp, shop, 3.0 sales "
                "FROM generate_series('2024-01-01'::timestamptz, '2024-02-01', '1 day') "
                "event_timestamp, unnest(array['a', 'b']) shop"
            )
        secrets = {
            "PGPASSWORD": CANARY,
            "IN_A_URL": IN_A_URL,
            "ONLINE": f"{online.place},password={json.dumps(CANARY)}",
        }
        secrets["PGPORT"] = place.partition(":")[2].partition("/")[0]
        made = Project(tmp_path_factory.mktemp("shops"), {**os.environ, **secrets})
        for overrides in (["run=train"], ["run=promote", "alias=production"], ["run=materialize"]):
            done = made.run(*overrides)
            assert done.returncode == 0, done.stderr
        yield made


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["run=reproduce"], marks=pytest.mark.stress),
        ["run=predict", "alias=production"],
        ["run=verify", "what=features"],
        ["run=pairs"],
        ["run=history"],
        ["--cfg", "job"],
        ["--cfg", "all", "--resolve"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_a_command_says_and_writes_nothing_of_a_secret(
    project: Project, overrides: list[str]
) -> None:
    done = project.run(*overrides)
    assert done.returncode == 0, done.stderr
    assert project.traces() == []


def test_what_is_recorded_names_the_environment(project: Project) -> None:
    recorded = [p.read_text() for p in project.folder.rglob("pair.json")]
    assert len(recorded) == 2
    assert all(
        "password: ${oc.env:PGPASSWORD}" in text and "connection_string: ${oc.env:ONLINE}" in text
        for text in recorded
    )
    assert "password: '***'" in project.run("--cfg", "job", "--resolve").stdout
    assert "password: ${oc.env:PGPASSWORD}" in project.run("--cfg", "job").stdout


@pytest.mark.parametrize("full", ["1", pytest.param("0", marks=pytest.mark.stress)])
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ONLINE": "127.0.0.1:1,password=kestrel-7Q-wrong"}, "127.0.0.1:1"),
        ({"PGPORT": "1"}, "port 1 failed"),
    ],
    ids=["no online store", "no database"],
)
def test_a_failure_says_nothing_of_a_secret(
    project: Project, environment: dict[str, str], words: str, full: str
) -> None:
    done = project.run("run=materialize", HYDRA_FULL_ERROR=full, **environment)
    assert done.returncode == 1
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (full == "1")
    assert project.traces() == []


def test_a_variable_that_is_not_set_is_named(project: Project) -> None:
    del (environment := dict(project.environment))["PGPASSWORD"]
    done = command.run("+experiment=shops", cwd=project.folder, env=environment)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "feature_store.offline_store.password: the environment variable PGPASSWORD is not set.\n"
    )


@pytest.mark.parametrize(
    "multirun", [False, pytest.param(True, marks=pytest.mark.stress)], ids=["run", "multirun"]
)
@pytest.mark.parametrize(
    "override",
    [
        "feature_store.offline_store.password=kestrel-7Q",
        "feature_store.online_store.connection_string='h:1,password=kestrel-7Q'",
        "source.url=postgresql://me:kestrel-7Q@h/x",
    ],
)
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(
    project: Project, override: str, multirun: bool
) -> None:
    before = {*project.folder.rglob("*")}
    done = command.run(
        *["-m"] * multirun,
        "+experiment=shops",
        override,
        cwd=project.folder,
        env=project.environment,
    )
    assert done.returncode == 2
    key = override.partition("=")[0]
    assert done.stderr == f"error: {json.loads(done.stdout)['error']}\n"
    assert f"write {key}='${{oc.env:NAME}}'" in done.stderr
    assert TRACE.decode() not in done.stderr
    assert {*project.folder.rglob("*")} == before


@pytest.mark.gate_cases(2)
@pytest.mark.parametrize(
    "flags", [[], ["--cfg", "job"], ["--info", "config"], ["-m"]], ids=" ".join
)
def test_a_secret_in_a_file_is_refused_before_anything_is_written_or_shown(
    project: Project, flags: list[str]
) -> None:
    file = project.folder / "conf" / "feature_store" / "literal.yaml"
    file.write_text(STORE.replace("${oc.env:PGPASSWORD}", "kestrel-7Q"))
    try:
        done = command.run(
            *flags,
            "+experiment=shops",
            "feature_store=literal",
            cwd=project.folder,
            env=project.environment,
        )
    finally:
        file.unlink()
    assert done.returncode == 2
    assert "feature_store.offline_store.password" in done.stderr
    assert TRACE.decode() not in done.stdout + done.stderr
    assert project.traces() == []


@contextmanager
def _server(project: Project, log: Path) -> Iterator[str]:
    program = [
        sys.executable,
        "-m",
        "framework",
        "+experiment=shops",
        "run=serve",
        "alias=production",
        "serving.log.level=debug",
    ]
    with log.open("w") as err:
        serving = subprocess.Popen(
            program,
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        )
        try:
            assert serving.stdout is not None
            yield json.loads(serving.stdout.readline())["url"]
        finally:
            serving.terminate()
            serving.wait(60)


def test_a_server_says_nothing_of_a_secret(project: Project, tmp_path: Path) -> None:
    with _server(project, tmp_path / "log") as url, httpx.Client(base_url=url, timeout=60) as http:
        answers = [http.post("/predict/feast", json={"entity": {"shop": "a"}})]
        assert answers[0].status_code == 200, answers[0].text
        answers += [
            http.get(path)
            for path in ("/pair", "/health/ready", "/metrics", "/openapi.json", "/console/pairs")
        ]
    assert all(TRACE not in answer.content for answer in answers)
    assert TRACE not in (tmp_path / "log").read_bytes()
    assert project.traces() == []


def test_an_override_that_names_a_variable_is_kept_as_it_was_written(project: Project) -> None:
    override = 'source.url="postgresql://tests:${oc.env:IN_A_URL}@h/x"'
    assert project.run("run=history", override).returncode == 0
    newest = max(project.folder.rglob("result.json"), key=lambda path: path.stat().st_mtime_ns)
    assert override in json.loads(newest.read_text())["overrides"]
    assert project.traces() == []
    done = project.run("run=history", "registry.cache=${oc.env:NOT_SET}")
    assert done.stderr == "error: registry.cache: the environment variable NOT_SET is not set.\n"
