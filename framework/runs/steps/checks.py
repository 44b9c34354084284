"""Checks of runs before they begin: no plugin has heard of the run, and nothing heavy is imported.
Those of training are in :mod:`framework.runs.steps.rehearsal`.
"""

from __future__ import annotations

from framework.data.time import parse_time
from framework.data.vocabulary import CPU
from framework.errors import ConfigError, NotThereError, RegistryError
from framework.interfaces.ledger import Ledger, LedgerOptions
from framework.interfaces.registry import Registry
from framework.models.gpus import check_visible
from framework.plugins.run import Run
from framework.retrieval.features import Features
from framework.runs.options import MonitorOptions, PredictOptions, PromoteOptions
from framework.runs.steps.alerts import make_sinks
from framework.runs.steps.aliases import required_alias
from framework.runs.steps.answered import check_answered, newest_config
from framework.runs.steps.references import pair_reference
from framework.runs.steps.rehearsal import check_materialization, check_reading, rehearse
from framework.runs.steps.search import check_search, widest_config
from framework.runs.steps.unused import refuse_unused


def check_move(run: Run) -> None:
    """Refuse a move of an alias that is not named, or forced without a reason.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: A key is missing.
    """
    required_alias(run)
    if isinstance(run.options, PromoteOptions) and run.options.force and not run.config.reason:
        raise ConfigError('reason: missing; force=true needs one, such as reason="hotfix".')


def check_prediction(run: Run) -> None:
    """Refuse options that do not go together, and files that are not there.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: Two options exclude each other, or the output is a folder.
        NotThereError: A file of rows is not there.
    """
    config, options = run.config, run.options
    assert isinstance(options, PredictOptions)
    if options.device != CPU and (compute := config.component("compute").name) != "local":
        raise ConfigError(
            f"predict.device={options.device}: it goes with compute=local, not {compute}."
        )
    check_visible(options.device, "predict.device")
    if options.rows is None and options.future is not None:
        raise ConfigError(
            "predict.future: it goes with predict.rows; the steps ahead of stored rows are "
            "read from the store."
        )
    if options.rows is not None and (options.entities is not None or config.at is not None):
        raise ConfigError(
            "predict.rows: the file says which entities and origins; leave predict.entities "
            "and at out."
        )
    for option in ("rows", "future"):
        path = getattr(options, option)
        if path is not None and not path.is_file():
            raise NotThereError(f"predict.{option}: there is no file {path.absolute()}.")
    if options.output is not None and options.output.is_dir():
        output = options.output.absolute()
        raise ConfigError(
            f"predict.output: {output} is a folder; name a file, such as "
            f"predict.output={output / 'forecast.parquet'}."
        )
    if config.at:
        parse_time(config.at, "at")


def check_tuning(run: Run) -> None:
    """Read what a search is to do, rehearse its experiment, then look at what it will read.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: The search, the experiment or a name does not fit.
        DataError: What is read is not there.
    """
    dimensions, _ = check_search(run)
    config = widest_config(run.config, dimensions, run.plugins)
    features = Features(config, run.make("retrieval"))
    rehearse(config, features, run.make("preprocessor"), run.make("model"))
    check_reading(run)


def check_monitoring(run: Run) -> None:
    """Refuse sinks of alerts, and the training of an alert, that could not begin. Refuse a single
    judgement of nothing; by a schedule the first forecasts may come later.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: A sink is not installed or has a wrong option; with
            ``monitor.retrain.run=tune``, what ``run=tune`` would refuse; an option says something
            else than the pair was trained with; or there is no pair.
        NotThereError: The ledger has no forecasts.
    """
    options: MonitorOptions = run.options
    check_materialization(run)
    make_sinks(run)
    if options.retrain.alerts and options.retrain.run == "tune":
        check_search(run)
        run.make("tuner")
    if not options.retrain.alerts:  # what is trained then is trained as this run says
        check_answered(run, lambda: newest_config(run), own_sections=("panel", "seed"))
    if options.schedule is None:
        _check_served(run)
        _check_pair(run, "latest")


def check_comparison(run: Run) -> None:
    """Refuse to compare the arms of nothing, or by keys of which the ledger has hashes.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: An option is not used, or the ledger hashes an entity key.
        NotThereError: The ledger has no forecasts.
    """
    refuse_unused(run, ("panel", "ledger"))
    ledger: Ledger = run.make("ledger")
    keys = {*run.config.features.entity_keys}
    if isinstance(ledger.options, LedgerOptions) and keys & {*ledger.options.hashed}:
        raise ConfigError(
            "ledger.hashed: run=compare joins by the entity keys, of which this ledger has hashes; "
            "run=monitor has the figures of every arm."
        )
    _check_served(run)


def check_reproduction(run: Run) -> None:
    """Refuse to rebuild a pair that is not there.

    Args:
        run: A run that has not begun.

    Raises:
        ConfigError: Two keys name a pair, or there is none of that name.
        RefusedError: Nobody who is trusted has pointed the alias at it.
    """
    _check_pair(run, pair_reference(run.config, "latest"))


def _check_served(run: Run) -> None:
    """Read the ledger up to its first forecast."""
    config = run.config
    ledger: Ledger = run.make("ledger")
    since = parse_time(config.start, "start") if config.start else None
    pieces = ledger.read(config.name, config.paths.state, ["at"], since)
    if not any(len(piece) for piece in pieces):
        raise NotThereError(nothing_served(run))


def nothing_served(run: Run) -> str:
    """Say that there is nothing to judge, and what to do.

    Args:
        run: Its ``start`` may leave forecasts out.

    Returns:
        One line.
    """
    since = f" since {run.config.start}" if run.config.start else ""
    return (
        f"the ledger has no forecasts of '{run.config.name}'{since}; serve the pair first, with "
        "ledger.share above 0."
    )


def _check_pair(run: Run, reference: str) -> None:
    """Refuse a reference to no pair. Its files are not looked at."""
    registry: Registry = run.make("registry")
    registry.pairs(run.config.name)  # a registry that cannot be read is no wrong configuration
    try:
        registry.resolve(run.config.name, reference)
    except RegistryError as error:
        raise ConfigError(str(error)) from error
