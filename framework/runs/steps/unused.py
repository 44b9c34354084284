"""Options of the command line that a run does not use: refused, not left aside."""

from __future__ import annotations

from collections.abc import Collection

from framework.config.command_line import written_overrides
from framework.config.recorded import DECISIVE
from framework.errors import ConfigError
from framework.plugins.run import Run
from framework.runs.steps.answered import OWN

#: Sections and keys of the core that some runs use and others do not. Those that say which data
#: and which name are meant are taken by every run.
_SHARED = (
    *(key for key in DECISIVE if key not in OWN),
    *("gate", "auto", "ingest", "serving", "tuner", "compute", "ledger"),
)


def refuse_unused(run: Run, sections: Collection[str], own: Collection[str] = ()) -> None:
    """Refuse an option of the command line that the run would leave aside.

    Args:
        run: The run.
        sections: Those of the core that it uses, and keys of them, such as ``ingest.removed``.
        own: Options of the run itself that it does not use this time, such as ``verify.sample``.

    Raises:
        ConfigError: The option would do nothing.
    """
    for override in written_overrides():
        key = override.key_or_group
        is_shared = key.partition(".")[0] in _SHARED
        if key in own or (is_shared and not any(_is_below(key, name) for name in sections)):
            raise ConfigError(
                f"{key}: {_called(run)} does not use it; leave {override.input_line} out."
            )


def _is_below(key: str, name: str) -> bool:
    """Say whether ``key`` is ``name``, below it, or a mapping that may hold it."""
    return key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.")


def _called(run: Run) -> str:
    what = getattr(run.options, "what", None)
    return f"run={run.config.run}" + (f" what={what}" if what else "")
