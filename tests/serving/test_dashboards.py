"""Rules and dashboards ask for metrics that servers have, in words that Prometheus and Grafana
read.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from framework.monitoring.report import report_path
from framework.serving.app.app import create_app
from framework.serving.dashboards.boards import BOARDS
from framework.serving.dashboards.rules import Objectives, rules_of
from framework.serving.http.monitor_metrics import monitor_text
from framework.serving.options import ServingOptions
from framework.serving.service import Service
from framework.testing.servers.command import run
from framework.testing.servers.fake_server import make_deployment, make_row

#: As ``run=monitor`` writes it, without what is no metric.
REPORT = {
    "window": {"first": None, "last": None, "at": "2026-01-02T03:04:05Z"},
    "live": {"production": {"departures": {"MAE": 2.5, "coverage": 0.78, "steps": []}}},
    "backtest": {"production": {"departures": {"MAE": 2.25, "coverage": 0.8}}},
    "drift": [
        {
            "signal": "level",
            "target": "departures",
            "arm": "production",
            "version": 3,
            "steps": [1, 3],
            "verdict": "alarm",
            "evidence": 41.0,
        }
    ],
    "alerts": [{"name": "mae", "state": "firing", "labels": {}}],
    "ledger": {"rows": 10, "missing": 4},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboards")
    ended = run("run=dashboards", "dashboards.availability=99.5", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    written = json.loads(ended.stdout.splitlines()[-1])["written"]
    assert sorted(written) == sorted(map(str, (folder / "dashboards").rglob("*.*")))
    return folder / "dashboards"


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server that was asked something, and that was monitored, answers."""
    deployment = make_deployment(tmp_path_factory.mktemp("server"))
    report = report_path(deployment.state, deployment.name)
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps(REPORT))
    app: Any = create_app(Service(deployment, ServingOptions()))

    async def ask() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.post("/predict", json={"rows": [make_row()]})).status_code == 200
            return (await http.get("/metrics")).text

    return asyncio.run(ask())


def selectors(node: Any) -> Iterator[tuple[str, list[str]]]:
    """The metrics of an expression, each with the labels that it is chosen by."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, [matcher.name for matcher in node.matchers.matchers]
        return
    for part in ("lhs", "rhs", "expr", "vector_selector", "args"):
        inner = getattr(node, part, None)
        for one in inner if isinstance(inner, list) else [inner] if inner is not None else []:
            yield from selectors(one)


def expressions(files: Path) -> Iterator[str]:
    for group in yaml.safe_load((files / "prometheus" / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for board in BOARDS:  # what plugins add asks for metrics of theirs
        path = files / "grafana" / f"{board.name}.json"
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield target["expr"].replace("$__rate_interval", "5m")


def test_every_expression_is_parsed_and_its_metrics_are_there(files: Path, metrics: str) -> None:
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics):
        names = {family.name, f"{family.name}_total"}
        names |= {f"{family.name}_{end}" for end in ("bucket", "count")}
        for name in names if not family.samples else {one.name for one in family.samples}:
            labels.setdefault(name, set())
        for sample in family.samples:
            labels[sample.name] |= set(sample.labels)
    recorded = {
        rule["record"]
        for group in yaml.safe_load((files / "prometheus" / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    asked = 0
    for expression in expressions(files):
        for name, chosen_by in selectors(promql_parser.parse(expression)):
            asked += 1
            if name == "up" or name in recorded:  # Prometheus' own, and those made by the rules
                continue
            assert name in labels, f"{name} of {expression}"
            assert not labels[name] or set(chosen_by) <= labels[name], expression
    assert asked > 80


def test_a_name_that_no_server_has_would_be_found() -> None:
    parsed = promql_parser.parse('sum(rate(a_total{x="1"}[5m])) / (b or on (x) c > 1)')
    assert list(selectors(parsed)) == [("a_total", ["x"]), ("b", []), ("c", [])]


def test_objectives_are_in_the_rules(files: Path) -> None:
    text = (files / "prometheus" / "rules.yml").read_text()
    limits = re.findall(r"request_errors:ratio_rate1h > (\S+)", text)
    assert limits == ["0.072"]  # 14.4 x 0.5 %
    bounds = {f'le="{bound}"' for bound in re.findall(r'le="([^"]+)"', text)}
    assert bounds == {'le="0.5"'}


def test_a_quote_in_the_routes_stays_inside_the_expression() -> None:
    rules = rules_of(Objectives(99.9, 99.0, 0.5, 'a"b|c\\d'))
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    slow = next(one for one in expressions if "request_seconds_bucket" in one)
    assert "framework_request_seconds_bucket" in dict(selectors(promql_parser.parse(slow)))


def test_grafana_reads_the_boards(files: Path) -> None:
    register_default_plugins()
    for board in BOARDS:
        body = json.loads((files / "grafana" / f"{board.name}.json").read_text())
        read = Dashboard.from_json(body)
        assert (read.title, read.uid) == (f"Forecasts: {board.title}", body["uid"])
        assert read.panels is not None
        assert [panel.title for panel in read.panels] == [one.title for one in board.panels]
        places = {(one["gridPos"]["x"], one["gridPos"]["y"]) for one in body["panels"]}
        assert len(places) == len(body["panels"])


def test_what_run_monitor_found_is_among_the_metrics(metrics: str) -> None:
    for line in (
        'framework_monitor_figure{arm="production",figure="MAE",of="live",target="departures"} 2.5',
        'framework_monitor_figure{arm="production",figure="coverage",of="backtest",'
        'target="departures"} 0.8',
        'framework_monitor_drift{arm="production",signal="level",steps="1-3",target="departures",'
        'version="3"} 1.0',
        'framework_monitor_alert{alert="mae",state="firing"} 1.0',
        "framework_monitor_ledger_missing 4.0",
        "framework_monitor_timestamp_seconds 1.767323045e+09",
    ):
        assert line in metrics.splitlines(), line
    assert 'framework_request_seconds_count{route="/predict"} 1.0' in metrics.splitlines()
    assert "framework_monitor_unreadable 0.0" in metrics.splitlines()


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"live": {}}', '{"live": {"production": 3}, "backtest": {}}']
)
def test_a_damaged_report_is_told_and_hides_no_other_metric(tmp_path: Path, content: str) -> None:
    report = tmp_path / "pairs.json"
    assert monitor_text(report) == b""
    report.write_text(content)
    families = list(text_string_to_metric_families(monitor_text(report).decode()))
    assert [(one.name, one.samples[0].value) for one in families] == [
        ("framework_monitor_unreadable", 1.0)
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dashboards.seconds=0.3", "dashboards.seconds=0.3: servers count by"),
        ("dashboards.availability=100", "dashboards.availability"),
        ("dashboards.folder=x", "dashboards.folder"),
        ("dashboards.routes='(x'", "'(x' is no regular expression"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, override: str, message: str) -> None:
    ended = run("run=dashboards", override, cwd=tmp_path)
    assert ended.returncode == 2
    assert message in json.loads(ended.stdout.splitlines()[-1])["error"]
    assert not (tmp_path / "dashboards").exists()
