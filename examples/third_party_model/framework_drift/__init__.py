from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class DriftOptions(Options):
    window: int = 14


@hookimpl
def components() -> list[Component]:
    path, summary = "framework_drift.model:Drift", "the line through a window's ends"
    return [Component("model", "drift", path, DriftOptions, summary)]
