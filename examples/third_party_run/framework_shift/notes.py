from typing import Any

from framework.interfaces.plugin import hookimpl
from framework.plugins.run import Run


class Notes:
    def __init__(self, options: Any) -> None:
        self.options = options

    @hookimpl
    def run_finished(self, run: Run, result: dict[str, Any]) -> None:
        self.options.file.parent.mkdir(parents=True, exist_ok=True)
        with self.options.file.open("a") as file:
            file.write(f"{run.config.run} {result['status']}\n")
