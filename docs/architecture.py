"""Draw the two pictures of ``docs/architecture.md``: the rooms of the core, by the contract that
import-linter checks, and the way of a row from its source to a judged forecast.

``make api`` runs it. The pictures ask no other host for anything, and are dark where the reader's
screen is.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
_STYLE = """<style>
text { font-family: system-ui, sans-serif; font-size: 15px; fill: #1d2433; text-anchor: middle }
.small { font-size: 12.5px; fill: #4b5468 }
.head { font-weight: 600; font-size: 14px }
.page { fill: #ffffff } .box { fill: #eef2fb; stroke: #5468a8 } .pair { fill: #fdf1dc;
stroke: #b07d21 } .store { fill: #e8f4ec; stroke: #3f8458 } .group { fill: none; stroke: #8a93a6;
stroke-dasharray: 5 4 } .line { fill: none; stroke: #4b5468; stroke-width: 1.6 }
.tip { fill: #4b5468 }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9f2 } .small { fill: #b3bacb } .page { fill: #171a22 } .box { fill: #232b42 }
.pair { fill: #3b2f17 } .store { fill: #1d3326 } .line { stroke: #b3bacb } .tip { fill: #b3bacb } }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
orient="auto-start-reverse"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>
"""
#: What each room is for.
_ROOMS = {
    "cli": "the command line",
    "runs": "one file a run",
    "projects": "what run=init guesses",
    "testing": "contracts, fakes",
    "serving": "requests, arms, console",
    "tuning": "search spaces",
    "monitoring": "ledger, drift, alerts",
    "plugins": "hooks, discovery",
    "evaluation": "backtest, gate",
    "ingestion": "source to store",
    "pairs": "fit, prove, load",
    "retrieval": "panel and context",
    "config": "composed and checked",
    "models": "toolkit of models",
    "interfaces": "the contracts of plugins, one file each",
    "features": "views and engineered columns",
    "data": "arrays, schema, panel, windows, forecast",
    "options": "how options are checked",
    "errors": "one line",
    "files": "survive a kill",
    "secrets": "never shown",
}


def rooms() -> str:
    """Draw the rooms of the core, the top floor first."""
    floors = layers()
    lines, y = [], 20
    for names in floors:
        width = (840 - 12 * (len(names) - 1)) / len(names)
        for i, name in enumerate(names):
            kind = {"interfaces": "pair", "pairs": "pair"}.get(name, "box")
            lines += _box(60 + i * (width + 12), y, width, 44, name, _ROOMS[name], kind)
        y += 54
    lines.append(f'<path class="line" d="M34 24V{y - 16}" marker-end="url(#tip)"/>')
    lines.append(
        f'<text class="small" transform="translate(24 {y / 2:.0f}) rotate(-90)">imports</text>'
    )
    return _picture(920, y + 10, lines, "The rooms of the core; each imports those below it")


def layers() -> list[list[str]]:
    """Read the floors of the contract, the top floor first."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [c for c in linter["contracts"] if c.get("containers") == ["framework"]]
    floors = [line.replace(":", "|").split("|") for line in contract["layers"]]
    names = [[name.strip() for name in floor] for floor in floors]
    return [floor for floor in names if floor != ["__main__"]]


def loop() -> str:
    """Draw the way of a row, and the loop that monitoring closes."""
    lines = [
        *_box(20, 30, 120, 56, "source", "files, SQL, streams", "box"),
        *_box(170, 30, 120, 56, "ingestion", "checks, features", "box"),
        *_box(320, 30, 140, 56, "feature store", "offline, online", "store"),
        *_box(490, 30, 110, 56, "backtest", "rolling origins", "box"),
        *_group(630, 10, 150, 196, "the pair"),
        *_box(645, 40, 120, 50, "preprocessor", "columns to arrays", "pair"),
        *_box(645, 102, 120, 50, "model", "arrays to steps", "pair"),
        *_note(705, 174, "one version, one"),
        *_note(705, 192, "manifest, one proof"),
        *_arrow("M140 58H166"),
        *_arrow("M290 58H316"),
        *_arrow("M460 58H486"),
        *_arrow("M600 58H626"),
        *_box(630, 254, 150, 56, "gate, alias", "registry: MLflow", "box"),
        *_arrow("M705 206V250"),
        *_group(276, 126, 218, 340, "a server, or Ray Serve"),
    ]
    services = [
        ("ForecastAPI", "validate, answer"),
        ("FeastService", "retrieve the context"),
        ("PreprocessingService", "columns to arrays"),
        ("ModelService", "predict"),
    ]
    for i, (name, note) in enumerate(services):
        lines += _box(286, 156 + 76 * i, 180, 56, name, note, "box")
        if i:
            lines += _arrow(f"M376 {136 + 76 * i}V{152 + 76 * i}")
    lines += [
        *_arrow("M466 412H480V184H470"),
        *_arrow("M630 282H498"),
        *_note(562, 274, "load, prove"),
        *_arrow("M350 86V112H260V260H282"),
        *_note(176, 200, "rows of one origin"),
        *_arrow("M494 432H536"),
        *_box(540, 404, 130, 56, "ledger", "what was forecast", "store"),
        *_box(320, 510, 150, 56, "run=monitor", "accuracy, drift, alerts", "box"),
        *_arrow("M605 460V538H474"),
        *_arrow("M330 86V98H244V488H395V506"),
        *_note(178, 340, "what came since"),
        *_box(60, 510, 130, 56, "retrain", "train, promote", "box"),
        *_arrow("M320 538H194"),
        *_arrow("M80 510V90"),
        *_note(106, 430, "again"),
    ]
    return _picture(800, 590, lines, "From a source to a judged forecast, and back")


def _note(x: float, y: float, text: str) -> list[str]:
    return [f'<text class="small" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>']


def _box(x: float, y: float, w: float, h: float, title: str, note: str, kind: str) -> list[str]:
    middle = x + w / 2
    return [
        f'<rect class="{kind}" x="{x:.0f}" y="{y}" width="{w:.0f}" height="{h}" rx="6"/>',
        f'<text class="head" x="{middle:.0f}" y="{y + h / 2 - 3:.0f}">{escape(title)}</text>',
        f'<text class="small" x="{middle:.0f}" y="{y + h / 2 + 15:.0f}">{escape(note)}</text>',
    ]


def _group(x: float, y: float, w: float, h: float, title: str) -> list[str]:
    return [
        f'<rect class="group" x="{x}" y="{y}" width="{w}" height="{h}" rx="8"/>',
        f'<text class="small" x="{x + w / 2:.0f}" y="{y + 19}">{escape(title)}</text>',
    ]


def _arrow(path: str) -> list[str]:
    return [f'<path class="line" d="{path}" marker-end="url(#tip)"/>']


def _picture(width: int, height: int, lines: list[str], title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    page = f'<rect class="page" width="{width}" height="{height}" rx="10"/>'
    body = "\n".join([head, f"<title>{escape(title)}</title>", _STYLE + page, *lines, "</svg>"])
    return body + "\n"


def pictures() -> dict[Path, str]:
    """Draw both."""
    folder = ROOT / "docs"
    return {folder / "architecture-rooms.svg": rooms(), folder / "architecture-loop.svg": loop()}


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text)
