"""Values that a user gave, as an options class takes them: an unknown key or a wrong value is named by its path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from framework.errors import ConfigError, suggest
from framework.interfaces.options import Options
from framework.secrets import masked

T = TypeVar("T", bound=Options)


def validate(model: type[T], values: dict[str, Any], path: str) -> T:
    """``model`` from plain values; errors carry the config path of the wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(model, problem, path) for problem in error.errors())) from error


def known_keys(model: type[Options], path: Sequence[str | int]) -> tuple[str, ...]:
    """The keys below ``path`` in ``model``, none where they are not fixed."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Options)):
            return ()
        model = field.annotation
    return tuple(model.model_fields)


def _explain(model: type[Options], problem: Any, path: str) -> str:
    where = ".".join(str(p) for p in ((path,) if path else ()) + problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = known_keys(model, problem["loc"][:-1])
        listed = f" Known: {', '.join(known)}." if known else ""
        return f"{where}: unknown key.{suggest(str(problem['loc'][-1]), known)}{listed}"
    got = "" if problem["type"] == "missing" else f", got {masked(repr(problem['input']))}"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}{got[:120]}"
