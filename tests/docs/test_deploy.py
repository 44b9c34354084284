"""``examples/deploy``: each file is read by its own parser, and every command in it composes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from cronsim import CronSim
from hydra import compose, initialize_config_dir

from framework.config.config import build_config
from framework.plugins import composition
from framework.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
YAML = sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")])
#: What the environment gives there.
NAMES = {
    "EXPERIMENT": "xgb_daily",
    "REGISTRY_URL": "postgresql+psycopg://forecast:secret@postgres/forecast",
    "LEDGER_URL": "postgresql://forecast:secret@postgres/forecast",
}
STYLE = (
    "{extends: default, rules: {line-length: {max: 120}, document-start: disable, comments: "
    "disable, comments-indentation: disable, indentation: {indent-sequences: consistent}}}"
)


def test_yaml_is_tidy() -> None:
    assert len(YAML) >= 9
    ended = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", STYLE, *map(str, YAML)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("name", ["serve", "train"])
def test_images_follow_the_rules_and_run_as_nobody_special(name: str) -> None:
    path = DEPLOY / "docker" / f"{name}.Dockerfile"
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run(
        [hadolint, "--failure-threshold", "warning", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    last_stage = path.read_text().split("\nFROM ")[-1]
    assert re.search(r"^USER \d+$", last_stage, re.MULTILINE)
    assert "apt-get" not in last_stage


@pytest.mark.parametrize("name", ["namespace", "storage", "server", "jobs"])
def test_kubernetes_knows_the_resources(name: str) -> None:
    resources = list(yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text()))
    for resource in resources:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
        if resource["kind"] == "CronJob":
            next(CronSim(resource["spec"]["schedule"], datetime.now(UTC)))
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert f"{name}.yaml" in listed


def test_compose_reads_its_file() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    body = yaml.safe_load(text)
    services = PyCompose.from_json(json.dumps(body)).services
    assert sorted(services) == sorted(body["services"])
    for service in body["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            by_run = "dashboards/" in source  # run=dashboards writes those
            if source.startswith(".") and not by_run:
                assert (DEPLOY / "compose" / source).exists(), source


@pytest.mark.stress
def test_systemd_and_prometheus_read_their_files(tmp_path: Path) -> None:
    """Needs ``systemd-analyze`` and Debian's ``prometheus``."""
    for path in sorted((DEPLOY / "systemd").iterdir()):
        text = path.read_text().replace("/srv/forecast/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    ended = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    shutil.copy(DEPLOY / "compose" / "prometheus.yml", tmp_path)
    (tmp_path / "rules.yml").write_text("groups: []\n")
    ended = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def filled(word: str) -> str:
    """A word of a command as the environment makes it."""
    for name, value in NAMES.items():
        word = re.sub(rf"\$\({name}\)|\${{{name}(:[^}}]*)?}}|\${name}\b", value, word)
    return word.replace("$${", "${")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of the framework in the folder: its file, its overrides."""
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    yield "compose.yaml", services["server"]["command"]
    for name in ("server", "jobs"):
        for resource in yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text()):
            if resource["kind"] in ("Deployment", "CronJob"):
                spec = resource["spec"].get("jobTemplate", resource)["spec"]["template"]["spec"]
                yield f"{name}.yaml", spec["containers"][0]["args"]
    loop = (DEPLOY / "compose" / "loop.sh").read_text()
    function = loop.partition("framework() {")[2].partition("}\n")[0].replace("\\\n", "")
    common = shlex.split(function.partition('"$@"')[2])
    assert len(common) == 5
    for line in loop.splitlines():
        if line.strip().startswith("framework run="):
            words = shlex.split(line.partition("||")[0])[1:]
            yield "loop.sh", ["+experiment=$EXPERIMENT", *words, *common]
    for path in (DEPLOY / "cron" / "crontab", *sorted((DEPLOY / "systemd").glob("*.service"))):
        for line in path.read_text().splitlines():
            if "-m framework" in line:
                yield path.name, shlex.split(line.partition("-m framework")[2])
    for path in (DEPLOY / "airflow" / "forecasts.py", DEPLOY / "dagster" / "forecasts.py"):
        for words in re.findall(r'\{FRAMEWORK\} (run=[^"]+)"|context, (".+")\)', path.read_text()):
            line = words[0] or words[1].replace('", "', " ").strip('"')
            yield f"{path.parent.name}.py", ["+experiment=$EXPERIMENT", *line.split()]


@pytest.mark.stress
def test_every_command_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)
    files: dict[tuple[str, ...], set[str]] = {}
    for file, words in commands():
        files.setdefault(tuple(map(filled, words)), set()).add(file)
    plugins = load_plugins()
    composition.register(plugins)
    runs: dict[str, set[str]] = {}
    ledgers: dict[str, set[str]] = {}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for overrides, named in files.items():
            config = build_config(compose("config", list(overrides)), plugins)
            for file in named:
                runs.setdefault(file, set()).add(config.run)
                ledgers.setdefault(file, set()).add(config.component("ledger").name)
    loop = {"ingest", "materialize", "monitor", "train", "promote"}
    for file in ("jobs.yaml", "crontab", "loop.sh", "airflow.py", "dagster.py"):
        assert runs[file] == loop, file
    # what writes the forecasts and what reads them is the same, on whichever machines
    for file in ("server.yaml", "jobs.yaml", "compose.yaml", "loop.sh"):
        assert ledgers[file] == {"postgresql"}, file
    assert runs["forecast-loop.service"] == {"ingest", "materialize", "monitor"}
    for file in ("server.yaml", "compose.yaml", "forecast-server.service"):
        assert runs[file] == {"serve"}, file


def test_cron_reads_its_lines() -> None:
    lines = [
        line
        for line in (DEPLOY / "cron" / "crontab").read_text().splitlines()
        if re.match(r"[\d*]", line)
    ]
    assert len(lines) == 5
    for line in lines:
        next(CronSim(" ".join(line.split()[:5]), datetime.now(UTC)))
