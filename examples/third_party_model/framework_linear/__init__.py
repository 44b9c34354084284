from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class LinearOptions(Options):
    window: int = 14
    alpha: float = 1.0


@hookimpl
def components() -> list[Component]:
    path, summary = "framework_linear.model:Linear", "scikit-learn's ridge regression"
    return [Component("model", "linear", path, LinearOptions, summary)]
