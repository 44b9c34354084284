"""Other people's clients against a real server: tritonclient, mlflow.deployments, and the requests
that MLflow's documentation shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from mlflow.deployments import PredictionsResponse
from tritonclient.utils import InferenceServerException

from framework.data.vocabulary import TIME
from framework.pairs.golden import Golden
from framework.serving.app.examples import example_payload
from framework.testing import fakes
from framework.testing.servers.fake_server import VERSION, make_row, server_process

SCHEMA = fakes.make_schema()
TEXTS = (*SCHEMA.static, TIME)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return fakes.make_pair(shift=3.0)[1]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    options = {"port": 0, "max_rows": 50, "max_body_bytes": 65_536}
    with (
        server_process("fastapi", options, tmp_path_factory.mktemp("pair")) as (_, url),
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client(http: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(http.base_url.netloc.decode()) as made:
        yield made


@pytest.fixture(scope="module")
def rows(golden: Golden) -> list[dict[str, Any]]:
    return [example_payload(SCHEMA, golden, i)["rows"][0] for i in range(len(golden.context))]


def tensors(rows: list[dict[str, Any]], *, binary: bool, **types: str) -> list[triton.InferInput]:
    made = []
    for column in rows[0]:
        kind = types.get(column, "BYTES" if column in TEXTS else "FP64")
        values = [row[column] for row in rows]
        array = (
            np.array([v.encode() for v in values], dtype=object)
            if kind == "BYTES"
            else np.array(values, dtype=np.float64)
        )
        tensor = triton.InferInput(column, [len(rows)], kind)
        tensor.set_data_from_numpy(
            array
            if kind in ("BYTES", "FP64")
            else array.astype(kind.lower().replace("fp", "float")),
            binary,
        )
        made.append(tensor)
    return made


def test_the_protocol_says_what_is_served(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fake")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    model = client.get_model_metadata("fake")
    assert (model["name"], model["versions"]) == ("fake", ["3"])
    assert {t["name"]: t["datatype"] for t in model["inputs"]} == dict.fromkeys(
        TEXTS, "BYTES"
    ) | dict.fromkeys(SCHEMA.past, "FP64")
    assert {t["name"]: t["shape"] for t in model["outputs"]}["quantiles"] == [-1, 3, 2, 2]


@pytest.mark.parametrize("binary", [True, False])
def test_a_forecast_over_the_protocol_is_training_s_bit_for_bit(
    client: triton.InferenceServerClient, golden: Golden, rows: list[dict[str, Any]], binary: bool
) -> None:
    wanted = (
        None
        if binary
        else [
            triton.InferRequestedOutput(name, binary_data=False)
            for name in ("quantiles", "mean", "status")
        ]
    )
    full = [
        {**row, "wind gust": float("nan") if row["wind gust"] is None else row["wind gust"]}
        for row in rows
    ]
    inputs = tensors(full if binary else [{**row, "wind gust": 2.0} for row in rows], binary=binary)
    answer = client.infer("fake", inputs, request_id="7", outputs=wanted)
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("7", "3")
    assert answer.as_numpy("mean").shape == (4, 3, 2)
    assert answer.as_numpy("status").tolist() in (["ok"] * 4, [b"ok"] * 4)
    if binary:
        assert np.array_equal(answer.as_numpy("mean"), golden.values[..., 0])
        assert np.array_equal(answer.as_numpy("quantiles"), golden.values[..., 1:])
        assert answer.as_numpy("times")[0].tolist() == [
            f"2024-03-0{day}T00:00:00Z".encode() for day in (2, 3, 4)
        ]


def test_parameters_and_other_number_types(
    client: triton.InferenceServerClient, rows: list[dict[str, Any]]
) -> None:
    row = {**rows[0], "departures": 9.0, "wind gust": 2.0}
    answer = client.infer(
        "fake",
        tensors([row], binary=True, departures="INT32", temp="FP32"),
        parameters={"horizon": 2},
    )
    assert answer.as_numpy("mean").shape == (1, 2, 2)


def test_wrong_tensors_are_refused_by_name(
    client: triton.InferenceServerClient, http: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    full = [{**row, "wind gust": 1.0} for row in rows]
    for inputs, message in (
        (
            tensors([{**full[0], "temp": float("nan")}], binary=True),
            r"inputs\[\d\]\.data\[0\]: Expected",
        ),
        (
            tensors([{**full[0], "temp": float("inf")}], binary=True),
            r"inputs\[\d\]\.data\[0\]: a finite number",
        ),
        (tensors([{**full[0], "tmep": 1.0}], binary=True), r"inputs\[\d\]\.name: unknown field"),
        (tensors(full, binary=True)[1:], "a value is required"),
        (tensors(full * 20, binary=True), "at most 50"),
    ):
        with pytest.raises(InferenceServerException, match=message):
            client.infer("fake", inputs)
    good = {"name": "temp", "shape": [1], "datatype": "FP64", "data": [1]}
    for changed, path in (
        ({"shape": [2]}, "inputs[0].shape"),
        ({"shape": [1, 2]}, "inputs[0].shape"),
        ({"datatype": "STRING"}, "inputs[0].datatype"),
        ({"datatype": "BOOL"}, "inputs[0].data[0]"),
        ({"data": ["x"]}, "inputs[0].data[0]"),
        ({"parameters": {"binary_data_size": 8}}, "inputs[0].data"),
    ):
        answer = http.post("/v2/models/fake/infer", json={"inputs": [good | changed]})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(path + ":")
    for length in ("9", "x", "-1", "99999999999999999999"):
        answer = http.post(
            "/v2/models/fake/infer",
            content=b"{}",
            headers={"inference-header-content-length": length},
        )
        assert answer.status_code == 400


def split(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def test_each_form_of_mlflow_gives_the_same_forecasts(
    http: httpx.Client, golden: Golden, rows: list[dict[str, Any]]
) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    forms = [
        {"dataframe_split": split(rows)},
        {"dataframe_split": {**split(rows), "index": [0, 1, 2, 3]}},
        {"dataframe_records": rows},
    ]
    forms += [{"instances": rows}, {"inputs": columns}, {"inputs": rows}]
    answers = [http.post("/invocations", json=form) for form in forms]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    table = PredictionsResponse.from_json(answers[0].text).get_predictions()
    assert table["status"].tolist() == ["ok"] * 4
    assert answers[0].json()["pair"] == VERSION.stamp("production")
    for t, target in enumerate(SCHEMA.targets):
        for h in (1, 2, 3):
            for q, kind in enumerate(("mean", "q0.1", "q0.9")):
                assert (
                    table[f"{target}__{kind}__{h}"].tolist()
                    == golden.values[:, h - 1, t, q].tolist()
                )


def test_the_columns_of_mlflow_s_answer_may_come_in_any_order(
    http: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    turned = [dict(reversed(row.items())) for row in rows]
    answers = [
        http.post("/invocations", json={"dataframe_split": split(each)}) for each in (rows, turned)
    ]
    assert answers[0].content == answers[1].content


def test_wrong_invocations_are_refused_with_the_client_s_own_path(http: httpx.Client) -> None:
    good = make_row()
    for body, path in (
        ({"dataframe_records": [good, make_row(temp="hot")]}, "dataframe_records[1].temp"),
        ({"dataframe_split": split([good, make_row(temp="hot")])}, "dataframe_split.data[1][6]"),
        ({"dataframe_split": split([make_row(tmep=1)])}, "dataframe_split.data[0][8]"),
        ({"dataframe_split": {**split([good]), "data": [[1]]}}, "dataframe_split.data[0]"),
        ({"dataframe_split": {"columns": ["temp", "temp"], "data": []}}, "dataframe_split.columns"),
        (
            {"inputs": {name: [value] for name, value in good.items()} | {"temp": [None]}},
            "inputs.temp[0]",
        ),
        ({"inputs": [[1, 2], [3, 4]]}, "inputs[0]"),
        ({"instances": [good], "inputs": [good]}, "body"),
        ({"instances": [good], "params": {"horizon": 4}}, "params.horizon"),
        ({}, "body"),
    ):
        answer = http.post("/invocations", json=body)
        assert (answer.status_code, answer.json()["error"]["path"]) == (422, path), body
    assert (
        http.post(
            "/invocations", content="a,b\n1,2", headers={"content-type": "text/csv"}
        ).status_code
        == 415
    )
    deep = b'{"instances": [{"temp": ' + b"[" * 20_000 + b"]" * 20_000 + b"}]}"
    assert http.post(
        "/invocations", content=deep, headers={"content-type": "application/json"}
    ).status_code in (400, 422)


def test_a_window_without_a_forecast_has_nulls_and_says_why(
    http: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    mixed = [rows[0], make_row(season=fakes.BROKEN)]
    good, bad = http.post("/invocations", json={"dataframe_records": mixed}).json()["predictions"]
    assert good["status"] == "ok"
    assert (bad["status"], bad["delay__mean__1"]) == ("error", None)
    assert fakes.BROKEN in bad["detail"]


def test_mlflow_s_probes(http: httpx.Client) -> None:
    assert http.get("/ping").status_code == 200
    assert http.get("/version").status_code == 200


def test_arms_keys_and_metrics_hold_for_them_too(tmp_path: Path) -> None:
    from framework.testing.folder_registry import FolderRegistry

    registry = FolderRegistry(tmp_path)
    registry.add(3)
    registry.add(4)
    registry.point("production", 3)
    registry.point("candidate", 4)
    keys = tmp_path / "keys.txt"
    keys.write_text(
        "predict 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\npredict,metrics "
        + sha("operations")
        + "\n"
    )
    options = {"port": 0, "split": {"candidate": 50}, "access": {"keys_file": str(keys)}}
    body = {"dataframe_records": [make_row(airport=f"A{i}") for i in range(40)]}
    with (
        server_process("fastapi", options, tmp_path) as (_, url),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        assert http.post("/invocations", json=body).status_code == 401
        assert http.get("/ping").status_code == http.get("/v2/health/ready").status_code == 200
        assert http.get("/v2/models/fake").status_code == 401
        http.headers["authorization"] = "Bearer operations"
        mixed = http.post("/invocations", json=body).json()
        assert mixed["pair"] is None
        own = http.post("/predict", json={"rows": body["dataframe_records"]}).json()["forecasts"]
        assert [p["delay__mean__1"] for p in mixed["predictions"]] == [
            f["targets"]["delay"]["mean"][0] for f in own
        ]
        assert {f["pair"]["version"] for f in own} == {3, 4}
        chosen = http.post("/invocations?arm=candidate", json=body)
        assert chosen.json()["pair"]["version"] == 4
        infer = {"name": "airport", "shape": [1], "datatype": "BYTES", "data": ["A1"]}
        assert "error" in http.post("/v2/models/fake/infer", json={"inputs": [infer]}).json()
        text = http.get("/metrics").text
    assert (
        'framework_requests_total{arm="candidate",pair="4",route="/invocations",status="200"} 1.0'
        in text
    )
    assert (
        'framework_requests_total{arm="",pair="",route="/v2/models/fake/infer",status="422"} 1.0'
        in text
    )
    assert 'route="/invocations",status="401"' in text


def sha(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


def test_known_columns_and_history_over_both() -> None:
    from framework.serving.http.asgi import Call
    from framework.serving.pipeline.validation import Payload
    from framework.serving.protocols.mlflow_scoring import Invocations
    from framework.serving.protocols.open_inference import InferenceProtocol, example_infer

    schema = fakes.make_schema(context_length=3, known=("holiday",))
    payload = example_payload(schema, fakes.make_pair(schema)[1])
    call = Call("POST", "/", b"", {}, b"")
    expected = Payload(schema, 100).context(json.dumps(payload).encode())
    bodies = [
        InferenceProtocol("fake")
        .translate(json.dumps(example_infer(payload, schema)).encode(), call)
        .body,
        Invocations()
        .translate(
            json.dumps(
                {"instances": payload["rows"], "params": {"future": payload["future"]}}
            ).encode(),
            call,
        )
        .body,
    ]
    for body in bodies:
        found = Payload(schema, 100).context(body)
        assert np.array_equal(found.past, expected.past, equal_nan=True)
        assert np.array_equal(found.known, expected.known)
        assert found.static.tolist() == expected.static.tolist()
