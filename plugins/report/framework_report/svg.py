"""A matplotlib figure as SVG that lives inside a page: no address in it, colours from the page's
style sheet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from io import StringIO

import matplotlib as mpl
from matplotlib.figure import Figure

from framework_report import plots

_VARIABLES = {
    plots.INK: "var(--ink)",
    plots.MUTED: "var(--muted)",
    plots.GRID: "var(--grid)",
    plots.MODEL: "var(--model)",
    plots.BAND: "var(--band)",
    plots.BASELINE: "var(--baseline)",
}


def inline_svg(
    figure: Figure, name: str, label: str, titles: Mapping[str, str] | None = None
) -> str:
    """Write a figure as one ``<svg>`` element.

    Args:
        figure: The figure.
        name: Keeps its ids apart from those of other figures.
        label: Read to who cannot see it.
        titles: Of a text that was shortened, the whole: shown to who points at it.
    """
    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(
        r'(id="|#)((?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib|legend|FillBetween)[\w.]*)',
        rf"\1{name}-\2",
        svg,
    )
    svg = svg.replace(
        "font-family: 'DejaVu Sans', 'Bitstream Vera Sans', 'Computer Modern Sans Serif'",
        "font-family: inherit",
    )
    for short, whole in (titles or {}).items():
        shown_text = escape(short, quote=False)
        svg = svg.replace(
            f">{shown_text}</text>", f">{shown_text}<title>{escape(whole)}</title></text>"
        )
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
