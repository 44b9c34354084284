"""What plugins add to a server: routes, protocols, pages of the console, metrics."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from framework.errors import FrameworkError
from framework.interfaces.plugin import hookimpl
from framework.interfaces.serving_extension import (
    ConsolePage,
    Extension,
    ForecastRoute,
    HttpRoute,
    MetricRegistry,
)
from framework.serving.answers import Written
from framework.serving.app.app import create_app
from framework.serving.http.asgi import Call
from framework.serving.options import ServingOptions
from framework.serving.protocols.dialect import Dialect, Translation, together
from framework.serving.service import Service
from framework.testing.servers.fake_server import make_deployment, make_row


class Means(Dialect):
    """Rows in, a list of the first target's means out."""

    def translate(self, body: bytes, call: Call) -> Translation:
        def write(parts: Any) -> Written:
            return Written(orjson.dumps(together(parts).values[:, :, 0, 0].tolist()))

        return Translation(b'{"rows":' + body + b"}", lambda path: path, write)


def make_plugin(*added: Extension, name: str = "stranger") -> object:
    @hookimpl
    def serving_extensions(metrics: MetricRegistry) -> list[Extension]:
        metrics.counter(f"{name}_asked", "Questions to the stranger").inc(3)
        return list(added)

    return SimpleNamespace(__name__=name, serving_extensions=serving_extensions)


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"hello {request.query_params['who']}")


def ask(folder: Path, plugin: object, *asked: tuple[Any, ...], **options: Any) -> list[Any]:
    deployment = make_deployment(folder, extra=[plugin])
    app: Any = create_app(Service(deployment, ServingOptions.model_validate(options)))

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return [
                await http.request(method, path, json=body, headers=headers)
                for method, path, body, headers in asked
            ]

    return asyncio.run(run())


def test_a_plugin_adds_a_route_a_protocol_a_page_and_a_metric(tmp_path: Path) -> None:
    plugin = make_plugin(
        HttpRoute("/hello", hello, summary="Greets"),
        ForecastRoute("/means", Means(), "Means only"),
        ConsolePage("drift", "Drift & more", lambda: "<h1>Drift</h1>"),
    )
    greeted, means, page, first, metrics, document = ask(
        tmp_path,
        plugin,
        ("GET", "/hello?who=you", None, {}),
        ("POST", "/means", [make_row(), make_row()], {}),
        ("GET", "/console/pages/drift", None, {}),
        ("GET", "/", None, {}),
        ("GET", "/metrics", None, {}),
        ("GET", "/openapi.json", None, {}),
    )
    assert greeted.text == "hello you"
    assert (len(means.json()), len(means.json()[0])) == (2, 3)
    assert page.text == "<h1>Drift</h1>"
    assert "script-src" not in page.headers["content-security-policy"]
    assert '<a href="console/pages/drift">Drift &amp; more</a>' in first.text
    assert "{{" not in first.text
    assert "stranger_asked_total 3.0" in metrics.text
    assert 'route="/hello",status="200"' in metrics.text
    assert 'arm="production",pair="3",route="/means",status="200"' in metrics.text
    paths = document.json()["paths"]
    assert paths["/hello"]["get"]["summary"] == "Greets"
    assert "post" in paths["/means"]


def test_a_route_needs_a_key_of_its_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {scope: f"key-{scope}" for scope in ("predict", "admin")}
    lines = [f"{scope} {sha256(key.encode()).hexdigest()}" for scope, key in keys.items()]
    monkeypatch.setenv("FRAMEWORK_SERVING_KEYS", ";".join(lines))
    plugin = make_plugin(
        HttpRoute("/mine", hello), HttpRoute("/everybody", hello, scope=None), name="keyed"
    )
    bearer = {scope: {"authorization": f"Bearer {key}"} for scope, key in keys.items()}
    answers = ask(
        tmp_path,
        plugin,
        ("GET", "/mine?who=x", None, {}),
        ("GET", "/mine?who=x", None, bearer["predict"]),
        ("GET", "/mine?who=x", None, bearer["admin"]),
        ("GET", "/everybody?who=x", None, {}),
    )
    assert [answer.status_code for answer in answers] == [401, 403, 200, 200]


def test_the_pages_ask_no_other_host_and_have_nothing_of_the_pair_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the routes and of the console; a browser shows the same in the stress tests."""
    monkeypatch.setenv("FRAMEWORK_SERVING_KEYS", f"predict {sha256(b'right').hexdigest()}")
    plugin = make_plugin(HttpRoute("/mine", hello), name="paged")
    docs, console, document, own = ask(
        tmp_path,
        plugin,
        ("GET", "/docs", None, {}),
        ("GET", "/", None, {}),
        ("GET", "/openapi.json", None, {}),
        ("GET", "/openapi.json", None, {"authorization": "Bearer right"}),
    )
    features = own.json()["components"]["schemas"]["Row"]["properties"]
    assert features
    for page in (docs, console):
        assert page.status_code == 200
        assert (
            re.findall(r"""(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//""", page.text) == []
        )
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert [name for name in features if f'"{name}"' in page.text] == []
    assert document.status_code == 401


@pytest.mark.parametrize(
    "path", ["/pair", "/predict", "/invocations", "/console/series", "/openapi.json", "/docs", "/"]
)
def test_a_route_that_there_is_already_is_refused_in_one_line(tmp_path: Path, path: str) -> None:
    with pytest.raises(FrameworkError) as refused:
        ask(tmp_path, make_plugin(HttpRoute(path, hello)))
    assert str(refused.value) == (
        f"plugin stranger adds the route {path}, which the server has already; choose another "
        "path or uninstall it."
    )


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (HttpRoute("/series/{name}", hello), r"adds the route '/series/\{name\}'; a path begins"),
        (ConsolePage("Two Words", "x", str), "adds the page 'Two Words'"),
        ("/hello", "returns '/hello', which is no HttpRoute"),
    ],
)
def test_what_cannot_be_added_is_refused(tmp_path: Path, added: Any, message: str) -> None:
    with pytest.raises(FrameworkError, match=message):
        ask(tmp_path, make_plugin(added))


def test_a_plugin_that_returns_no_list_is_refused(tmp_path: Path) -> None:
    plugin = SimpleNamespace(__name__="stranger", serving_extensions=hookimpl(lambda: None))
    with pytest.raises(FrameworkError, match=r"^plugin stranger: serving_extensions\(\): TypeErr"):
        ask(tmp_path, plugin)


def test_a_server_without_a_console_has_no_pages(tmp_path: Path) -> None:
    plugin = make_plugin(ConsolePage("drift", "Drift", lambda: "<h1>Drift</h1>"))
    (answer,) = ask(tmp_path, plugin, ("GET", "/console/pages/drift", None, {}), console=False)
    assert answer.status_code == 404
