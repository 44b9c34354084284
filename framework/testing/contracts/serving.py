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
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from framework.data.vocabulary import TIME
from framework.testing import fakes
from framework.testing.contracts.findings import equal, same_bits
from framework.testing.servers.fake_server import (
    ENTITY,
    VERSION,
    Client,
    make_row,
    server_process,
    slow_request,
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


class ServingContract:
    """``backend`` and ``options``: the component and its options; the address must be one that is
    free.
    """

    backend: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
        """Start one server for all checks.

        Args:
            tmp_path_factory: Makes its folder.

        Yields:
            A client of the server.
        """
        limited = {**cls.options, "max_rows": 50, "max_body_bytes": 65_536}
        with (
            server_process(cls.backend, limited, tmp_path_factory.mktemp("pair")) as (_, url),
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            yield Client(http, fakes.make_pair(shift=3.0)[1])

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

    def test_entities_are_looked_up_each_with_its_own_status(self, client: Client) -> None:
        names = ["JFK", "nowhere", "old", "EWR", "holed", "young"]
        entities = [{**ENTITY, "airport": name} for name in names]
        many = client.http.post(
            "/predict/feast/batch", json={"entities": entities, "at": None}
        ).json()
        statuses = ["ok", "unknown_entity", "stale", "ok", "missing_feature", "short_history"]
        doing, cause = "a lookup of six entities", "the strategy's statuses are passed on, in order"
        equal([f["status"] for f in many["forecasts"]], statuses, doing, cause)
        equal([f["entity"] for f in many["forecasts"]], entities, doing, cause)
        for forecast, entity in zip(many["forecasts"], entities, strict=True):
            one = client.http.post("/predict/feast", json={"entity": entity}).json()
            expected = {"pair": VERSION.stamp("production"), "forecasts": [forecast]}
            cause = "one entity and a batch of them are answered by one path"
            equal(one, expected, f"a lookup of {entity} alone", cause)
            if forecast["status"] != "ok":
                answer = (forecast["times"], forecast["targets"], bool(forecast["detail"]))
                cause = "there is no forecast to invent, and the detail says why"
                equal(answer, ([], {}, True), f"the status {forecast['status']}", cause)

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

    def test_the_time_of_a_lookup_is_passed_on(self, client: Client) -> None:
        answer = client.http.post(
            "/predict/feast", json={"entity": ENTITY, "at": "2024-05-01T00:00:00Z"}
        ).json()
        origin = answer["forecasts"][0]["origin"]
        cause = "the strategy is asked for that origin"
        equal(origin, "2024-05-01T00:00:00Z", "a lookup at 2024-05-01", cause)

    def test_wrong_lookups_are_refused_with_their_path(self, client: Client) -> None:
        for route, body, path in (
            ("", {"entity": {"airport": "JFK"}}, "entity.carrier"),
            ("", {"entity": {**ENTITY, "plane": "x"}}, "entity.plane"),
            ("", {"entity": ENTITY, "at": "soon"}, "at"),
            ("", {"entities": [ENTITY]}, "entities"),
            (
                "/batch",
                {"entities": [ENTITY, {"airport": 1.5, "carrier": "DL"}]},
                "entities[1].airport",
            ),
            ("/batch", {"entities": []}, "entities"),
        ):
            answer = client.http.post(f"/predict/feast{route}", json=body)
            actual = (answer.status_code, answer.json()["error"]["path"])
            doing = f"the wrong lookup {body}"
            equal(actual, (422, path), doing, "the path names the field to mend")

    def test_a_store_that_is_down_is_503_with_retry_after(self, client: Client) -> None:
        answer = client.http.post("/predict/feast", json={"entity": {**ENTITY, "airport": "down"}})
        doing, cause = "a lookup while the feature store is away", "it is no fault of the client's"
        equal(answer.status_code, 503, doing, cause)
        seconds = int(answer.headers.get("retry-after", 0))
        assert seconds >= 1, f"{doing} says Retry-After {seconds}; a client is to wait."
        message = answer.json()["error"]["message"]
        assert "feature store" in message, f"{doing} does not say what is away: {message}"

    def test_a_server_without_a_store_says_so(self, tmp_path: Path) -> None:
        with server_process(self.backend, self.options, tmp_path, "none") as (_, url):
            answer = httpx.post(f"{url}/predict/feast", json={"entity": ENTITY}, timeout=30)
            doing, cause = "a lookup on a server without a store", "a request must bring its rows"
            equal(answer.status_code, 409, doing, cause)
            message = answer.json()["error"]["message"]
            assert "no feature store" in message, f"{doing} does not say why: {message}"
            paths = httpx.get(f"{url}/openapi.json", timeout=30).json()["paths"]
            routes = [path for path in paths if path.startswith("/predict")]
            equal(routes, ["/predict"], "the document of a server without a store", cause)
            status = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
            equal(status.status_code, 200, "rows on a server without a store", cause)

    def test_every_response_has_an_id_and_the_headers_of_safety(self, client: Client) -> None:
        cause = "the middleware of create_app sets it on every response, errors too"
        for method, path in (
            ("POST", "/predict"),
            ("GET", "/pair"),
            ("GET", "/nowhere"),
            ("GET", "/health/live"),
            ("GET", "/"),
        ):
            doing = f"{method} {path}"
            headers = client.http.request(method, path, headers={"X-Request-ID": "mine-1"}).headers
            name = headers.get("x-request-id")
            equal(name, "mine-1", f"X-Request-ID of {doing} that was sent one", cause)
            sniff = headers.get("x-content-type-options")
            equal(sniff, "nosniff", f"X-Content-Type-Options of {doing}", cause)
            other = client.http.request(method, path, headers={"X-Request-ID": "not an id"})
            name = other.headers.get("x-request-id", "")
            assert name not in ("", "not an id"), (
                f"{doing} with an X-Request-ID that is none has the id {name!r}; it gets one of "
                "the server's."
            )

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

    def test_metrics_count_requests_forecasts_and_stages(self, client: Client) -> None:
        def read() -> dict[str, float]:
            lines = client.http.get("/metrics").text.splitlines()
            return {
                line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in lines
                if line[:1] != "#"
            }

        before = read()
        client.post_rows(client.golden_rows())
        client.post_rows([make_row(temp="hot")])
        client.http.post("/predict/feast", json={"entity": ENTITY})
        after = read()
        cause = "dashboards and alerts are built on these names"
        for name, more in (
            (
                'framework_requests_total{arm="production",pair="3",route="/predict",status="200"}',
                1,
            ),
            ('framework_requests_total{arm="",pair="",route="/predict",status="422"}', 1),
            ('framework_forecasts_total{arm="production",pair="3",status="ok"}', 5),
            ('framework_stage_seconds_count{arm="production",stage="validate"}', 1),
            ('framework_stage_seconds_count{arm="production",stage="retrieve"}', 1),
            ('framework_stage_seconds_count{arm="production",stage="preprocess"}', 2),
            ('framework_stage_seconds_count{arm="production",stage="predict"}', 2),
            ('framework_request_windows_count{arm="production"}', 2),
            ('framework_request_windows_sum{arm="production"}', 5),
        ):
            count = after.get(name, 0) - before.get(name, 0)
            doing = f"{name} after a batch of four, one wrong row and one lookup"
            equal(count, more, doing, cause)
        names = [name for name in after if name.startswith("framework_pair_info")]
        assert any('version="3"' in name for name in names), (
            f"framework_pair_info does not say that version 3 answers, but {names}."
        )
        assert "framework_requests_in_flight" in after, "framework_requests_in_flight is missing."

    def test_many_clients_at_once_get_each_their_own_answer(self, client: Client) -> None:
        rows, wrong = client.golden_rows(), list[object]()

        def ask(which: int) -> None:
            expected = client.golden.values[which : which + 1]
            with self.another(client) as http:
                for _ in range(20):
                    answer = http.post("/predict", json={"rows": [rows[which]]})
                    if answer.status_code != 200:
                        wrong.append(answer.status_code)
                    elif not np.array_equal(client.values(answer), expected):
                        wrong.append(which)

        threads = [threading.Thread(target=ask, args=(i % len(rows),)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, (
            f"{len(wrong)} of 160 answers to eight clients at once are another client's, or mixed: "
            "something of a request is kept where the next one finds it."
        )

    def another(self, client: Client) -> AbstractContextManager[httpx.Client]:
        """Open a connection of its own to the server of a client.

        Args:
            client: The client.

        Returns:
            The connection.
        """
        return httpx.Client(base_url=client.http.base_url, timeout=30)

    def test_too_many_requests_at_once_are_503_with_retry_after(self, tmp_path: Path) -> None:
        with (
            server_process(self.backend, {**self.options, "max_in_flight": 1}, tmp_path) as (
                _,
                url,
            ),
            slow_request(url) as slow,
        ):
            answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
            actual = (answer.status_code, answer.headers.get("retry-after"))
            doing = "a second request where max_in_flight is 1"
            equal(actual, (503, "1"), doing, "what cannot be done now is refused at once")
            status = httpx.get(f"{url}/health/live", timeout=30).status_code
            equal(status, 200, "/health/live of a busy server", "it is not counted")
        equal(slow[0].status_code, 200, "the request that came first", "it was accepted")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_lets_requests_in_flight_finish_and_exits_with_0(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        with server_process(self.backend, self.options, tmp_path) as (process, url):
            with slow_request(url) as slow:
                process.send_signal(number)
            doing, cause = f"a server after {number.name}", "it drains, then ends"
            equal(process.wait(20), 0, f"the exit code of {doing}", cause)
            equal(slow[0].status_code, 200, f"a request in flight on {doing}", cause)
            count = len(slow[0].json()["forecasts"])
            equal(count, 300, f"a request of 300 rows in flight on {doing}", cause)
            assert self.is_gone(url), f"{doing} still answers after its process has ended."

    def is_gone(self, url: str) -> bool:
        """Say whether a server has ended.

        Args:
            url: The base URL that it had.

        Returns:
            True when nothing answers there any more.
        """
        try:
            httpx.get(f"{url}/health/live", timeout=5)
        except httpx.ConnectError:
            return True
        return False
