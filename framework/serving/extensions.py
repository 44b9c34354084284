"""Everything that a server answers beside its own forecasts: the server registers its routes
first, then every plugin adds its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from framework.errors import FrameworkError
from framework.interfaces.serving_extension import (
    ConsolePage,
    Extension,
    ForecastRoute,
    HttpRoute,
)
from framework.serving.deployment import Deployment
from framework.serving.http.access import Access
from framework.serving.http.metrics import Metrics

#: Who registers the server's own.
SERVER = "the server"
_PATH = re.compile(r"/[\w./~-]*", re.ASCII)
_PAGE = re.compile(r"[a-z0-9-]+")
#: No script, nothing from elsewhere.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)


class Extensions:
    """The owner of each path. Raises :class:`FrameworkError` for one that is taken.

    ``console``: whether the server has its console; without it there are no pages.
    """

    def __init__(self, access: Access, *, console: bool) -> None:
        self._access, self._console = access, console
        self._owners: dict[str, str] = {}
        self.http: list[HttpRoute] = []
        self.forecasts: list[ForecastRoute] = []
        self.pages: list[ConsolePage] = []

    def reserve(self, paths: Iterable[str], owner: str = SERVER) -> None:
        """Take paths that something else answers."""
        for path in paths:
            holder = self._owners.get(path)
            if holder is not None:
                raise FrameworkError(
                    f"{owner} adds the route {path}, which {holder} has already; choose another "
                    "path or uninstall it."
                )
            self._owners[path] = owner

    def add(self, extension: Extension, owner: str = SERVER) -> None:
        """Register a route, a protocol or a page."""
        if isinstance(extension, ConsolePage):
            self._add_page(extension, owner)
        elif isinstance(extension, HttpRoute):
            self._add_path(extension.path, owner)
            self._access.declare(extension.path, extension.scope)
            self.http.append(extension)
        elif isinstance(extension, ForecastRoute):
            self._add_path(extension.path, owner)
            self.forecasts.append(extension)
        else:
            raise FrameworkError(
                f"{owner}: serving_extensions() returns {extension!r}, which is no HttpRoute, "
                "ForecastRoute or ConsolePage; mend or uninstall it."
            )

    def _add_path(self, path: str, owner: str) -> None:
        if not _PATH.fullmatch(path):
            raise FrameworkError(
                f"{owner} adds the route {path!r}; a path begins with / and has letters, digits "
                "and ./~- only."
            )
        self.reserve([path], owner)

    def _add_page(self, page: ConsolePage, owner: str) -> None:
        if not _PAGE.fullmatch(page.name):
            raise FrameworkError(
                f"{owner} adds the page {page.name!r}; a name has lower-case letters, digits and "
                "- only."
            )
        if not self._console:
            return

        async def endpoint(_: Request) -> Response:
            html = await asyncio.to_thread(page.html)
            return Response(
                html, media_type="text/html", headers={"content-security-policy": _PAGE_POLICY}
            )

        self.add(HttpRoute(f"/console/pages/{page.name}", endpoint, scope=page.scope), owner)
        self.pages.append(page)

    def routes(self) -> list[Route]:
        """Give the routes that forecast nothing, as Starlette has them."""
        return [Route(route.path, route.endpoint, methods=[*route.methods]) for route in self.http]


def add_extensions(extensions: Extensions, deployment: Deployment, metrics: Metrics) -> None:
    """Register what every plugin adds. Raises :class:`FrameworkError` naming the plugin."""
    hook: Any = deployment.parts.plugins.hook.serving_extensions
    arguments = {"deployment": deployment, "metrics": metrics}
    for implementation in reversed(hook.get_hookimpls()):
        owner = f"plugin {implementation.plugin_name}"
        try:
            added: list[Extension] = [
                *implementation.function(*(arguments[name] for name in implementation.argnames))
            ]
        except Exception as error:
            raise FrameworkError(
                f"{owner}: serving_extensions(): {type(error).__name__}: {error}; mend or "
                "uninstall it."
            ) from error
        for extension in added:
            extensions.add(extension, owner)
