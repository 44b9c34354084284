"""Events from a file, as the how-to shows them: stored by their key, known for the steps ahead."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import yaml

from framework.testing.servers import command

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "known-in-advance.md"
DAYS = pd.date_range("2024-03-01", "2024-05-26")


def test_events_of_a_file_reach_the_steps_ahead_of_their_own_series(tmp_path: Path) -> None:
    section = PAGE.read_text().partition("## Holidays and events from a file")[2]
    csv, experiment = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert len(experiment.splitlines()) <= 15
    body = yaml.safe_load(experiment)
    # a target is 0 where school is off: what reaches a step ahead shows in its forecast
    body["panel"] |= {"season_length": 7, "zero_when": {"school": 1}, "bounds": {"y": {"lower": 0}}}
    (tmp_path / "data").mkdir()
    off = csv.splitlines()[1].split(",")
    assert off[:3] == ["BY", "2024-05-20", "1"]
    events = pd.MultiIndex.from_product(
        [["BY", "HH"], DAYS], names=["state", "event_timestamp"]
    ).to_frame()
    events = events.reset_index(drop=True).assign(school=0, fair=0)
    events.loc[(events["state"] == off[0]) & (events["event_timestamp"] == off[1]), "school"] = 1
    events.to_csv(tmp_path / "data/school.csv", index=False)
    assert list(events) == csv.splitlines()[0].split(",")
    sales = events[events["event_timestamp"] < "2024-05-18"].assign(shop="a", y=5)
    sales[["state", "shop", "event_timestamp", "y"]].to_csv(
        tmp_path / "data/sales.csv", index=False
    )
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/config.yaml").write_text("defaults:\n  - framework\n  - _self_\n")
    head = {
        "defaults": [
            {"override /source": "files"},
            {"override /retrieval": "file"},
            {"override /model": "seasonal_naive"},
        ],
        "name": "school",
        "backtest": {"folds": 1},
    }
    (tmp_path / "conf/experiment/e.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump(head | body)
    )
    for arguments in (("run=train",), ("run=predict", "predict.output=f.parquet")):
        done = command.run("+experiment=e", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    forecast = pd.read_parquet(tmp_path / "f.parquet")
    zero = forecast[forecast["mean"] == 0]
    assert len(forecast) == 14
    assert zero[["state", "step"]].to_numpy().tolist() == [["BY", 3]]  # three days after 05-17
