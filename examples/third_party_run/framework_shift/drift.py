from typing import Any

from framework.plugins.run import Run


def drift(run: Run) -> dict[str, Any]:
    config, options = run.config, run.options
    rows = run.make("retrieval").training_rows(config.features, config.panel.targets)
    newest = rows.groupby(list(config.features.entity_keys)).tail(options.window)
    older = rows.drop(newest.index)
    shifts = {t: float(newest[t].mean() / older[t].mean() - 1) for t in config.panel.targets}
    far = [t for t, shift in shifts.items() if abs(shift) > options.limit]
    return {"shift": shifts, "warnings": [f"{target} has shifted" for target in far]}
