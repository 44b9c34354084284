from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class DriftOptions(Options):
    window: int = 14


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "model",
            "drift",
            "framework_drift.model:Drift",
            DriftOptions,
            "the line through a window's ends",
        )
    ]
