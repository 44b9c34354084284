"""The secrets among the values of a configuration, by type, by name and by shape.

A secret that is written out is refused.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Union, get_args, get_origin

from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, SecretBytes, SecretStr

from framework.config.written import Leaf
from framework.errors import ConfigError
from framework.secrets import looks_secret, remember, secrets_in

#: A character that no password has: what comes from the environment.
_SIGN = "\ue000"
_UNIONS = (Union, types.UnionType)


def declared(annotation: Any, path: Sequence[str], name: str | None = None) -> bool:  # noqa: PLR0911  one for each form of a type
    """Tell whether the value at ``path`` below a field is a secret.

    Its type says so, or its name where options are free-form.

    Args:
        annotation: The field's type.
        path: Keys from the field on.
        name: The field's own name, None for a word of the project's, such as the name of a table.

    Returns: True for a secret. Names that a project chooses, the keys of ``dict[str, Table]``, make
        none.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return declared(arguments[0], path, name)
    if origin in _UNIONS:
        return any(declared(each, path, name) for each in arguments if each is not type(None))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return bool(path) and declared(
            arguments[1], path[1:], path[0] if arguments[1] is Any else None
        )
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return bool(path) and declared(arguments[0], path[1:], name)
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(path[0]) if path else None
        return free(path) if field is None else declared(field.annotation, path[1:], path[0])
    if annotation is Any or path:
        return free([*([name] if name else []), *path])
    return name is not None and looks_secret(name)


def free(path: Iterable[str]) -> bool:
    """The same where nothing is declared: one of the names on the way to the value is that of a
    secret.
    """
    return any(map(looks_secret, path))


def check_leaves(
    leaves: Iterable[Leaf], secret: Callable[[tuple[str, ...]], bool], *, refuse: bool = True
) -> None:
    """Remember every secret among ``leaves``, so that it is masked from now on.

    Args:
        leaves: The values of a configuration.
        secret: Whether the value at a path is a secret whatever its shape.
        refuse: Whether a secret that does not come from the environment is an error.

    Raises:
        ConfigError: Names the keys of such secrets, never their values.
    """
    literal = [leaf for leaf in leaves if _written_out(leaf, secret(leaf.path))]
    places = {
        (id(leaf.node), leaf.key): ".".join(leaf.path) for leaf in reversed(literal)
    }  # one that others refer to counts once
    if places and refuse:
        where, *others = dict.fromkeys(reversed(places.values()))
        more = f" (and {', '.join(others)})" if others else ""
        raise ConfigError(
            f"{where}{more}: a secret that is written out would be recorded with every run; keep "
            f"it in an environment variable and write {where}='${{oc.env:NAME}}', in quotes "
            "on the command line."
        )


def _written_out(leaf: Leaf, secret: bool) -> bool:
    """Remembers the secrets of a leaf; True when one of them is no variable of the environment."""
    template = leaf.literal(_SIGN)
    if template is None or isinstance(template, bool) or template == "":
        return False
    with suppress(OmegaConfBaseException):  # a variable that is not set is said where it is needed
        value = leaf.value()
        for each in [str(value)] * (secret and value not in (None, "")) + secrets_in(str(value)):
            remember(each)
    defaults = [part.default for part in leaf.parts if part.default]
    parts = [
        each
        for text in (str(template), *defaults)
        if leaf.path[-1] != "query"
        for each in secrets_in(text)
    ]
    if secret:
        parts += [str(template), *defaults] if not leaf.parts else defaults
    is_key = "key" in leaf.path[-1].lower()
    parts = [
        each
        for each in parts
        if _SIGN not in each and "${" not in each and not (is_key and _is_path(each))
    ]
    for each in parts:
        remember(each)
    return bool(parts)


def _is_path(text: str) -> bool:
    """Tell whether ``text`` is a path; the path of a key's file is no secret."""
    return text.startswith(("/", "./", "../", "~")) or text.lower().endswith(
        (".pem", ".p8", ".key", ".json")
    )
