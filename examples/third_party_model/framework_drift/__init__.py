from framework.hookspecs import Component, hookimpl
from framework.interfaces.options import Options


class DriftOptions(Options):
    window: int = 14


@hookimpl
def components() -> list[Component]:
    return [Component("model", "drift", "framework_drift.model:Drift", DriftOptions, "the line through a window's ends")]
