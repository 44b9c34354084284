"""The offer of a plugin. Light: an entry module imports this and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import pluggy

from framework.options import Options

hookimpl = pluggy.HookimplMarker("framework")


Kind = Literal[
    "source",
    "retrieval",
    "preprocessor",
    "model",
    "registry",
    "serving",
    "tuner",
    "compute",
    "ledger",
    "alert_sink",
    "run",
    "extension",
]


Family = Literal[
    "naive", "seasonal", "level", "strongest", "local", "boosted", "intermittent", "lumpy"
]


@dataclass(frozen=True, slots=True)
class Automatic:
    """The way in which ``model=auto`` may use a model.

    Args:
        family: ``naive``, ``seasonal``, ``level`` and ``local`` models have the option
            ``season_length``, all but ``naive`` ones ``context_length`` too, which is whole
            seasons of a ``seasonal`` one; all but ``local`` ones learn nothing. A ``strongest``
            one has ``seasons`` and chooses among forecasts that learn nothing: it is the baseline.
            ``boosted`` ones have those of :class:`framework.models.options.BoostingOptions`,
            ``learning_rate``, ``colsample_bytree`` and ``objective``. ``intermittent`` and
            ``lumpy`` ones have ``context_length`` alone, and are for targets that are mostly 0, of
            sizes that are alike and unlike.
        seconds: What it is reckoned to cost: a ``boosted`` one for each row, column and tree, a
            ``local`` one for each step that it is fitted to. Of several boosted models the cheapest
            is used.
        losses: The words of ``objective`` for the ``absolute``, ``squared`` and ``tweedie`` loss,
            as pairs.
        cautious: Options of a ``boosted`` one, as pairs, with which it moves little away from what
            it starts from, and only where many rows say so.
    """

    family: Family
    seconds: float = 0.0
    losses: tuple[tuple[str, str], ...] = ()
    cautious: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """One offer: ``kind=name`` in a composition selects ``load`` with ``options``.

    The class implements the interface of its kind. Two kinds are different:

    - A ``run`` is a function ``(Run) -> dict``. It finds its options as ``run.options``. Their keys
      stand below the name of the run, ``run=drift drift.window=3``; one that is marked with
      :data:`framework.options.TOP_LEVEL` stands at the top level.
    - An ``extension`` is a class whose methods are hooks (``@hookimpl``). Nobody selects it: it is
      made with its options when a run begins. Their keys stand below ``extensions.NAME``.

    Args:
        kind: Which interface it implements.
        name: The word that selects it.
        load: ``package.module:Class``, imported when it is needed.
        options: The class of its options.
        summary: A line for ``--help``.
        takes: Of a run: keys that it uses beside its own options and that most runs do not,
            ``predict`` for all of ``predict.*``. A key that some run takes is refused on the
            command line of a run that does not. None: the run takes whatever is given, or where it
            has options, these alone.
        automatic: Of a model: how ``model=auto`` may use it. None: it is not tried.
        experiment: Of a run: whether it needs an experiment. A run that does not finds no
            ``panel``, ``features``, source, model and what belongs to them in its configuration
            where none is chosen.
        check: Of a run: ``package.module:function`` that is called with the run before it begins
            and raises what is known to be wrong. A run that it refuses has not begun: no hook is
            told of it, and nothing is kept. None: there is nothing to check.
        imports: Of a model or preprocessor: modules that the opening of a stored one imports,
            beside the one of ``load``. A server with several workers imports them once, in the
            process that the workers are copies of. None of them may start threads; the suites
            of ``framework.testing`` check that.
    """

    kind: Kind
    name: str
    load: str
    options: type[Options] = Options
    summary: str = ""
    takes: tuple[str, ...] | None = None
    automatic: Automatic | None = None
    experiment: bool = True
    check: str | None = None
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the configuration that several options of a plugin refer to.

    ``ray.address=HOST:PORT`` is written once; the options of a component have the default
    ``${ray.address}``. Several distributions may offer the same section with the same class.

    Args:
        name: The key at the top level.
        options: What stands below it. A :class:`framework.options.FreeOptions` takes every
            key.
        group: Whether ``name=CHOICE`` selects ``conf/name/CHOICE.yaml``.
        decisive: Whether it decides what is learned and forecast. A decisive section is the one
            that a pair recorded when the pair is rebuilt; any other is that of the run at hand.
    """

    name: str
    options: type[Options]
    group: bool = False
    decisive: bool = False


ENTRY_POINTS = "framework"

#: The version of the interfaces for plugins. A plugin says which one it was written for by
#: ``FRAMEWORK_API = 1`` in its entry module; one that says nothing was written for version 1.
API_VERSION = 1


KINDS: tuple[str, ...] = get_args(Kind)
