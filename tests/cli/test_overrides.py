"""What the command line gives is used or refused, and no message advises what then fails."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from framework.cli.overrides import check_arguments, check_taken, explain_override
from framework.config.config import Config, layout_of
from framework.errors import ConfigError, explain_system, suggest
from framework.interfaces.plugin import Component, hookimpl
from framework.options import takes_any_key
from framework.plugins.discovery import load_plugins

PLUGINS = load_plugins()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run=pairs", "run=history"],
            "run: given twice, as run=pairs and run=history; give it once.",
        ),
        (["+a.b=1", "++a.b=2"], "a.b: given twice, as +a.b=1 and ++a.b=2; give it once."),
        (["model=[a,b]"], "model=[a,b]: takes one name; backtest.compare=[a,b] compares"),
        (["source=[]"], "source=[]: takes one name."),
    ],
)
def test_what_says_something_twice_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_arguments(arguments)
    assert str(caught.value).startswith(message)


def test_what_is_said_once_is_not() -> None:
    check_arguments(
        [
            "-m",
            "--config-dir=a",
            "--config-dir=a",
            "run=train",
            "~model",
            "model=xgboost",
            "model.max_depth=4,6",
        ]
    )


@pytest.mark.parametrize(
    ("run", "override", "takers"),
    [
        ("train", "schedule=0 * * * *", "run=materialize, run=monitor."),
        (
            "train",
            "+alias=x",
            "run=alias, run=diff, run=history, run=predict, run=promote, run=reproduce, "
            "run=rollback, run=serve.",
        ),
        ("pairs", "what=features", "run=verify."),
        (
            "ingest",
            "version=3",
            "run=alias, run=diff, run=predict, run=promote, run=reproduce, run=rollback, "
            "run=serve.",
        ),
        ("train", "predict.output=x", "run=predict."),
        ("train", "backtest.compare=[a]", "run=backtest."),
        ("promote", "tune.trials=3", "run=tune."),
        ("history", "start=2024-01-01", "run=compare, run=materialize, run=monitor."),
        ("serve", "force=true", "run=promote."),
    ],
)
def test_a_key_of_other_runs_is_refused_with_those(run: str, override: str, takers: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_taken(["+experiment=x", override], run, PLUGINS)
    key = override.lstrip("+").partition("=")[0]
    assert (
        str(caught.value)
        == f"{key}: run={run} does not use it; leave {override} out, or choose a run that "
        f"does: {takers}"
    )


@pytest.mark.parametrize(
    ("run", "override"),
    [
        ("materialize", "schedule=0 * * * *"),
        ("train", "materialize.overlap=1d"),
        ("train", "backtest.folds=3"),
        ("predict", "predict.output=x"),
        ("verify", "verify.sample=3"),
        ("promote", "gate.margin=1"),
    ],
)
def test_a_key_of_its_own_is_taken(run: str, override: str) -> None:
    check_taken(["run=" + run, "seed=3", override], run, PLUGINS)


def test_a_plugins_run_declares_what_it_takes_or_takes_all() -> None:
    @hookimpl
    def components() -> list[Component]:
        return [
            Component("run", "drift", "x:y", takes=("at", "verify")),
            Component("run", "anything", "x:y"),
        ]

    plugins = load_plugins([SimpleNamespace(components=components, __name__="stranger")])
    check_taken(["at=2024-01-01", "verify.sample=3"], "drift", plugins)
    check_taken(["at=2024-01-01", "schedule=x"], "anything", plugins)
    with pytest.raises(ConfigError, match=r"alias: run=drift does not use it"):
        check_taken(["alias=x"], "drift", plugins)
    with pytest.raises(
        ConfigError, match=r"run=drift, run=history, run=materialize, run=predict\."
    ):
        check_taken(["at=x"], "train", plugins)


def test_what_every_run_of_the_core_takes_is_declared_and_there() -> None:
    runs = [component for component in PLUGINS.components() if component.kind == "run"]
    assert [run.name for run in runs if run.takes is None] == []
    keys = {key.split(".")[0] for run in runs for key in run.takes or ()}
    assert keys <= set(layout_of(PLUGINS).names())


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "drift.window",
            "drift.window: unknown key; there is no section 'drift'. Known: against, alias, ",
        ),
        (
            "modle.depth",
            "modle.depth: unknown key; there is no section 'modle'. Did you mean 'model'?",
        ),
        (
            "panel.season_length.x",
            "panel.season_length.x: unknown key; panel.season_length has no keys of its own.",
        ),
        ("space.model", "space.model: there is no such key yet; +space.model=… adds it."),
        (
            "source.files.other",
            "source.files.other: there is no such key yet; +source.files.other=… adds it.",
        ),
        (
            "source.tables.sales.qery",
            "source.tables.sales.qery: unknown key. Did you mean 'query'?",
        ),
        (
            "features.views.sales.valid_for",
            "features.views.sales.valid_for: it is not set yet; "
            "+features.views.sales.valid_for=… adds it.",
        ),
        ("seeds", "seeds: unknown key. Did you mean 'seed'? Known: against, alias, "),
    ],
)
def test_an_unknown_key_is_answered_with_what_works(where: str, message: str) -> None:
    assert explain_override(f"Could not override '{where}'.", [], PLUGINS).startswith(message)


def test_a_mapping_with_a_new_key_is_answered_with_what_adds_it() -> None:
    text = explain_override(
        "Could not override 'source.files'.", ["source.files={a: a.csv}"], PLUGINS
    )
    assert text.startswith("source.files: one of these keys is not there yet; +source.files={…}")


def test_an_override_that_cannot_be_read_is_named() -> None:
    text = explain_override(
        "no viable alternative at input '[y'", ["+experiment=e", "panel.targets=[y"], PLUGINS
    )
    assert text.startswith("panel.targets=[y: cannot be read")


def test_any_key_is_taken_only_where_the_names_are_the_users() -> None:
    for path in (["space"], ["space", "model"]):
        owner = layout_of(PLUGINS).owner(path)
        assert owner is not None
        assert takes_any_key(*owner)
    assert takes_any_key(Config, ["features", "views"])
    for path in (["panel"], ["drift"], ["panel", "season_length"], ["features", "views", "x"]):
        assert not takes_any_key(Config, path)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lgbm", "lightgbm"),
        ("xgb", "xgboost"),
        ("ets", "auto_ets"),
        ("naive", "seasonal_naive"),
        ("lightgmb", "lightgbm"),
        ("at", None),
    ],
)
def test_a_short_form_comes_before_a_slip(word: str, meant: str | None) -> None:
    models = [
        "auto_arima",
        "auto_ets",
        "dlinear",
        "lightgbm",
        "nlinear",
        "seasonal_naive",
        "tft",
        "tide",
        "xgboost",
    ]
    assert suggest(word, models) == ("" if meant is None else f" Did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/x"),
            "/data/x: Permission denied; give this user the right to it",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "[Errno 28] No space left on device; the disk is full; free some space",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "a", None, "b"),
            "a to b: Is a directory; a file is needed there",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "state"),
            "state: Read-only file system; its disk cannot be written",
        ),
        (OSError("something else"), "something else; try again"),
    ],
)
def test_an_error_of_the_operating_system_is_one_line_with_the_path(
    error: OSError, text: str
) -> None:
    assert explain_system(error).startswith(text)
