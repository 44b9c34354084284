"""What ``run=monitor`` found, in a browser: a section of the console, a page of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from framework.data.frequency import Frequency
from framework.monitoring.promised import Promise
from framework.monitoring.report import pair_report, report_path
from framework.monitoring.served import Served
from framework.monitoring.watching import Watched
from framework.serving.console.page import monitoring_page
from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import make_deployment, server_process

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SERIES, HORIZON = 4, 2


def make_served(days: int, seed: int, shift: float = 0.0) -> Served:
    """Forecasts of 0 each day for the next two, with normal errors; the last day has no actual."""
    rng = np.random.default_rng(seed)
    day, series, step = (
        one.ravel() for one in np.mgrid[0:days, 0:SERIES, 1 : HORIZON + 1].astype(np.int64)
    )
    actual = rng.standard_normal(len(day)) + shift
    origin = np.datetime64("2024-03-01", "us") + day * np.timedelta64(1, "D")
    return Served(
        np.array([["JFK", f"<b>carrier</b> {i}"] for i in range(SERIES)], dtype=object),
        series,
        origin,
        origin + step * np.timedelta64(1, "D"),
        step,
        np.zeros(len(day), dtype=np.int64),
        np.tile([0.0, -1.2816, 1.2816], (len(day), 1)),
        np.where(day == days - 1, np.nan, actual),
        np.full(len(day), np.nan),
    )


def make_found() -> dict[str, Any]:
    """The file of ``run=monitor`` for a pair whose errors have shifted."""
    schema = fakes.make_schema().model_copy(
        update={"targets": ("departures",), "horizon": HORIZON, "quantiles": (0.1, 0.9)}
    )
    past = make_served(60, 1)
    promise = Promise(schema, past, np.ones(len(past)), None)
    how = Watched(Frequency.parse("D"), 7, 0.05, 0.1, 365, 0.01)
    answering, served = ("production", 3, "abc"), make_served(60, 2, shift=1.0)
    report = pair_report(answering, served, promise, None, how, seed=1, series_count=3)
    labels = {"alertname": "drifting", "name": "fake", "severity": "page", "arm": "production"}
    alert = {"name": "drifting", "state": "firing", "labels": labels, "since": "2024-05-01"}
    return {
        "window": {"first": "2024-03-01T00:00:00Z", "last": None, "at": "2024-06-01T06:00:00Z"},
        "serving": {"production": {"version": 3, "digest": "abc"}},
        "alerts": [alert],
        "ledger": {"rows": 480, "missing": 12, "waiting": 0},
        "skew": {"entities": 4, "differences": []},
        "diagnosis": [{"arm": "production", **one} for one in report["diagnosis"]],
        "findings": [{"finding": "stale_feature", "view": "weather", "rows": 7}],
        "pairs": [{**report, "failed": 0}],
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path="/usr/bin/chromium",
            args=_FLAGS.split(),
        )
        expect.set_options(timeout=20_000)
        yield opened
        opened.close()


def check_section(page: Page, found: dict[str, Any]) -> None:
    """Compare what is drawn with what was found."""
    section = page.locator("#monitoring")
    (pair,) = found["pairs"]
    live, past = pair["live"]["departures"], pair["backtest"]["departures"]
    expect(section.locator("[data-metric=MAE]")).to_contain_text(f"{live['MAE']:.2f}"[:4])
    expect(section.locator("[data-metric=MAE] small")).to_contain_text(f"{past['MAE']:.3f}"[:5])
    expect(section).to_contain_text("12 forecasts are missing")
    expect(page.locator("#monitoring-alerts")).to_contain_text("firing")
    expect(page.locator("#monitoring-steps polygon.band")).to_have_count(1)
    expect(page.locator("#monitoring-steps polyline.forecast")).to_have_count(1)
    expect(page.locator("#monitoring-coverage polyline.earlier")).to_have_count(1)
    expect(page.locator("#monitoring-days polyline.forecast")).to_have_count(1)
    expect(page.locator("#monitoring-evidence polyline.limit")).to_have_count(1)
    alarms = [one["signal"] for one in pair["drift"] if one["verdict"] == "alarm"]
    assert "level_up" in alarms
    shown = page.locator("#monitoring-drift tr[data-verdict=alarm]")
    expect(shown).to_have_count(len(alarms))
    worst = pair["worst_series"]["departures"][0]["entity"]["carrier"]
    expect(page.locator("#monitoring-worst tbody tr").first).to_contain_text(worst)
    expect(section).to_contain_text("8 MAE estimated")
    expect(page.locator("#monitoring-findings")).to_contain_text("view weather: 7 rows")
    residual = next(one for one in found["diagnosis"] if one["signal"] == "residual")
    assert residual["shift"] < -0.5  # forecast less actual: the actuals rose
    expect(page.locator("#monitoring-diagnosis tbody tr")).to_have_count(len(found["diagnosis"]))


def test_the_page_of_a_run_is_whole_light_and_dark_narrow_and_wide(
    browser: BrowserContext, tmp_path: Path
) -> None:
    found = json.loads(json.dumps(make_found()))
    path = tmp_path / "monitor.html"
    path.write_text(monitoring_page("a </script> name", found))
    page, wrong = browser.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if "http" in asked.url else None)
    for width in (1280, 420):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path.as_uri())
        check_section(page, found)
        expect(page.locator("h1")).to_have_text("a </script> name: what was served")
        assert page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    assert wrong == []
    page.close()


def test_the_console_shows_what_the_newest_run_found(
    browser: BrowserContext, tmp_path: Path
) -> None:
    deployment = make_deployment(tmp_path)
    FolderRegistry(tmp_path).calibrate(3)
    path = report_path(deployment.state, deployment.name)
    path.parent.mkdir(parents=True)
    with server_process("fastapi", {"port": 0}, tmp_path) as (_, url):
        page, wrong = browser.new_page(), list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{url}/")
        expect(page.locator("#monitoring")).to_contain_text("Nothing has been monitored yet")
        found = make_found()
        path.write_text(json.dumps(found))
        answer = httpx.get(f"{url}/console/monitoring")
        if answer.json() == {"report": None}:  # what was read is kept for some seconds
            page.wait_for_timeout(3100)
        assert httpx.get(f"{url}/console/monitoring").json() == {
            "report": json.loads(json.dumps(found))
        }
        page.reload()
        check_section(page, found)
        page.set_viewport_size({"width": 420, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == 420
        path.write_text("no JSON")
        page.wait_for_timeout(3100)
        page.reload()
        expect(page.locator("#monitoring .message")).to_contain_text("cannot be read")
        assert wrong == []
        page.close()
