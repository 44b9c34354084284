"""Durations are written with their unit, in every options class of the core and of the plugins;
what is stored of them stays as it was.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import BaseModel

from framework.config.config import Config
from framework.errors import ConfigError
from framework.features.views import FeatureSet, View
from framework.options import Duration, Options, parse_duration, validate
from framework.plugins.discovery import load_plugins

HOUR = timedelta(hours=1)


class Job(Options):
    """Nothing but a duration."""

    wait: Duration | None = None


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1h", HOUR),
        ("15min", HOUR / 4),
        ("1d", timedelta(days=1)),
        ("7D", timedelta(days=7)),
        ("1w", timedelta(days=7)),
        ("30s", timedelta(seconds=30)),
        ("1 day", timedelta(days=1)),
        ("90 minutes", 1.5 * HOUR),
        ("1.5h", 1.5 * HOUR),
        ("2 weeks, 1 day", timedelta(days=15)),
        ("1d12h", timedelta(days=1.5)),
        ("P1D", timedelta(days=1)),
        ("PT1H", HOUR),
        ("PT15M", HOUR / 4),
        ("P1DT12H", timedelta(days=1.5)),
    ],
)
def test_a_duration_has_many_spellings_and_one_length(text: str, length: timedelta) -> None:
    assert parse_duration(text) == validate(Job, {"wait": text}, "job").wait == length


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "a duration without a unit; write 7d, 7h, 7min or 7s, got 7"),
        ("7", "write 7d, 7h, 7min or 7s"),
        (0.5, "a duration without a unit"),
        (True, "a duration without a unit"),
        ("5m", "'m' is a minute or a month; write it with its unit, such as 30s, 15min"),
        ("3 fortnights", "'fortnights' is no unit of a fixed length"),
        ("P1M", "months and years have no fixed length; write days, such as P30D"),
        ("1:30:00", "not a duration"),
        ("-1d", "not a duration"),
        ("-P1D", "not a duration"),
        ("P", "not a duration"),
        ("1h and more", "not a duration"),
        ("", "not a duration"),
        ("soon", "not a duration"),
        ("99999999999999d", "longer than any calendar"),
    ],
)
def test_anything_else_is_refused_with_the_path_and_the_way_to_write_it(
    value: object, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Job, {"wait": value}, "job")
    assert str(caught.value).startswith("job.wait: ")
    assert words in str(caught.value)


def option_classes(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from option_classes(part, seen)


def parts(annotation: object) -> Iterator[object]:
    yield annotation
    for argument in typing.get_args(annotation):
        yield from parts(argument)


def test_no_option_anywhere_takes_a_number_for_a_duration() -> None:
    """Look at every field of the core and of the installed plugins whose type is a length of
    time.
    """
    seen: set[type[BaseModel]] = set()
    components = [c.options for c in load_plugins().components() if c.options is not None]
    durations = []
    for top in (Config, *components):
        for model in option_classes(top, seen):
            for name, field in model.model_fields.items():
                if timedelta in set(parts(field.annotation)):
                    durations.append(f"{model.__name__}.{name}")
                    with pytest.raises(ValueError, match="a duration without a unit; write 7d"):
                        model.__pydantic_validator__.validate_assignment(
                            model.model_construct(), name, "7"
                        )
    core = {"View.ttl", "FeatureSet.max_age", "Join.ttl", "MaterializeOptions.overlap"}
    assert core | {"SqlTable.overlap", "RedisStreamOptions.claim_idle"} <= {*durations}


def test_every_wrong_duration_of_the_views_is_named_by_its_path() -> None:
    join = {"op": "join", "table": "t", "by": ["s"], "columns": ["a"], "time": "since", "ttl": 3}
    views = {"v": {"entity": ["s"], "columns": ["y"], "ttl": 7, "engineer": [join]}}
    with pytest.raises(ConfigError) as caught:
        validate(FeatureSet, {"primary": "v", "views": views, "max_age": 2}, "features")
    for path in (
        "features.views.v.ttl",
        "features.views.v.engineer.0.join.ttl",
        "features.max_age",
    ):
        assert f"{path}: a duration without a unit" in str(caught.value)


def test_the_definition_of_a_view_is_what_it_was() -> None:
    """Its digest names stored files."""
    join = {
        "op": "join",
        "table": "t",
        "by": ["s"],
        "columns": ["a"],
        "time": "since",
        "ttl": "36h",
    }
    view = View.model_validate({"entity": ["s"], "columns": ["y"], "ttl": "1d", "engineer": [join]})
    assert view.definition() == (
        '{"entity":["s"],"columns":["y"],"categories":[],"engineer":[{"op":"join","table":"t","by":["s"],'
        '"columns":["a"],"prefix":"","time":"since","ttl":"P1DT12H"}],"created":null}'
    )
    assert View.model_validate_json(view.model_dump_json()) == view
    same = View.model_validate({**view.model_dump(), "ttl": "24h"})
    assert same.definition() == view.definition()
