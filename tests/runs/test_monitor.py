"""From a trained pair to the figures of what it served: a real server, its ledger, late actuals."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from framework.serving.http.monitor_metrics import monitor_text
from framework.testing.servers import command

ROOT = Path(__file__).parents[2]


def result(project: Path, *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=shops", *overrides, cwd=project)
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


def forecasts(project: Path, shops: list[str]) -> dict[str, Any]:
    """What a server answers for the newest rows; it is then told to stop."""
    arguments = ["+experiment=shops", "run=serve", "version=1", "serving.port=0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "framework", *arguments],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        body = {"entities": [{"shop": shop} for shop in shops]}
        answer = httpx.post(f"{url}/predict/feast/batch", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    return {one["entity"]["shop"]: one["targets"]["sales"] for one in answer.json()["forecasts"]}


def test_what_was_served_is_judged_when_its_actuals_come(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "project", project)
    assert result(project)["pair"]["version"] == 1
    path = project / "data" / "sales.csv"
    sales = pd.read_csv(path)
    shops = sorted(map(str, sales["shop"].unique()))
    served = forecasts(project, shops)
    waiting = result(project, "run=monitor")
    assert waiting["live"]["1"]["sales"] == {"steps": 0}
    assert waiting["expected"]["1"]["sales"]["waiting"] == 7 * len(shops)
    assert waiting["ledger"] == {"rows": 7 * len(shops), "missing": 0, "waiting": 0}
    last = pd.Timestamp(sales["date"].max())
    new = [
        {
            **sales[sales["shop"].astype(str) == shop].iloc[-1],
            "date": str(day)[:10],
            "sales": 50.0 + i,
        }
        for shop in shops
        for i, day in enumerate(pd.date_range(last, periods=3, freq="D")[1:])
    ]
    pd.concat([sales, pd.DataFrame(new)]).to_csv(path, index=False)
    monitored = result(project, "run=monitor", "ingest.when=always")
    errors = [abs(served[shop]["mean"][i] - 50.0 - i) for shop in shops for i in range(2)]
    live = monitored["live"]["1"]["sales"]
    assert live["steps"] == 2 * len(shops)
    assert live["MAE"] == pytest.approx(sum(errors) / len(errors), abs=1e-9)
    assert monitored["backtest"]["1"]["sales"]["steps"] == 2 * 7 * len(shops)
    assert {one["verdict"] for one in monitored["drift"]} == {"too few"}
    assert (monitored["run"], monitored["status"]) == ("monitor", "done")
    assert json.loads(Path(monitored["report"]).read_text())["pairs"][0]["by_step"]["sales"]
    page = Path(monitored["page"]).read_bytes()
    tracked = [path.read_bytes() for path in project.glob("state/artifacts/*/**/monitor.html")]
    assert page in tracked
    shown = monitor_text(Path(monitored["report"])).decode()
    assert f'figure="MAE",of="live",target="sales"}} {live["MAE"]!r}' in shown
