"""The experiments of ``how-to/bring-your-own-data.md``, each with a file of the kind it is for:
trained and asked, without another word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from framework.data.business_days import are_business_days
from framework.testing.servers.command import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "bring-your-own-data.md"
BLOCKS = {
    yaml.safe_load(block)["name"]: block
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    if "@package _global_" in block
}
#: The longest experiment that a user should have to write.
LINES = 25


def load(path: Path) -> None:
    """A value that hangs on the local hour alone; 40 hours are missing."""
    moments = pd.date_range("2024-07-20T23:00Z", "2024-10-27T22:00Z", freq="h")
    local = moments.tz_convert("Europe/Berlin")
    rows = pd.DataFrame(
        {"meter": "north", "time": local.strftime("%d.%m.%Y %H:%M"), "kwh": local.hour * 10.0}
    )
    rows.drop(index=range(1000, 1040)).to_csv(path / "load.csv", index=False)


def prices(path: Path) -> None:
    days = pd.date_range("2024-01-02", "2024-11-27", freq="D")
    days = days[are_business_days(days.to_numpy().astype("M8[us]"), "XNYS")][::-1]
    parts = [
        pd.DataFrame({"Date": days, "Ticker": ticker, "Close": days.day + 0.5, "Volume": "1,204"})
        for ticker in ("ACME", "BOLT")
    ]
    pd.concat(parts).to_csv(path / "prices.csv", index=False)


def sales(path: Path) -> None:
    ends = pd.date_range("2020-01-31", periods=48, freq="ME")
    rows = pd.DataFrame({"region": "east", "month": ends, "sales": ends.month * 1.5})
    rows.loc[[7, 20], "sales"] = np.nan
    rows.to_csv(path / "sales.csv", index=False, na_rep="NA")


def umsatz(path: Path) -> None:
    days = pd.date_range("2024-05-01", periods=60, freq="D")
    lines = [f"007;{d:%d.%m.%Y};1.23{d.dayofweek},5" for d in days]
    text = "\n".join(["Filiale;Datum;Umsatz", *lines])
    (path / "umsatz.csv").write_text(text, encoding="utf-8-sig")


def sensor(path: Path) -> None:
    times = pd.date_range("2024-07-01T00:00Z", periods=48 * 12, freq="30min")
    seconds = times.astype("M8[s, UTC]").astype(np.int64)
    rows = pd.DataFrame({"ts": seconds, "value": times.hour + times.minute / 60})
    rows.sample(frac=1, random_state=1).to_csv(path / "sensor.csv", index=False)


#: The file of each experiment, the first steps that are forecast and their values.
FILES: dict[str, tuple[Callable[[Path], None], list[str], list[float]]] = {
    "load": (
        load,
        ["2024-10-27T23:00", "2024-10-28T00:00"],
        [0.0, 10.0],
    ),  # midnight in Berlin, an hour later than the day before
    "trading": (prices, ["2024-11-29", "2024-12-02"], [21.5, 22.5]),  # Thanksgiving is no step
    "months": (sales, ["2024-01-31", "2024-02-29"], [1.5, 3.0]),
    "branches": (umsatz, ["2024-06-30", "2024-07-01"], [1236.5, 1230.5]),
    "sensor": (sensor, ["2024-07-13T00:00", "2024-07-13T00:30"], [0.0, 0.5]),
}


def test_every_experiment_of_the_page_is_short_and_tried() -> None:
    assert set(BLOCKS) == set(FILES)
    assert max(len(block.splitlines()) for block in BLOCKS.values()) <= LINES


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("months", "sensor") else pytest.param(name, marks=pytest.mark.stress)
        for name in FILES
    ],
)
def test_an_experiment_of_the_page_trains_and_forecasts(name: str, tmp_path: Path) -> None:
    write, times, values = FILES[name]
    experiments = tmp_path / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    (experiments / f"{name}.yaml").write_text(BLOCKS[name])
    write(tmp_path / "data")
    for more in ((), ("run=predict", "predict.output=forecast.parquet")):
        done = run(f"+experiment={name}", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "done"
    rows = pq.read_table(tmp_path / "forecast.parquet").to_pandas()
    assert set(rows["status"]) == {"ok"}
    stamps = rows["event_timestamp"].dt.tz_convert(None).drop_duplicates()
    assert stamps.tolist()[:2] == [pd.Timestamp(time) for time in times]
    np.testing.assert_allclose(rows["mean"].to_numpy()[:2], values, atol=1.0 * (name == "load"))
