"""The page at ``/docs``: the OpenAPI document for people, without any network but this server. It
has no data in it, and asks for a key where the document needs one.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from framework.interfaces.serving_extension import HttpRoute

_FOLDER = Path(__file__).parent
_STYLE, _SCRIPT = ((_FOLDER / name).read_text() for name in ("docs.css", "docs.js"))
_PAGE = (
    (_FOLDER / "docs.html").read_text().replace("{{style}}", _STYLE).replace("{{script}}", _SCRIPT)
)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def docs_route() -> HttpRoute:
    """Make the route of the page."""

    async def shown(_: Request) -> Response:
        headers = {"content-security-policy": _POLICY}
        return Response(_PAGE, media_type="text/html", headers=headers)

    return HttpRoute("/docs", shown, scope=None)
