"""``auto`` in a configuration, written out as plain keys before anything is checked or recorded.

What is written follows from the configuration alone (frequency, horizon, season), so every run of
an experiment sees the same views, whatever its data say. What the data decide is the business of
:mod:`framework.tuning.automatic`.
"""

from __future__ import annotations

import copy
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from framework.config.catalog import Plugins
from framework.config.ensembles import filled, members_of
from framework.config.lags import add_lags
from framework.errors import ConfigError, FrameworkError

AUTO = "auto"
#: The longest season, in steps, that lags and rolling statistics are made for.
LONGEST = 2_016
#: How many seasons a row looks back at. A season of days, months or quarters needs few columns for
#: that; of hours it would need a hundred for each target.
MANY, FEW, SHORT = 4, 2, 12


def written_out(tree: DictConfig, plugins: Plugins) -> DictConfig:
    """Return the configuration with ``engineer: auto``, ``future: auto``, the lags that a model
    needs and the defaults of an ensemble's members as plain keys.

    ``model=auto`` means both where the primary view and the preprocessor say nothing. A
    configuration without any of them is returned as it is.

    Raises:
        ConfigError: ``auto`` stands where nothing can be made of it.
    """
    try:
        plain: Any = OmegaConf.to_container(tree, resolve=False)
        panel = _resolved(tree, "panel")
        model = _resolved(tree, "model")
    except OmegaConfBaseException:
        return tree  # the check names what cannot be resolved
    features = plain.get("features")
    views = features.get("views") if isinstance(features, dict) else None
    if not isinstance(views, dict) or panel is None or model is None:
        return tree
    primary = views.get(features.get("primary"))
    if not isinstance(primary, dict):
        return tree
    before = copy.deepcopy(plain)
    plain["panel"] = panel
    if panel.get("season_length") is None:
        panel["season_length"] = _usual_season(panel)
    plain["model"] = filled(plain["model"], plugins)
    is_auto = model.get("name") == AUTO
    _write_views(views, features.get("primary"), panel, is_auto)
    preprocessor = plain.get("preprocessor")
    if isinstance(preprocessor, dict) and (
        preprocessor.get("future") == AUTO
        or (is_auto and preprocessor.get("name") == "native" and not preprocessor.get("future"))
    ):
        preprocessor["future"] = _calendar(panel, plain.get("auto") or {})
    lags = model.get("seasonal_lags")
    if "seasonal_lags" in model and not lags and before["features"] != plain["features"]:
        lags = list(seasonal_lags(panel))
        plain["model"]["seasonal_lags"] = lags
    if is_auto:
        lags = seasonal_lags(panel)
    for _, inner in members_of(model.get("name"), model):
        add_lags(plain, inner.get("seasonal_lags") or [])
    if lags:
        add_lags(plain, lags)
    changed = {
        key: plain[key]
        for key in ("features", "preprocessor", "model")
        if plain.get(key) != before.get(key)
    }
    values = {key: panel.get(key) for key in ("columns", "known", "season_length")}
    if any(value != before["panel"].get(key) for key, value in values.items()):
        changed["panel"] = {**before["panel"], **values}
    if not changed:
        return tree
    copied = copy.deepcopy(tree)
    OmegaConf.set_readonly(copied, False)
    OmegaConf.set_struct(copied, False)
    for key, value in changed.items():
        copied[key] = value
    return copied


def _resolved(tree: DictConfig, key: str) -> dict[str, Any] | None:
    node = tree.get(key)
    if not isinstance(node, DictConfig):
        return None
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return plain if isinstance(plain, dict) else None


def _write_views(views: dict[str, Any], primary: Any, panel: dict[str, Any], is_auto: bool) -> None:
    for name, view in views.items():
        if not isinstance(view, dict):
            continue
        if view.get("engineer") == AUTO and name != primary:
            raise ConfigError(
                f"features.views.{name}.engineer: auto makes features of the targets, which are "
                f"in the primary view '{primary}'; list the operations of this one."
            )
        if view.get("engineer") == AUTO or (
            is_auto and name == primary and not view.get("engineer")
        ):
            view["engineer"] = _operations(panel)
            if is_auto:
                _write_changes(view, panel)


def _write_changes(primary: dict[str, Any], panel: dict[str, Any]) -> None:
    """Add to the primary view the change of each of its columns known in advance since one season
    before, and to ``panel.known`` its name: what moves a forecast away from the last season is what
    moved its causes.
    """
    known, lengths = panel.get("known"), seasons(panel)
    if not isinstance(known, list) or not lengths:
        return
    own = [name for name in known if name in (primary.get("columns") or ())]
    if not own:
        return
    change = {"op": "difference", "columns": own, "steps": list(lengths)}
    primary["engineer"] = [*primary["engineer"], change]
    prefixes = tuple(f"{name}_difference_" for name in own)
    others = [name for name in known if name in own or not str(name).startswith(prefixes)]
    panel["known"] = [*others, *(f"{prefix}{n}" for prefix in prefixes for n in lengths)]


def seasons(panel: dict[str, Any]) -> tuple[int, ...]:
    """The season lengths, in steps, of ``panel.seasons``; without them those that
    ``panel.frequency`` suggests, with ``panel.season_length``. The shortest first; at most three.
    """
    from framework.data.frequency import Frequency  # brings numpy

    try:
        frequency = Frequency.parse(str(panel.get("frequency")))
    except FrameworkError:
        return ()  # the check names it
    candidates = panel.get("seasons") or (panel.get("season_length"), *frequency.seasons)
    usable = {n for n in candidates if isinstance(n, int) and 1 < n <= LONGEST}
    return tuple(sorted(usable))[:3]


def _usual_season(panel: dict[str, Any]) -> int | None:
    """The shortest season of the frequency, 1 where it has none."""
    from framework.data.frequency import Frequency  # brings numpy

    try:
        frequency = Frequency.parse(str(panel.get("frequency")))
    except FrameworkError:
        return None  # the check names it
    return next(iter(frequency.seasons), 1)


def seasonal_lags(panel: dict[str, Any]) -> tuple[int, ...]:
    """The lags that each step's row holds: one of every season and several of the shortest, so that
    one odd season is seen as odd; the last value where there is no season.
    """
    lengths = seasons(panel)
    if not lengths:
        return (1,)
    short = lengths[0]
    several = MANY if short <= SHORT else FEW
    return tuple(sorted({*lengths, *(short * count for count in range(1, several + 1))}))


def _operations(panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Lags and rolling statistics of the targets, in order."""
    targets, lengths = panel.get("targets"), seasons(panel)
    if not isinstance(targets, list):
        return []
    short = lengths[0] if lengths else 4
    windows = sorted({min(max(2, short), 28), *lengths, *([4 * short] if short <= 12 else [])})
    recent = list(range(1, min(max(short, 4), 8)))
    return [
        {"op": "lag", "columns": list(targets), "steps": recent},
        {
            "op": "rolling",
            "columns": list(targets),
            "windows": windows,
            "statistics": ["mean", "std"],
        },
        {"op": "expanding", "columns": list(targets), "statistics": ["mean"]},
    ]


def _calendar(panel: dict[str, Any], auto: dict[str, Any]) -> list[dict[str, Any]]:
    """The calendar of the steps ahead, holidays too where ``auto.country`` says which."""
    from framework.data.frequency import Frequency  # brings numpy

    try:
        frequency = Frequency.parse(str(panel.get("frequency")))
    except FrameworkError:
        return []
    if frequency.months:
        fields = ["quarter"] if frequency.months == 3 else ["month"]
        fields = [] if frequency.months % 12 == 0 else fields
    elif frequency.seconds >= 7 * 86_400:
        fields = ["week_of_year"]
    elif frequency.closed is not None or frequency.seconds >= 86_400:
        fields = ["day_of_week", "day_of_month", "month"]
    else:
        fields = ["hour", "day_of_week", "month"]
        if frequency.seconds < 3_600:
            fields.insert(0, "minute")
    country = auto.get("country")
    if country is not None and frequency.seconds and frequency.seconds <= 86_400:
        fields += ["is_holiday"]
        if frequency.seconds == 86_400:
            fields += ["days_to_holiday", "days_since_holiday"]
    if not fields:
        return []
    step = {"step": "calendar", "fields": fields, "time_zone": auto.get("time_zone") or "UTC"}
    return [{**step, "country": country}]
