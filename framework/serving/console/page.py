"""The page: its parts put into one document at the first request, and the policy that lets the
browser run these parts and no others.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from framework.interfaces.serving_extension import ConsolePage

_FOLDER = Path(__file__).parent / "page"
_STYLE = (_FOLDER / "console.css").read_text()
_SCRIPTS = tuple(
    (_FOLDER / f"{name}.js").read_text()
    for name in ("server", "chart", "pairs", "forecast", "traffic", "console")
)


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
    scripts = "\n".join(f"<script>{script}</script>" for script in _SCRIPTS)
    return (
        (_FOLDER / "page.html")
        .read_text()
        .replace("{{style}}", _STYLE)
        .replace("{{scripts}}", scripts)
    )
