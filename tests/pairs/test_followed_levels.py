"""Levels that follow what was served: the rule by hand, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from framework.errors import DataError
from framework.pairs import followed_levels
from framework.pairs.adaptive_levels import FOLLOWED
from framework.pairs.followed_levels import FollowedLevels, levels_path, paces_of, read_levels

OWN = FOLLOWED[None]


def at_80(levels: FollowedLevels) -> float:
    return float(levels.versions[levels.version][0, 3])


def excess(share: float) -> np.ndarray:
    return np.full((1, len(FOLLOWED)), share)


def test_the_widest_of_all_paces_counts_between_0_and_100() -> None:
    first = FollowedLevels("d").after(OWN, {"2024-01-01": excess(0.1 / 7)}, 7)
    assert at_80(first) == pytest.approx(80 + 100 * 3.2 * 0.1 / 7)  # the fastest rises most
    calm = {"2024-01-02": excess(-0.1 / 7), "2024-01-03": excess(-0.05)}
    assert at_80(first.after(OWN, calm, 7)) == pytest.approx(80 - 100 * 0.2 * 0.05)
    more = {"2024-01-02": excess(0.9), "2024-01-03": excess(-0.05)}
    assert at_80(first.after(OWN, more, 7)) == pytest.approx(100 - 100 * 0.4 * 0.05)


def test_levels_that_cross_are_sorted_and_move_on_by_themselves() -> None:
    only_60 = excess(0.0)
    only_60[0, 1] = 0.4
    crossed = FollowedLevels("d").after(OWN, {"2024-01-01": only_60}, 7)
    rows = crossed.versions[1][0]
    assert rows.tolist() == sorted([50.0, 100.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0])
    back = crossed.after(OWN, {"2024-01-02": -only_60}, 7)
    assert back.versions[2][0].tolist() == pytest.approx(FOLLOWED.tolist())


def test_a_file_of_one_pace_is_read_and_every_pace_begins_there(tmp_path: Path) -> None:
    path = levels_path(tmp_path, "fake", "d" * 64)
    FollowedLevels("d", {1: OWN}, {}, None, "2024-01-01").save(path)
    content = json.loads(path.read_bytes())
    del content["first"]
    path.write_text(json.dumps({**content, "format": 1, "start": (OWN - 1).tolist()}))
    levels = read_levels(path, "d", 1).after(OWN, {"2024-01-02": excess(0.0)}, 7)
    assert at_80(levels) == 79.0
    levels.save(path)
    assert read_levels(path, "d", 1).start is not None


def test_late_and_corrected_actuals_replace_what_was_counted() -> None:
    first = FollowedLevels("d").after(OWN, {"2024-01-01": excess(0.1)}, 7)
    assert first.after(OWN, {"2024-01-01": excess(0.1)}, 7).version == 1
    corrected = first.after(OWN, {"2024-01-01": excess(-0.1)}, 7)
    assert corrected.version == 2
    assert at_80(corrected) == pytest.approx(80 - 100 * 0.2 * 0.1)


def test_origins_that_are_under_way_together_move_a_level_as_much_at_any_horizon() -> None:
    assert [paces_of(h)[0] for h in (1, 7, 28)] == pytest.approx([0.2, 0.2, 0.05])


def test_old_times_are_closed_and_lead_to_the_same_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    days = {f"2024-01-{day:02}": excess(0.01 * (day % 5 - 1.5)) for day in range(1, 21)}
    whole = FollowedLevels("d").after(OWN, days, 7)
    monkeypatch.setattr(followed_levels, "TIMES", 3)
    short = FollowedLevels("d").after(OWN, days, 7)
    assert len(short.excess) == 3
    assert at_80(short) == at_80(whole)
    assert short.after(OWN, days, 7).version == 1


def test_the_file_keeps_every_version_and_refuses_damage(tmp_path: Path) -> None:
    path = levels_path(tmp_path, "fake", "d" * 64)
    assert read_levels(path, "d", 1).version == 0
    levels = FollowedLevels("d").after(OWN, {"2024-01-01": excess(0.1)}, 7)
    levels = levels.after(OWN, {"2024-01-02": excess(0.1)}, 7)
    levels.save(path)
    back = read_levels(path, "d", 1)
    assert back.version == 2
    for version, rows in levels.versions.items():
        np.testing.assert_array_equal(back.versions[version], rows)
    whole = path.read_bytes()
    falling = {"1": FOLLOWED[None, ::-1].tolist()}
    too_high = {"1": (OWN + 50).tolist()}
    changes = [
        {"format": 3},
        {"closed": None},
        {"start": [OWN.tolist()]},
        {"versions": falling},
        {"versions": too_high},
    ]
    for digest, targets, content in (
        ("other", 1, whole),
        ("d", 2, whole),
        ("d", 1, b"{"),
        ("d", 1, b"\xff" + whole),
        *(("d", 1, json.dumps({**json.loads(whole), **change}).encode()) for change in changes),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match="repair it, or remove it"):
            read_levels(path, digest, targets)
