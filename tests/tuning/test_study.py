"""A search on disk: nothing that had ended is lost, whatever was being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.errors import ConfigError, FrameworkError
from framework.interfaces.tuner import DONE, FAILED, STOPPED, Trial
from framework.tuning.experiment import check_not_edited, experiment_text, sealed
from framework.tuning.study import TRIALS, open_study


def trial(number: int, value: float | None, status: str = DONE) -> Trial:
    folds = (value,) if value is not None else ()
    return Trial(
        number,
        {"model.depth": number, "panel.columns": None},
        status,
        folds,
        value,
        0.1,
        "n",
        "broke" if status == FAILED else None,
    )


def test_a_resumed_study_has_every_trial_and_a_torn_line_is_gone(tmp_path: Path) -> None:
    with open_study(tmp_path, {"seed": 1}, resume=False) as study:
        study.add(trial(0, 2.0))
        study.add(trial(1, None, FAILED))
        directory = study.directory
    with (directory / TRIALS).open("a") as stream:
        stream.write('{"number": 2, "values": {"mod')
    with open_study(tmp_path, {"seed": 1}, resume=True) as study:
        assert study.directory == directory
        assert study.trials == [trial(0, 2.0), trial(1, None, FAILED)]
        study.add(trial(3, 1.0))
    with open_study(tmp_path, {"seed": 1}, resume=True) as study:
        assert [t.number for t in study.trials] == [0, 1, 3]
        assert study.best() == trial(3, 1.0)


def test_only_the_same_search_goes_on_and_only_once_at_a_time(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="no search was begun"),
        open_study(tmp_path, {"seed": 1}, resume=True),
    ):
        pass
    with open_study(tmp_path, {"seed": 1, "space": {"a": (1, 2)}}, resume=False):
        with (
            pytest.raises(FrameworkError, match=r"the search in .* is held by process"),
            open_study(tmp_path, {"seed": 1, "space": {"a": [1, 2]}}, resume=True),
        ):
            pass
        with (
            pytest.raises(ConfigError, match="resume: seed is not that"),
            open_study(tmp_path, {"seed": 2, "space": {"a": [1, 2]}}, resume=True),
        ):
            pass


def test_a_search_without_a_finished_trial_says_why(tmp_path: Path) -> None:
    with open_study(tmp_path, {}, resume=False) as study:
        study.add(trial(0, None, FAILED))
        study.add(trial(1, None, STOPPED))
        with pytest.raises(
            FrameworkError, match="none of 2 trials was finished; the last error: broke"
        ):
            study.best()
        assert list(study.table()["status"]) == ["failed", "stopped"]


def test_the_table_has_a_column_for_each_key(tmp_path: Path) -> None:
    with open_study(tmp_path, {}, resume=False) as study:
        study.add(trial(4, 2.0))
        row = study.table().iloc[0]
    assert (row["model.depth"], row["panel.columns"], row["fold_1"], row["value"]) == (
        4,
        "null",
        2.0,
        2.0,
    )


def test_an_experiment_holds_nested_values_and_lists() -> None:
    text = experiment_text({"model.depth": 3, "preprocessor.past": [{"step": "scale"}]}, "best")
    assert text.startswith("# @package _global_\n# best\n")
    assert "model:\n  depth: 3\n" in text
    assert "- step: scale" in text


def test_an_edited_experiment_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    check_not_edited(path, "tune.output", "run=tune")
    path.write_text(sealed("# @package _global_\nmodel: {depth: 3}\n"))
    check_not_edited(path, "tune.output", "run=tune")
    for text in (path.read_text().replace("3", "4", 1), "of somebody else\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"tune\.output: .*e\.yaml is not as run=tune wrote"):
            check_not_edited(path, "tune.output", "run=tune")
