"""The page: numbers and plots of a backtest in one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from framework.evaluation.result import BacktestResult, spoken_choice
from framework.plugins.run import Run
from framework_report.explore import explorable
from framework_report.figures import (
    SeriesErrors,
    calibration,
    choose_series,
    intervals,
    metric_groups,
    series_errors,
    step_errors,
)
from framework_report.plots import coverage_by_origin, error_by_step, panel_titles, series_grid
from framework_report.svg import inline_svg

#: Rows of the table of the worst series.
TABLE_ROWS = 15
#: Series that are named where some are left out.
NAMED = 20
_COMPONENTS = ("model", "baseline", "preprocessor", "retrieval", "source", "registry")


def write_report(run: Run, result: BacktestResult) -> Path:
    """Write ``report/index.html`` and ``report/plots/*.png`` below the run's directory; the plots
    become artifacts of the run.
    """
    folder = run.directory / "report"
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    baseline = run.config.component("baseline").name.replace("_", " ")
    coverage = intervals(result)
    targets = [_target(result, i, baseline, plots) for i in range(len(result.schema.targets))]
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=run.config.name,
            schema=result.schema,
            components={group: run.config.component(group).name for group in _COMPONENTS},
            baseline=baseline,
            refit=run.config.backtest.refit,
            facts=run.record.facts,
            taken=run.record.facts.get("taken"),
            taken_lines=taken_lines(run.record.facts.get("taken")),
            run_id=run.id,
            config=run.config.text,
            targets=targets,
            explore=explorable(
                result,
                [series_errors(result, i) for i in range(len(result.schema.targets))],
                baseline,
            ),
            by_step=_plot(
                error_by_step(step_errors(result), baseline),
                "error-by-step",
                "Error by steps ahead",
                plots,
            ),
            comparison=run.record.comparison,
            groups=metric_groups(result.metrics()[result.schema.targets[0]]["model"]),
            intervals=coverage,
            by_origin=_plot(
                coverage_by_origin(coverage), "coverage-by-origin", "Coverage by origin", plots
            )
            if any(coverage.values())
            else None,
            folds=_folds(result),
            total_seconds=sum(result.seconds),
        )
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    run.record.artifacts.append(plots)
    return path


def number(value: float) -> str:
    """Four digits that matter, an em dash for what is unknown."""
    if not np.isfinite(value):
        return "—"
    if value == 0 or 0.001 <= abs(value) < 10_000:
        digits = 0 if value == 0 else max(0, min(3, 3 - int(np.floor(np.log10(abs(value))))))
        return f"{value:,.{digits}f}"
    return f"{value:,.0f}" if abs(value) < 1e9 and abs(value) >= 10_000 else f"{value:.2e}"


def change(value: float, reference: float) -> str:
    """Say by how many per cent a value is lower or higher than the reference."""
    if not (np.isfinite(value) and np.isfinite(reference)) or reference == 0:
        return "—"
    return f"{100 * (value / reference - 1):+.1f} %".replace("-", "\N{MINUS SIGN}")


def when(time: str) -> str:
    """A time without the parts that are zero: the date alone for a day."""
    text = time.removesuffix(".000000")
    date, _, clock = (
        text.removesuffix(":00") if len(text) == len("2024-01-01T00:00:00") else text
    ).partition("T")
    return date if clock in ("", "00:00") else f"{date} {clock}"


def taken_lines(counts: Mapping[str, Any] | None) -> list[str]:
    """List the remarks on series that were left out or not forecast."""
    if counts is None:
        return []
    short, without, lines = counts["short"], counts["no_forecast"], []
    if short["count"]:
        action = "left out" if short["policy"] == "drop" else "kept"
        lines.append(
            f"{short['count']} too short to learn from ({short['needed']} steps are needed) "
            f"and {action}: {_named(short)}"
        )
    if without["windows"]:
        lines.append(
            f"{without['windows']} windows have no forecast (a short history, a stale view "
            f"or a missing feature), of {_named(without)}"
        )
    if counts["not_judged"]:
        lines.append(f"{counts['not_judged']} have no row at any origin and are not judged")
    return lines


def _named(part: Mapping[str, Any]) -> str:
    names = [" · ".join(series.values()) for series in part["series"][:NAMED]]
    return ", ".join(names) + (
        f" and {part['count'] - len(names)} more" if part["count"] > len(names) else ""
    )


def _verdict(model: float, baseline: float) -> str:
    return "good" if model < baseline else "bad" if model > baseline else "even"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("framework_report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "when": when,
        "percent": lambda v: f"{100 * v:.1f} %" if np.isfinite(v) else "—",
    }
    environment.filters["chance"] = lambda p: "—" if p is None else f"{p:.3g}"
    environment.globals |= {"change": change, "nan": float("nan")}
    return environment


def _plot(
    figure: Any, name: str, label: str, folder: Path, titles: Mapping[str, str] | None = None
) -> Markup:
    """Save the PNG, return the SVG. The figure comes from our own numbers; its texts are escaped by
    matplotlib.
    """
    figure.savefig(folder / f"{name}.png", dpi=90, facecolor="white")
    figure.set_layout_engine("none")  # laid out by now; once more would take as long as to draw it
    return Markup(inline_svg(figure, name, label, titles))  # noqa: S704


def _target(result: BacktestResult, index: int, baseline: str, folder: Path) -> dict[str, Any]:
    target = result.schema.targets[index]
    errors = series_errors(result, index)
    ranked = errors.worst_first()
    groups = choose_series(ranked)
    few = not len(groups[1])
    plots = [
        {
            "title": title if not few else "Every series, the worst first",
            "svg": _plot(
                series_grid(result, index, errors, group, baseline),
                f"series-{index}-{key}",
                f"{target}: {title}",
                folder,
                panel_titles(errors, group),
            ),
        }
        for key, title, group in zip(
            ("worst", "spread"), ("The worst series", "A spread of the others"), groups, strict=True
        )
        if len(group)
    ]
    sides = result.metrics()[target]
    choice = spoken_choice(result.baseline_choices().get(target, {})).replace("_", " ")
    return {
        "name": target,
        "metrics": sides,
        "label": f"{baseline}: {choice}" if choice else baseline,
        "verdict": _verdict(sides["model"]["MAE"], sides["baseline"]["MAE"]),
        "calibration": calibration(result, index),
        "plots": plots,
        "drawn": sum(len(group) for group in groups),
        "left_out": len(ranked) - sum(len(group) for group in groups),
        "unjudged": len(errors.names) - len(ranked),
        "worst": [_series_row(errors, int(s)) for s in ranked[:TABLE_ROWS]],
        "beaten": int((errors.mae[ranked] < errors.baseline_mae[ranked]).sum()),
        "judged": len(ranked),
    }


def _series_row(errors: SeriesErrors, series: int) -> dict[str, Any]:
    columns = ("mean", "mae", "wape", "mase", "baseline_mae", "baseline_mase")
    return {"name": errors.names[series], **{c: float(getattr(errors, c)[series]) for c in columns}}


def _folds(result: BacktestResult) -> list[dict[str, Any]]:
    rows = []
    for fold, seconds in zip(np.unique(result.fold), result.seconds, strict=True):
        in_fold = result.fold == fold
        origins = np.unique(result.origins[in_fold]).astype("M8[m]")
        rows.append(
            {
                "number": int(fold) + 1,
                "origin": when(str(origins[0])),
                "windows": int(in_fold.sum()),
                "metrics": result.metrics(in_fold),
                "seconds": seconds,
            }
        )
    return rows
