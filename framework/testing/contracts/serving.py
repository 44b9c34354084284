"""The contract of a serving backend, checked from outside against a real process that serves a pair
of fakes.

Subclass :class:`ServingContract` in a plugin's tests, and
:class:`framework.testing.contracts.serving_live.LiveServingContract` beside it::

    class TestMyBackend(ServingContract):
        backend = "mine"
        options = {"port": 0}
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from framework.data.vocabulary import TIME
from framework.testing import fakes
from framework.testing.contracts.findings import equal, same_bits
from framework.testing.contracts.serving_lookups import LookupContract
from framework.testing.contracts.serving_operation import OperationContract
from framework.testing.servers.fake_server import (
    ENTITY,
    VERSION,
    Client,
    make_row,
)

#: Body of ``POST /predict``, status, path of the field.
WRONG: list[tuple[Any, int, str]] = [
    ({"rows": [make_row(), make_row(temp="hot")]}, 422, "rows[1].temp"),
    ({"rows": [make_row(temp=None)]}, 422, "rows[0].temp"),
    ({"rows": [make_row(temp="left out")]}, 422, "rows[0].temp"),
    ({"rows": [make_row(temp=True)]}, 422, "rows[0].temp"),
    ({"rows": [make_row(temp=1e39)]}, 422, "rows[0].temp"),
    (
        {"rows": [make_row(airport=4.5)]},
        422,
        "rows[0].airport",
    ),  # a number that is no key; 4 is the key "4"
    ({"rows": [make_row(airport=None)]}, 422, "rows[0].airport"),
    ({"rows": [make_row(tmep=4)]}, 422, "rows[0].tmep"),
    ({"rows": [make_row(**{TIME: "yesterday"})]}, 422, f"rows[0].{TIME}"),
    ({"rows": [make_row(**{TIME: "0001-01-01"})]}, 422, f"rows[0].{TIME}"),
    ({"rows": [make_row(**{TIME: 5})]}, 422, f"rows[0].{TIME}"),
    ({"rows": []}, 422, "rows"),
    ({"rows": {}}, 422, "rows"),
    ({"rows": [3]}, 422, "rows[0]"),
    ({}, 422, "rows"),
    ([], 422, "body"),
    ({"rows": [make_row()], "columns": {k: [v] for k, v in make_row().items()}}, 422, "columns"),
    ({"columns": {k: [v] for k, v in make_row().items()} | {"temp": [1, 2]}}, 422, "columns.temp"),
    (
        {"columns": {k: [v] for k, v in make_row().items()} | {"temp": [None]}},
        422,
        "columns.temp[0]",
    ),
    ({"row": [make_row()]}, 422, "row"),
    ({"rows": [make_row()] * 51}, 413, "rows"),
    (b'{"rows": [', 400, "body"),
    (b'{"rows": [{"temp": NaN}]}', 400, "body"),
    (b'{"rows": [{"airport": "\xff"}]}', 400, "body"),
    (b"", 400, "body"),
    (b" " * 70_000, 413, "body"),
]


#: Why the numbers of an answer usually are not those of the training.
_ROUNDED = (
    "numbers go through as float64 and as they were sent: no float32, no rounding, no other order "
    "of columns or rows"
)


class ServingContract(LookupContract, OperationContract):
    """``backend`` and ``options``: the component and its options; the address must be one that is
    free.
    """

    def test_is_live_ready_and_names_its_pair(self, client: Client) -> None:
        stamp = VERSION.stamp("production")
        live = client.http.get("/health/live").status_code
        equal(live, 200, "/health/live", "whoever restarts servers asks it")
        ready = client.http.get("/health/ready").json()
        cause = "a load balancer sends requests by it, and an operator reads which pair answers"
        equal(ready, {"status": "ready", "pair": stamp}, "/health/ready", cause)
        pair = client.http.get("/pair").json()
        cause = "clients learn from it what they get"
        equal({k: pair[k] for k in stamp}, stamp, "/pair", cause)
        facts = (pair["run_id"], pair["horizon"], pair["quantiles"])
        equal(facts, ("run-3", 3, [0.1, 0.9]), "run, horizon and quantiles of /pair", cause)
        schema = fakes.make_schema().model_dump(mode="json", exclude={"categories"})
        equal(pair["schema"], schema, "the schema of /pair", cause)
        equal(set(pair["categories"]), {"season"}, "the categories of /pair", cause)

    def test_one_row_answers_what_training_recorded_bit_for_bit(self, client: Client) -> None:
        for row, expected in zip(client.golden_rows(), client.golden.values, strict=True):
            same_bits(
                client.values(client.post_rows([row])),
                expected[None],
                "one row of the golden batch, posted,",
                _ROUNDED,
            )

    def test_a_batch_of_rows_or_columns_answers_bit_for_bit_in_order(self, client: Client) -> None:
        rows = client.golden_rows()
        answer = client.post_rows(rows)
        doing = "the golden batch, posted as rows,"
        same_bits(client.values(answer), client.golden.values, doing, _ROUNDED)
        order = [f["entity"]["airport"] for f in answer.json()["forecasts"]]
        cause = "forecasts come in the order of the rows"
        equal(order, [r["airport"] for r in rows], doing, cause)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        content = client.http.post("/predict", json={"columns": columns}).content
        cause = "rows and columns are two forms of one request"
        equal(content, answer.content, "the golden batch, posted as columns,", cause)

    def test_an_answer_has_the_documented_shape(self, client: Client) -> None:
        body = client.post_rows([make_row(**{TIME: "2024-03-01T02:00:00+02:00"})]).json()
        cause = "clients are written for the documented shape; the shared pipeline makes it"
        equal(body["pair"], VERSION.stamp("production"), "'pair' of an answer", cause)
        (forecast,) = body["forecasts"]
        equal(forecast["entity"], ENTITY, "'entity' of a forecast", cause)
        origin = (forecast["origin"], forecast["status"])
        equal(origin, ("2024-03-01T00:00:00Z", "ok"), "origin and status", cause)
        times = [f"2024-03-0{day}T00:00:00Z" for day in (2, 3, 4)]
        equal(forecast["times"], times, "'times' of a forecast", cause)
        equal(set(forecast["targets"]), {"departures", "delay"}, "'targets'", cause)
        quantiles = set(forecast["targets"]["delay"]["quantiles"])
        equal(quantiles, {"0.1", "0.9"}, "'quantiles' of a target", cause)

    @pytest.mark.parametrize(
        ("body", "status", "path"),
        WRONG,
        ids=[f"{i}-{path}" for i, (_, _, path) in enumerate(WRONG)],
    )
    def test_wrong_input_is_refused_with_its_path(
        self, client: Client, body: Any, status: int, path: str
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.http.post(
            "/predict", content=content, headers={"content-type": "application/json"}
        )
        doing = f"wrong input, {content[:80]!r},"
        cause = "what a client sent wrong is never a 500 and never answered; validation names it"
        equal(answer.status_code, status, doing, cause)
        error = answer.json()["error"]
        equal(error["path"], path, f"'path' of the error of {doing}", cause)
        assert "\n" not in error["message"], f"the error of {doing} has several lines."

    def test_other_errors_have_the_same_shape(self, client: Client) -> None:
        cause = "every error is {error: {path, message}}, the server's own, too"
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("GET", "/predict", 405),
            ("POST", "/pair", 405),
        ):
            answer = client.http.request(method, path)
            error = answer.json()["error"]
            actual = (answer.status_code, error["path"], bool(error["message"]))
            equal(actual, (status, None, True), f"{method} {path}", cause)
        answer = client.http.post("/predict", content=b"{}", headers={"content-type": "text/csv"})
        equal(answer.status_code, 415, "a body that says it is text/csv", cause)
        message = answer.json()["error"]["message"]
        assert "application/json" in message, (
            f"the error of 415 does not say what to send: {message}"
        )

    def test_a_row_that_cannot_be_transformed_leaves_the_others_their_forecast(
        self, client: Client
    ) -> None:
        rows = client.golden_rows()
        answer = client.post_rows([*rows[:2], make_row(season=fakes.BROKEN), *rows[2:]]).json()[
            "forecasts"
        ]
        doing = "a batch whose third row cannot be transformed"
        cause = "one client's wrong row must not cost the others their answer"
        words = ["ok", "ok", "error", "ok", "ok"]
        equal([f["status"] for f in answer], words, doing, cause)
        equal((answer[2]["times"], answer[2]["targets"]), ([], {}), doing, cause)
        detail = answer[2]["detail"]
        assert fakes.BROKEN in detail, f"the detail of {doing} does not name the value: {detail}"
        means = client.golden.values[3, :, 1, 0].tolist()
        equal(answer[4]["targets"]["delay"]["mean"], means, f"the last row of {doing}", cause)

    def test_a_shorter_horizon_answers_the_first_steps(self, client: Client) -> None:
        cause = "a shorter horizon cuts the answer and changes no number"
        for path, body in (
            ("/predict", {"rows": [make_row()]}),
            ("/predict/feast", {"entity": ENTITY}),
            ("/predict/feast/batch", {"entities": [ENTITY, {**ENTITY, "airport": "nowhere"}]}),
        ):
            whole = client.http.post(path, json={**body, "horizon": None}).json()["forecasts"][0]
            part = client.http.post(path, json={**body, "horizon": 2}).json()["forecasts"][0]
            doing = f"{path} with horizon 2"
            equal(part["times"], whole["times"][:2], doing, cause)
            delay, all_steps = part["targets"]["delay"], whole["targets"]["delay"]
            equal(delay["mean"], all_steps["mean"][:2], doing, cause)
            quantiles = (delay["quantiles"]["0.9"], all_steps["quantiles"]["0.9"][:2])
            equal(*quantiles, doing, cause)
            for wrong in (0, 4, "2", 1.5):
                refused = client.http.post(path, json={**body, "horizon": wrong})
                actual = (refused.status_code, refused.json()["error"]["path"])
                doing = f"{path} with horizon {wrong!r}"
                equal(actual, (422, "horizon"), doing, "a pair forecasts 1 to 3 steps")

    def test_the_examples_of_the_document_work_when_pasted(self, client: Client) -> None:
        cause = "people begin with what /docs shows"
        equal(client.http.get("/docs").status_code, 200, "/docs", cause)
        document = client.http.get("/openapi.json").json()
        row = document["components"]["schemas"]["Row"]
        equal(row["properties"]["temp"]["type"], "number", "the type of 'temp'", cause)
        equal(set(row["required"]), set(make_row()), "the columns that a row needs", cause)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                example = (
                    operation.get("requestBody", {})
                    .get("content", {})
                    .get("application/json", {})
                    .get("example")
                )
                answer = client.http.request(method, path, json=example)
                doing = f"the example of {method.upper()} {path} ({answer.text[:200]})"
                equal(answer.status_code, 200, doing, cause)
