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
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from framework.data.vocabulary import TIME
from framework.testing import fakes
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
        assert client.http.get("/health/live").status_code == 200
        assert client.http.get("/health/ready").json() == {"status": "ready", "pair": stamp}
        pair = client.http.get("/pair").json()
        assert {k: pair[k] for k in stamp} == stamp
        assert (pair["run_id"], pair["horizon"], pair["quantiles"]) == ("run-3", 3, [0.1, 0.9])
        assert pair["schema"] == fakes.make_schema().model_dump(mode="json", exclude={"categories"})
        assert set(pair["categories"]) == {"season"}

    def test_one_row_answers_what_training_recorded_bit_for_bit(self, client: Client) -> None:
        for row, expected in zip(client.golden_rows(), client.golden.values, strict=True):
            assert np.array_equal(client.values(client.post_rows([row])), expected[None])

    def test_a_batch_of_rows_or_columns_answers_bit_for_bit_in_order(self, client: Client) -> None:
        rows = client.golden_rows()
        answer = client.post_rows(rows)
        assert np.array_equal(client.values(answer), client.golden.values)
        assert [f["entity"]["airport"] for f in answer.json()["forecasts"]] == [
            r["airport"] for r in rows
        ]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        assert client.http.post("/predict", json={"columns": columns}).content == answer.content

    def test_an_answer_has_the_documented_shape(self, client: Client) -> None:
        body = client.post_rows([make_row(**{TIME: "2024-03-01T02:00:00+02:00"})]).json()
        assert body["pair"] == VERSION.stamp("production")
        (forecast,) = body["forecasts"]
        assert forecast["entity"] == ENTITY
        assert (forecast["origin"], forecast["status"]) == ("2024-03-01T00:00:00Z", "ok")
        assert forecast["times"] == [f"2024-03-0{day}T00:00:00Z" for day in (2, 3, 4)]
        assert set(forecast["targets"]) == {"departures", "delay"}
        assert set(forecast["targets"]["delay"]["quantiles"]) == {"0.1", "0.9"}

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
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["path"] == path
        assert "\n" not in answer.json()["error"]["message"]

    def test_other_errors_have_the_same_shape(self, client: Client) -> None:
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("GET", "/predict", 405),
            ("POST", "/pair", 405),
        ):
            answer = client.http.request(method, path)
            assert (answer.status_code, answer.json()["error"]["path"]) == (status, None)
            assert answer.json()["error"]["message"]
        answer = client.http.post("/predict", content=b"{}", headers={"content-type": "text/csv"})
        assert answer.status_code == 415
        assert "application/json" in answer.json()["error"]["message"]

    def test_a_row_that_cannot_be_transformed_leaves_the_others_their_forecast(
        self, client: Client
    ) -> None:
        rows = client.golden_rows()
        answer = client.post_rows([*rows[:2], make_row(season=fakes.BROKEN), *rows[2:]]).json()[
            "forecasts"
        ]
        assert [f["status"] for f in answer] == ["ok", "ok", "error", "ok", "ok"]
        assert (answer[2]["times"], answer[2]["targets"]) == ([], {})
        assert fakes.BROKEN in answer[2]["detail"]
        assert answer[4]["targets"]["delay"]["mean"] == client.golden.values[3, :, 1, 0].tolist()

    def test_entities_are_looked_up_each_with_its_own_status(self, client: Client) -> None:
        names = ["JFK", "nowhere", "old", "EWR", "holed", "young"]
        entities = [{**ENTITY, "airport": name} for name in names]
        many = client.http.post(
            "/predict/feast/batch", json={"entities": entities, "at": None}
        ).json()
        statuses = ["ok", "unknown_entity", "stale", "ok", "missing_feature", "short_history"]
        assert [f["status"] for f in many["forecasts"]] == statuses
        assert [f["entity"] for f in many["forecasts"]] == entities
        for forecast, entity in zip(many["forecasts"], entities, strict=True):
            one = client.http.post("/predict/feast", json={"entity": entity}).json()
            assert one == {"pair": VERSION.stamp("production"), "forecasts": [forecast]}
            if forecast["status"] != "ok":
                assert (forecast["times"], forecast["targets"]) == ([], {})
                assert forecast["detail"]

    def test_a_shorter_horizon_answers_the_first_steps(self, client: Client) -> None:
        for path, body in (
            ("/predict", {"rows": [make_row()]}),
            ("/predict/feast", {"entity": ENTITY}),
            ("/predict/feast/batch", {"entities": [ENTITY, {**ENTITY, "airport": "nowhere"}]}),
        ):
            whole = client.http.post(path, json={**body, "horizon": None}).json()["forecasts"][0]
            part = client.http.post(path, json={**body, "horizon": 2}).json()["forecasts"][0]
            assert part["times"] == whole["times"][:2]
            assert part["targets"]["delay"]["mean"] == whole["targets"]["delay"]["mean"][:2]
            assert (
                part["targets"]["delay"]["quantiles"]["0.9"]
                == whole["targets"]["delay"]["quantiles"]["0.9"][:2]
            )
            for wrong in (0, 4, "2", 1.5):
                refused = client.http.post(path, json={**body, "horizon": wrong})
                assert (refused.status_code, refused.json()["error"]["path"]) == (422, "horizon")

    def test_the_time_of_a_lookup_is_passed_on(self, client: Client) -> None:
        answer = client.http.post(
            "/predict/feast", json={"entity": ENTITY, "at": "2024-05-01T00:00:00Z"}
        ).json()
        assert answer["forecasts"][0]["origin"] == "2024-05-01T00:00:00Z"

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
            assert (answer.status_code, answer.json()["error"]["path"]) == (422, path)

    def test_a_store_that_is_down_is_503_with_retry_after(self, client: Client) -> None:
        answer = client.http.post("/predict/feast", json={"entity": {**ENTITY, "airport": "down"}})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "feature store" in answer.json()["error"]["message"]

    def test_a_server_without_a_store_says_so(self, tmp_path: Path) -> None:
        with server_process(self.backend, self.options, tmp_path, "none") as (_, url):
            answer = httpx.post(f"{url}/predict/feast", json={"entity": ENTITY}, timeout=30)
            assert answer.status_code == 409
            assert "no feature store" in answer.json()["error"]["message"]
            paths = httpx.get(f"{url}/openapi.json", timeout=30).json()["paths"]
            assert [path for path in paths if path.startswith("/predict")] == ["/predict"]
            assert (
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code
                == 200
            )

    def test_every_response_has_an_id_and_the_headers_of_safety(self, client: Client) -> None:
        for method, path in (
            ("POST", "/predict"),
            ("GET", "/pair"),
            ("GET", "/nowhere"),
            ("GET", "/health/live"),
            ("GET", "/"),
        ):
            response = client.http.request(method, path, headers={"X-Request-ID": "mine-1"})
            assert response.headers["x-request-id"] == "mine-1"
            assert response.headers["x-content-type-options"] == "nosniff"
            other = client.http.request(method, path, headers={"X-Request-ID": "not an id"})
            assert other.headers["x-request-id"] not in ("", "not an id")

    def test_the_examples_of_the_document_work_when_pasted(self, client: Client) -> None:
        assert client.http.get("/docs").status_code == 200
        document = client.http.get("/openapi.json").json()
        row = document["components"]["schemas"]["Row"]
        assert row["properties"]["temp"]["type"] == "number"
        assert set(row["required"]) == set(make_row())
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                example = (
                    operation.get("requestBody", {})
                    .get("content", {})
                    .get("application/json", {})
                    .get("example")
                )
                answer = client.http.request(method, path, json=example)
                assert answer.status_code == 200, f"{path}: {answer.text}"

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
            assert after[name] - before.get(name, 0) == more, name
        assert any(
            name.startswith("framework_pair_info") and 'version="3"' in name for name in after
        )
        assert "framework_requests_in_flight" in after

    def test_many_clients_at_once_get_each_their_own_answer(self, client: Client) -> None:
        rows, wrong = client.golden_rows(), list[int]()

        def ask(which: int) -> None:
            with httpx.Client(base_url=client.http.base_url, timeout=30) as http:
                for _ in range(20):
                    answer = client.values(http.post("/predict", json={"rows": [rows[which]]}))
                    if not np.array_equal(answer, client.golden.values[which : which + 1]):
                        wrong.append(which)

        threads = [threading.Thread(target=ask, args=(i % len(rows),)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_too_many_requests_at_once_are_503_with_retry_after(self, tmp_path: Path) -> None:
        with (
            server_process(self.backend, {**self.options, "max_in_flight": 1}, tmp_path) as (
                _,
                url,
            ),
            slow_request(url) as slow,
        ):
            answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
        assert slow[0].status_code == 200

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_lets_requests_in_flight_finish_and_exits_with_0(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        with server_process(self.backend, self.options, tmp_path) as (process, url):
            with slow_request(url) as slow:
                process.send_signal(number)
            assert process.wait(20) == 0
            assert slow[0].status_code == 200
            assert len(slow[0].json()["forecasts"]) == 300
            assert self.is_gone(url)

    def is_gone(self, url: str) -> bool:
        """Say whether a server has ended.

        Args:
            url: The base URL that it had.

        Returns:
            True when nothing answers there any more.
        """
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health/live", timeout=5)
        return True
