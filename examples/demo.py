"""The main job end to end, each step the command a person would type: data to a served forecast,
and its result on one screen.

python examples/demo.py [override …]        # such as paths.state=/tmp/state or
model.n_estimators=50
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

ENTITY = {"airport": "JFK", "carrier": "DL"}
console = Console()


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "framework", "+experiment=xgb_daily", *overrides, *sys.argv[1:]]


def step(*overrides: str) -> dict[str, Any]:
    """Run one command to its end; its progress goes to the screen, its last line on stdout is the
    result.
    """
    console.rule(
        f"[bold]python -m framework +experiment=xgb_daily {' '.join(overrides)}", align="left"
    )
    started = time.perf_counter()
    done = subprocess.run(command(*overrides), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    console.print(f"[dim]{time.perf_counter() - started:.1f} s")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def serve_and_ask() -> dict[str, Any]:
    """Start the server on a free port, ask it for one forecast, stop it."""
    overrides = ("run=serve", "alias=production", "serving.port=0")
    console.rule(
        f"[bold]python -m framework +experiment=xgb_daily {' '.join(overrides)}", align="left"
    )
    server = subprocess.Popen(command(*overrides), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line or json.loads(line)["status"] != "ready":
            sys.exit(server.wait() or 1)
        url = json.loads(line)["url"]
        console.print(f"POST {url}/predict/feast {json.dumps({'entity': ENTITY})}")
        return ask(f"{url}/predict/feast", {"entity": ENTITY, "at": None})
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def show_metrics(metrics: dict[str, Any]) -> None:
    table = Table(
        "target",
        "",
        "MAE",
        "RMSE",
        "WAPE",
        "MASE",
        "bias",
        box=SIMPLE,
        title="6 rolling origins, 7 days ahead",
    )
    for target, sides in metrics["targets"].items():
        for who, values in sides.items():
            label = "xgboost" if who == "model" else "strongest naive"
            table.add_row(
                target,
                label,
                *(f"{values[m]:.3f}" for m in ("MAE", "RMSE", "WAPE", "MASE", "bias")),
            )
    console.print(table)


def show_forecast(answer: dict[str, Any]) -> None:
    forecast, pair = answer["forecasts"][0], answer["pair"]
    if forecast["status"] != "ok":
        sys.exit(f"no forecast: {forecast['status']}: {forecast['detail']}")
    title = (
        f"{forecast['entity']}, origin {forecast['origin'][:10]}, pair {pair['name']} version "
        f"{pair['version']} @{pair['alias']}"
    )
    table = Table(
        "day",
        "departures",
        "80 % interval",
        "mean delay (min)",
        "80 % interval",
        box=SIMPLE,
        title=title,
    )
    departures, delay = forecast["targets"]["departures"], forecast["targets"]["mean_delay"]
    for i, day in enumerate(forecast["times"]):
        cells = []
        for target in (departures, delay):
            low, high = target["quantiles"]["0.1"][i], target["quantiles"]["0.9"][i]
            cells += [f"{target['mean'][i]:.1f}", f"{low:.1f} to {high:.1f}"]
        table.add_row(day[:10], *cells)
    console.print(table)


def main() -> None:
    started = time.perf_counter()
    step("run=ingest")
    step("run=materialize")
    trained = step("run=train")
    promoted = step("run=promote", "alias=production")
    answer = serve_and_ask()
    console.rule("[bold]Result")
    show_metrics(trained["metrics"])
    show_forecast(answer)
    console.print(
        f"pair      {promoted['pair']['name']} version {promoted['pair']['version']} is "
        f"@{promoted['alias']}"
    )
    console.print(f"report    {Path(trained['report']).resolve().as_uri()}", soft_wrap=True)
    console.print(f"MLflow    {trained['tracking']}", soft_wrap=True)
    console.print(f"[dim]{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
