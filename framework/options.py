"""Options of a component: a frozen pydantic model beside the component; an unknown key is an
error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from framework.errors import ConfigError, suggest
from framework.secrets import masked, masked_tree


class Options(BaseModel):
    """Subclass it, one field per option, with the names of the library behind the component.

    A default may be an interpolation of the composed config, such as
    ``"${paths.state}/mlflow.db"``: the defaults become the YAML node that ``group=name`` selects,
    and are validated after they are resolved.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=False, protected_namespaces=()
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """With secrets masked."""
        return [(name, masked_tree(value)) for name, value in super().__repr_args__()]


class FreeOptions(Options):
    """Options of another library, which checks them itself: every key is taken. Values whose names
    are those of secrets are held to be secrets.
    """

    model_config = ConfigDict(extra="allow")

    @model_serializer(mode="wrap")
    def _masked(self, serialize: SerializerFunctionWrapHandler) -> Any:
        return masked_tree(serialize(self))


#: An option that is a secret: an API key, a password. It must come from the environment, and is
#: masked wherever it is shown; the component asks for it with
#: ``options.api_key.get_secret_value()``.
Secret = SecretStr

#: A share in per cent.
Percent = Annotated[float, Field(ge=0, le=100)]

#: A URL or connection string that may have a password in it, for the component a text as any
#: other. A password must come from the environment:
#: ``postgresql://reader:${oc.env:SALES_PASSWORD}@host/sales``, or the whole URL from a variable.
SecretUrl = Annotated[str, PlainSerializer(masked)]

#: The type of a validation error whose message does not repeat the value, which may be secret.
UNSHOWN: Final = "unshown"

#: Options of another library, free-form; values whose names are those of secrets are held to be
#: secrets.
FreeForm = Annotated[dict[str, Any], PlainSerializer(masked_tree)]


@dataclass(frozen=True, slots=True)
class _TopLevel:
    """The mark of :data:`TOP_LEVEL`."""


#: Marks an option of a run whose key stands at the top level of the configuration, not below the
#: run's name: ``schedule: Annotated[str | None, TOP_LEVEL] = None``.
TOP_LEVEL: Final = _TopLevel()


def top_level_keys(model: type[Options]) -> tuple[str, ...]:
    """List the options that are marked with :data:`TOP_LEVEL`.

    Args:
        model: The class of the options.

    Returns:
        Their names.
    """
    return tuple(name for name, field in model.model_fields.items() if TOP_LEVEL in field.metadata)


#: Microseconds of each unit, by every way to write it.
_MICROSECONDS = {
    name: size
    for size, names in (
        (1, "us"),
        (1_000, "ms"),
        (1_000_000, "s sec second seconds"),
        (60_000_000, "min mins minute minutes"),
        (3_600_000_000, "h hr hour hours"),
        (86_400_000_000, "d day days"),
        (604_800_000_000, "w week weeks"),
    )
    for name in names.split()
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*,?")
_ISO = re.compile(r"P(?!$)[\dYMWD.]*(T[\dHMS.]+)?", re.IGNORECASE)
_WAYS = "write it with its unit, such as 30s, 15min, 1h, 7d, 1w or P1D"


def parse_duration(value: Any) -> timedelta:
    """Read a duration that is written with its units: ``15min``, ``1d 12h``, ``1 day``,
    ``P1DT12H``.

    Args:
        value: The text. A ``timedelta`` is returned as it is.

    Returns:
        The duration, zero or longer.

    Raises:
        ValueError: For a number without a unit, a unit without a fixed length, or any other text.
    """
    if isinstance(value, timedelta):
        duration = value
    elif not isinstance(value, str) or re.fullmatch(r"\s*[-+]?[\d.]+\s*", value):
        raise ValueError(f"a duration without a unit; {_with_units(value)}")
    elif _ISO.fullmatch(value.strip()):
        duration = _iso(value.strip().upper())
    else:
        duration = _parts(value)
    if duration < timedelta(0):
        raise ValueError(f"a duration is not negative; {_WAYS}")
    return duration


def _with_units(value: Any) -> str:
    number = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d+", number):
        return _WAYS
    return f"write {number}d, {number}h, {number}min or {number}s"


def _iso(text: str) -> timedelta:
    if re.search("[YM]", text.partition("T")[0]):
        raise ValueError("months and years have no fixed length; write days, such as P30D")
    try:
        return _PLAIN.validate_python(text)
    except ValidationError as error:
        raise ValueError(f"not a duration; {_WAYS}") from error


def _parts(text: str) -> timedelta:
    """The sum of numbers with units; the units follow each other without anything in between."""
    end, total = 0, 0.0
    while end < len(text) or not end:
        part = _PART.match(text, end)
        if part is None:
            raise ValueError(f"not a duration; {_WAYS}")
        size = _MICROSECONDS.get(part[2].lower())
        if size is None:
            what = "a minute or a month" if part[2].lower() == "m" else "no unit of a fixed length"
            raise ValueError(f"'{part[2]}' is {what}; {_WAYS}")
        total += float(part[1]) * size
        end = part.end()
    try:
        return timedelta(microseconds=total)
    except OverflowError as error:
        raise ValueError("longer than any calendar") from error


_PLAIN: TypeAdapter[timedelta] = TypeAdapter(timedelta)

#: A length of time, written with its unit. It is kept, and written to JSON, as ISO 8601: ``P1D``.
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


_RANGE = re.compile(r"\s*(\d+)\s*\.\.\s*(\d+)\s*")


def step_numbers(value: Any) -> Any:
    """Write out the ranges among counts of steps: ``1..14``, alone or in a list, is 1, 2 … 14.

    Args:
        value: A number, a range or a list of them. Anything else is returned as it is, for the
            validation to refuse.

    Returns:
        The numbers, in order.

    Raises:
        ValueError: A range ends before it begins.
    """
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    numbers: list[Any] = []
    for part in value:
        match = _RANGE.fullmatch(part) if isinstance(part, str) else None
        if match is None:
            numbers.append(part)
            continue
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise ValueError(f"the range {part.strip()} ends before it begins")
        numbers += range(first, last + 1)
    return numbers


T = TypeVar("T", bound=Options)
#: What pydantic says in the words of Python.
_PLAIN_WORDS = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type"), "a list is needed, such as [a, b]"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"), "keys with values are needed"
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number is needed"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number is needed"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false is needed"),
    "string_type": "a text is needed",
}


def validate(
    model: type[T], values: dict[str, Any], path: str, source_of: Callable[[str], str] = str
) -> T:
    """Make options from plain values.

    Args:
        model: The class of the options.
        values: Plain values, as YAML gives them.
        path: The config path that ``values`` are at, for messages.
        source_of: Says where a path was written, for messages.

    Returns:
        The options.

    Raises:
        ConfigError: A key is unknown or a value is wrong; the message has the path of each.
    """
    options = _validate(model, values, path, source_of, ())
    assert options is not None  # nothing is excused
    return options


def validate_given(
    model: type[T], values: dict[str, Any], path: str, source_of: Callable[[str], str] = str
) -> T | None:
    """Make options as :func:`validate` does, from values that need not be complete.

    Args:
        model: The class of the options.
        values: Plain values, as YAML gives them.
        path: The config path that ``values`` are at, for messages.
        source_of: Says where a path was written, for messages.

    Returns:
        The options, or None where a required one is missing.

    Raises:
        ConfigError: Names the config path of every wrong key and value that is there.
    """
    return _validate(model, values, path, source_of, ("missing",))


def _validate(
    model: type[T],
    values: dict[str, Any],
    path: str,
    source_of: Callable[[str], str],
    excused: Sequence[str],
) -> T | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [each for each in error.errors() if each["type"] not in excused]
        if not problems:
            return None
        raise ConfigError(
            "; ".join(_explain(model, problem, path, source_of) for problem in problems)
        ) from error


def known_keys(model: type[Options], path: Sequence[str | int]) -> tuple[str, ...]:
    """List the keys below a path.

    Args:
        model: The class of the options.
        path: The parts of the path.

    Returns:
        The keys; none where they are not fixed. Options that are marked with :data:`TOP_LEVEL`
        stand elsewhere and are left out.
    """
    kind = _kind(model, path)
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        return ()
    top_level = top_level_keys(kind)
    # an alias is what a user writes: a key may be a word of Python's, such as ``for``
    return tuple(
        field.alias or name for name, field in kind.model_fields.items() if name not in top_level
    )


def takes_any_key(model: type[Options], path: Sequence[str | int]) -> bool:
    """Say whether the keys below a path are names of the user's.

    Args:
        model: The class of the options.
        path: The parts of the path.

    Returns:
        True for a dictionary, and for :class:`FreeOptions`.
    """
    kind = _kind(model, path)
    return kind is Any or get_origin(kind) in (dict, Mapping) or _is_free(kind)


def _is_free(kind: Any) -> bool:
    """Say whether ``kind`` is a class of options that takes every key."""
    return (
        isinstance(kind, type)
        and issubclass(kind, Options)
        and kind.model_config.get("extra") == "allow"
    )


def _kind(model: type[Options], path: Sequence[str | int]) -> Any:
    """Return the type of the value at ``path``, None where there is none."""
    kind: Any = model
    for part in path:
        if get_origin(kind) in (dict, Mapping):
            kind = get_args(kind)[1]
        elif (
            isinstance(kind, type) and issubclass(kind, Options) and str(part) in kind.model_fields
        ):
            kind = kind.model_fields[str(part)].annotation
        elif _is_free(kind):
            kind = Any
        elif kind is not Any:
            return None
        if get_origin(kind) in (Union, UnionType):
            others = [each for each in get_args(kind) if each is not type(None)]
            kind = others[0] if len(others) == 1 else kind
    return kind


def _explain(model: type[Options], problem: Any, path: str, source_of: Callable[[str], str]) -> str:
    where = source_of(".".join(str(p) for p in ((path,) if path else ()) + problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = known_keys(model, problem["loc"][:-1])
        hint = f" Known: {', '.join(known)}." if known else ""
        return f"{where}: unknown key.{suggest(str(problem['loc'][-1]), known)}{hint}"
    hidden = problem["type"] in ("missing", UNSHOWN)
    input_text = "" if hidden else f", got {_written(problem['input'])}"
    text = _PLAIN_WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    how = ""
    if problem["type"] == "string_type" and isinstance(problem["input"], bool):
        how = "; YAML reads the words on, off, yes and no so: put the text in quotes"
    return f"{where}: {text}{input_text[:120]}{how}"


def _written(value: Any) -> str:
    """Give a value as YAML writes it, with secrets masked."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else masked(repr(value))
