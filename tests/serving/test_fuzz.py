"""Whatever the OpenAPI document allows, and much that it does not: every answer is one that the
document names and fits its schema there, none is a 5xx.

``FUZZ_EXAMPLES=10000`` (``make fuzz``) sends that many requests instead of some hundreds;
``FUZZ_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode

from framework.testing.servers.fake_server import server_process

EXAMPLES, SEED = int(os.environ.get("FUZZ_EXAMPLES", "250")), int(os.environ.get("FUZZ_SEED", "7"))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        server_process("fastapi", {"port": 0}, tmp_path_factory.mktemp("pair")) as (_, url),
        httpx.Client(base_url=url, timeout=60) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    return http.get("/openapi.json").json()


def check_answer(document: dict[str, Any], path: str, method: str, answer: httpx.Response) -> None:
    """Check the body of an answer against the schema that the document names for its status."""
    response = document["paths"][path][method]["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {}).get("application/json")
    if content is None or "schema" not in content:
        return
    Draft202012Validator({**content["schema"], "components": document["components"]}).validate(
        answer.json()
    )


def test_every_example_of_the_document_works_when_pasted(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    posted = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            example = (
                operation.get("requestBody", {})
                .get("content", {})
                .get("application/json", {})
                .get("example")
            )
            answer = http.request(method, path, json=example)
            assert answer.status_code == 200, (path, answer.text)
            check_answer(document, path, method, answer)
            posted += [path] if method == "post" else []
    assert len(posted) >= 5


def test_nothing_that_is_sent_is_answered_with_5xx(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations()]
    writing = [operation for operation in operations if operation.method == "post"]
    each = (EXAMPLES - len(operations)) // (2 * len(writing))
    statuses: Counter[int] = Counter()
    for operation in operations:
        for mode in GenerationMode if operation in writing else (GenerationMode.POSITIVE,):
            _fuzz(http, document, operation, mode, each if operation in writing else 1, statuses)
    assert sum(statuses.values()) >= 0.9 * EXAMPLES, statuses
    assert statuses[200]
    assert statuses[422]


def _fuzz(
    http: httpx.Client,
    document: dict[str, Any],
    operation: Any,
    mode: GenerationMode,
    examples: int,
    statuses: Counter[int],
) -> None:
    named = {int(status) for status in operation.definition.raw["responses"]} | {404, 405}

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        request = case.as_transport_kwargs(base_url=str(http.base_url))
        body = request.get("json", request.get("data"))
        content = body if isinstance(body, bytes | str | type(None)) else json.dumps(body)
        headers = {
            "content-type": "application/json",
            **{k: v for k, v in request["headers"].items() if k.lower() == "content-type"},
        }
        answer = http.request(request["method"], operation.path, content=content, headers=headers)
        statuses[answer.status_code] += 1
        assert answer.status_code in named, (
            operation.path,
            answer.status_code,
            answer.text,
            content,
        )
        assert answer.status_code < 500
        if str(answer.status_code) in operation.definition.raw["responses"]:
            check_answer(document, operation.path, operation.method, answer)
        if answer.status_code != 200:
            error = answer.json()["error"]
            assert error["message"] if isinstance(error, dict) else error

    send()
