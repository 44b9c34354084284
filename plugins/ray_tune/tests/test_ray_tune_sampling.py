"""Proposals without Ray: conditions hold, a search that goes on neither repeats nor forgets."""

from __future__ import annotations

import pytest
from framework_ray_tune.sampling import grid_values, importance, make_sampler

from framework.errors import ConfigError
from framework.interfaces.tuner import DONE, FAILED, STOPPED, Dimension, Trial

SPACE = (
    Dimension("kind", "choice", choices=("a", ["b", 1], None)),
    Dimension("depth", "int", 2, 6, step=2, when={"kind": ("a",)}),
    Dimension("rate", "loguniform", 0.01, 1.0),
)


def ended(number: int, values: dict, value: float | None, status: str = DONE) -> Trial:
    return Trial(
        number,
        values,
        status,
        (value,) if value is not None else (),
        value if status == DONE else None,
        1.0,
    )


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_proposals_lie_in_the_space_and_conditions_hold(search: str) -> None:
    sampler = make_sampler(search, SPACE, 3, 5, ())
    kinds = set()
    for number in range(40):
        values = sampler.ask(number)
        assert values is not None
        kinds.add(str(values["kind"]))
        assert ("depth" in values) == (values["kind"] == "a")
        assert values.get("depth", 2) in (2, 4, 6)
        assert 0.01 <= values["rate"] <= 1
        status = (DONE, STOPPED, FAILED)[number % 3]
        sampler.tell(ended(number, values, values["rate"] if status != FAILED else None, status))
    assert kinds == {"a", "['b', 1]", "None"}


def test_tpe_comes_closer_than_it_began() -> None:
    line = (Dimension("x", "uniform", 0.0, 100.0),)
    sampler = make_sampler("tpe", line, 1, 8, ())
    errors = []
    for number in range(40):
        values = sampler.ask(number)
        assert values is not None
        errors.append(abs(values["x"] - 42))
        sampler.tell(ended(number, values, errors[-1]))
    assert sum(errors[-20:]) < 0.7 * sum(errors[:20])


def test_a_search_that_goes_on_learns_from_before_and_draws_other_values() -> None:
    first = make_sampler("random", SPACE, 3, 5, ())
    before = [ended(n, first.ask(n) or {}, 1.0) for n in range(5)]
    second = make_sampler("random", SPACE, 3, 5, before)
    again = [second.ask(n) for n in range(5, 10)]
    assert not [values for values in again if values in [trial.values for trial in before]]


def test_a_grid_is_complete_and_leaves_out_what_was_tried() -> None:
    space = (*SPACE[:2], Dimension("rate", "loguniform", 0.01, 1.0, points=3))
    everything = []
    sampler = make_sampler("grid", space, 0, 5, ())
    while (values := sampler.ask(len(everything))) is not None:
        everything.append(values)
    assert len(everything) == (3 + 1 + 1) * 3
    assert sorted({values["rate"] for values in everything}) == pytest.approx([0.01, 0.1, 1.0])
    rest = make_sampler(
        "grid", space, 0, 5, [ended(i, values, 1.0) for i, values in enumerate(everything[:13])]
    )
    assert [rest.ask(13), rest.ask(14), rest.ask(15)] == [*everything[13:], None]
    with pytest.raises(ConfigError, match=r"space\.rate: a grid needs a choice, or points"):
        grid_values(SPACE[2])


def test_importance_finds_the_option_that_matters() -> None:
    space = (Dimension("matters", "uniform", 0.0, 1.0), Dimension("not", "uniform", 0.0, 1.0))
    sampler = make_sampler("random", space, 5, 5, ())
    trials = []
    for number in range(40):
        values = sampler.ask(number)
        assert values is not None
        trials.append(ended(number, values, values["matters"] ** 2))
    shares = importance(trials, space)
    assert shares["matters"] > 5 * shares["not"]
    assert importance(trials[:3], space) == {}
