"""The page: its parts put into one document at the first request, and the policy that lets the
browser run these parts and no others.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from framework.interfaces.serving_extension import ConsolePage

_FOLDER = Path(__file__).parent / "page"
_STYLE = (_FOLDER / "console.css").read_text()


def _scripts(*names: str) -> tuple[str, ...]:
    return tuple((_FOLDER / f"{name}.js").read_text() for name in names)


_SCRIPTS = _scripts("server", "chart", "pairs", "forecast", "traffic", "monitoring", "console")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


#: Nothing from elsewhere, nothing inline but our own, asked from nobody but this server.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {' '.join(_hash(script) for script in _SCRIPTS)}",
        f"style-src {_hash(_STYLE)}",
        "connect-src 'self'",
        "img-src data:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def page(pages: Sequence[ConsolePage] = ()) -> str:
    """Give the document, with links to ``pages``."""
    links = (
        f'<a href="console/pages/{linked.name}">{escape(linked.title)}</a>' for linked in pages
    )
    return _document().replace("{{pages}}", "\n    ".join(links))


@cache
def _document() -> str:
    """One document without references: it works wherever it is mounted, and without any network but
    this server.
    """
    return _filled("page.html", _SCRIPTS)


def _filled(template: str, scripts: tuple[str, ...]) -> str:
    elements = "\n".join(f"<script>{script}</script>" for script in scripts)
    text = (_FOLDER / template).read_text()
    return text.replace("{{style}}", _STYLE).replace("{{scripts}}", elements)


def monitoring_page(name: str, report: dict[str, Any]) -> str:
    """Write what ``run=monitor`` found as a page of its own, which loads nothing.

    Args:
        name: Of the pairs.
        report: As the file of :func:`framework.monitoring.report.report_path` has it.
    """
    content = json.dumps({"name": name, "found": report}).replace("<", "\\u003c")
    scripts = _scripts("server", "chart", "monitoring", "report")
    return _filled("report.html", scripts).replace("{{found}}", content)
