"""Options of a component: a frozen pydantic model beside the component; an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Subclass it, one field per option, with the names of the library behind the component.

    A default may be an interpolation of the composed config, such as ``"${paths.state}/mlflow.db"``: the
    defaults become the YAML node that ``group=name`` selects, and are validated after they are resolved.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, protected_namespaces=())
