"""The part of the contract of serving backends that is about entities that the server looks up.

:class:`framework.testing.contracts.serving.ServingContract` holds it.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from framework.testing.contracts.findings import equal
from framework.testing.contracts.served_fakes import ServedFakes
from framework.testing.servers.fake_server import (
    ENTITY,
    VERSION,
    Client,
    make_row,
    server_process,
)


class LookupContract(ServedFakes):
    """An entity is looked up, or the answer says why it has no forecast."""

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
