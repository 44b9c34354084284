"""A foreign client of the Open Inference Protocol over gRPC: the bits of HTTP, its keys, its
limits, its errors.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
import trustme
from framework_fastapi import FastapiOptions
from framework_fastapi.backend import FastapiBackend
from framework_fastapi.grpc_messages import MESSAGES
from framework_fastapi.grpc_server import GrpcServer
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from framework.data.vocabulary import TIME
from framework.errors import FrameworkError
from framework.serving.app.examples import example_payload
from framework.serving.pipeline.arrivals import ARRIVAL
from framework.testing import fakes
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_deployment, make_row, server_process

SCHEMA = fakes.make_schema()
TEXTS = (*SCHEMA.static, TIME)
KEY = "a-key-that-predicts"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(directory: Path, **options: Any) -> Iterator[tuple[Any, str, str]]:
    """The process, the URL and the address for gRPC."""
    port = free_port()
    with server_process("fastapi", {"port": 0, "grpc": {"port": port}, **options}, directory) as (
        process,
        url,
    ):
        yield process, url, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"predict {sha256(KEY.encode()).hexdigest()}\n")
    options = {"max_rows": 50, "max_body_bytes": 65_536, "access": {"keys_file": str(keys)}}
    with serving(tmp_path_factory.mktemp("pair"), **options) as (_, url, address):
        yield url, address


HEADERS = {"authorization": f"Bearer {KEY}"}


def tensors(rows: list[dict[str, Any]], *, raw: bool = True) -> list[Any]:
    made = []
    for column in rows[0]:
        kind = "BYTES" if column in TEXTS else "FP64"
        values = [row[column] for row in rows]
        tensor = triton.InferInput(column, [len(rows)], kind)
        if raw:
            tensor.set_data_from_numpy(
                np.array([v.encode() for v in values], dtype=object)
                if kind == "BYTES"
                else np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            )
        else:
            contents = service_pb2.InferTensorContents()
            if kind == "BYTES":
                contents.bytes_contents.extend(v.encode() for v in values)
            else:
                contents.fp64_contents.extend(np.nan if v is None else v for v in values)
            tensor._get_tensor().contents.CopyFrom(contents)
        made.append(tensor)
    return made


def test_the_messages_are_those_of_the_protocol() -> None:
    theirs = {
        message.full_name: {(f.number, f.name, f.type) for f in message.fields}
        for outer in service_pb2.DESCRIPTOR.message_types_by_name.values()
        for message in (outer, *outer.nested_types)
    }
    for message in MESSAGES.values():
        descriptor = message.DESCRIPTOR
        ours = {(f.number, f.name, f.type) for f in descriptor.fields}
        assert ours <= theirs[descriptor.full_name], descriptor.full_name


@pytest.mark.parametrize("raw", [True, False])
def test_a_forecast_over_grpc_has_the_bits_of_http(server: tuple[str, str], raw: bool) -> None:
    url, address = server
    _, golden = fakes.make_pair(shift=3.0)
    rows = [example_payload(SCHEMA, golden, i)["rows"][0] for i in range(len(golden.context))]
    answer = httpx.post(f"{url}/predict", json={"rows": rows}, headers=HEADERS).json()
    means = [
        [target["mean"] for target in forecast["targets"].values()]
        for forecast in answer["forecasts"]
    ]
    with triton.InferenceServerClient(address) as client:
        result = client.infer("fake", tensors(rows, raw=raw), request_id="7", headers=HEADERS)
        assert result.as_numpy("mean").transpose(0, 2, 1).tolist() == means
        assert np.array_equal(result.as_numpy("quantiles"), golden.values[..., 1:])
        assert result.as_numpy("status").tolist() == [b"ok"] * len(rows)
        response = result.get_response()
        assert (response.id, response.model_name, response.model_version) == ("7", "fake", "3")
        assert response.parameters["targets"].string_param == ",".join(SCHEMA.targets)
        two = client.infer(
            "fake",
            tensors(rows, raw=raw),
            model_version="3",
            parameters={"horizon": 2},
            outputs=[triton.InferRequestedOutput("mean")],
            headers=HEADERS,
        )
        assert [output.name for output in two.get_response().outputs] == ["mean"]
        for more in ({}, {"outputs": [triton.InferRequestedOutput("status")]}):
            read, translated = (
                client.infer("fake", tensors(rows, raw=raw), headers=HEADERS, **more, **way)
                for way in ({}, {"parameters": {"horizon": SCHEMA.horizon}})
            )
            assert read.get_response() == translated.get_response()
        assert two.as_numpy("mean").tobytes() == result.as_numpy("mean")[:, :2].tobytes()


def test_the_protocol_says_what_is_served(server: tuple[str, str]) -> None:
    with triton.InferenceServerClient(server[1]) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fake", headers=HEADERS)
        assert client.is_model_ready("fake", "3", headers=HEADERS)
        assert not client.is_model_ready("fake", "2", headers=HEADERS)
        assert not client.is_model_ready("another", headers=HEADERS)
        assert client.get_server_metadata(headers=HEADERS).name == "framework"
        model = client.get_model_metadata("fake", headers=HEADERS)
        assert (model.name, list(model.versions)) == ("fake", ["3"])
        assert {t.name: list(t.shape) for t in model.outputs}["quantiles"] == [-1, 3, 2, 2]


def test_what_http_refuses_is_refused_with_the_path_of_the_field(server: tuple[str, str]) -> None:
    row = make_row(**{"wind gust": 1.0})
    for code, message, change in (
        ("UNAUTHENTICATED", "a key is needed", {"headers": {}}),
        ("NOT_FOUND", "there is no /v2/models/another/infer", {"model_name": "another"}),
        ("NOT_FOUND", "version 2 is not served; 3 is", {"model_version": "2"}),
        ("INVALID_ARGUMENT", "51 rows, at most 50", {"inputs": tensors([row] * 51)}),
        ("INVALID_ARGUMENT", "inputs: temp", {"inputs": tensors([row])[:-2]}),
        (
            "INVALID_ARGUMENT",
            r"inputs\[7\].data\[0\]",
            {"inputs": tensors([row | {"wind gust": np.inf}])},
        ),
        ("INVALID_ARGUMENT", r"parameters.horizon", {"parameters": {"horizon": 99}}),
        (
            "RESOURCE_EXHAUSTED",
            "larger than max",
            {"inputs": tensors([row | {"season": "x" * 70_000}])},
        ),
    ):
        asked = {"model_name": "fake", "inputs": tensors([row]), "headers": HEADERS, **change}
        with (
            triton.InferenceServerClient(server[1]) as client,
            pytest.raises(InferenceServerException, match=message) as refused,
        ):
            client.infer(**asked)
        assert refused.value.status() == f"StatusCode.{code}"


def test_tensors_that_are_not_what_they_say_are_refused(server: tuple[str, str]) -> None:
    def ask(**changed: Any) -> Any:
        with grpc.insecure_channel(server[1]) as channel:
            call = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=MESSAGES["ModelInferResponse"].FromString,
            )
            request = MESSAGES["ModelInferRequest"](model_name="fake", **changed)
            with pytest.raises(grpc.RpcError) as refused:
                call(request, metadata=tuple(HEADERS.items()))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        return refused.value.details()

    tensor = {"name": "temp", "shape": [1]}
    contents = {"fp64_contents": [1.0]}
    assert "raw_input_contents: 2 for 1 inputs" in ask(
        inputs=[{**tensor, "datatype": "FP64"}], raw_input_contents=[b"", b""]
    )
    assert "inputs[0].contents" in ask(
        inputs=[{**tensor, "datatype": "FP64", "contents": contents}], raw_input_contents=[b""]
    )
    assert "inputs[0].datatype" in ask(
        inputs=[{**tensor, "datatype": "FP16", "contents": contents}]
    )
    assert "int_contents: not a value of INT8" in ask(
        inputs=[{**tensor, "datatype": "INT8", "contents": {"int_contents": [300]}}]
    )


def test_bytes_that_are_no_request_are_refused(server: tuple[str, str]) -> None:
    inputs = MESSAGES["ModelInferRequest"](inputs=[{"name": "temp"}]).SerializeToString()
    for message in (b"\xff", inputs.replace(b"temp", b"\xff\xff\xff\xff")):
        with grpc.insecure_channel(server[1]) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.RpcError) as refused:
                call(message, metadata=tuple(HEADERS.items()))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == "the message is no ModelInferRequest"


def test_a_call_is_read_by_its_own_bytes_whatever_came_with_the_same_inputs(
    server: tuple[str, str],
) -> None:
    """Names, types and shapes are read once for calls that share them."""
    row = make_row(**{"wind gust": 1.0})
    with triton.InferenceServerClient(server[1]) as client:

        def mean(change: dict[str, Any]) -> bytes:
            answer = client.infer("fake", tensors([row | change] * 2), headers=HEADERS)
            return bytes(answer.as_numpy("mean").tobytes())

        first, second = mean({}), mean({"wind gust": 2.0})
        assert mean({}) == first != second
        cut, text = tensors([row] * 2), tensors([row] * 2)
        cut[list(row).index("wind gust")]._raw_content = b"1234"
        text[list(row).index("season")]._raw_content = b"\x01\0\0\0a"
        for inputs, column in ((cut, "wind gust"), (text, "season")):
            with pytest.raises(InferenceServerException) as refused:
                client.infer("fake", inputs, headers=HEADERS)
            assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
            assert f"inputs[{list(row).index(column)}]" in str(refused.value)


def test_a_forecast_is_announced_before_its_message_is_read() -> None:
    """Without it every call would be a forecast of its own, and nothing would say so."""
    announced = list[bool]()

    async def app(_: Any, __: Any, send: Any) -> None:
        announced.append(ARRIVAL.get() is not None)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": "no pair"}'})

    async def ask() -> None:
        options = FastapiOptions.model_validate({"grpc": {"port": free_port()}})
        server = GrpcServer(app, options, 10)
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{options.grpc.port}") as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.aio.AioRpcError, match="no pair"):
                await call(b"")
        await server.stop(1)

    asyncio.run(ask())
    assert announced == [True]


@pytest.mark.stress
def test_a_call_that_has_come_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    rows = [make_row(season=fakes.SLOW, **{"wind gust": 1.0})] * 300
    answers: list[Any] = []
    with serving(tmp_path) as (process, url, address):

        def ask() -> None:
            with triton.InferenceServerClient(address) as client:
                answers.append(client.infer("fake", tensors(rows)).as_numpy("mean").shape)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: "framework_requests_in_flight 1" in httpx.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGTERM)
        thread.join(30)
        assert process.wait(30) == 0
    assert answers == [(300, 3, 2)]


@pytest.mark.stress
def test_connections_are_bounded_and_silent_ones_are_closed(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=3, head_timeout=1.0) as (_, _, address):
        host, _, port = address.partition(":")
        with ExitStack() as opened:
            for _ in range(3):
                opened.enter_context(socket.create_connection((host, int(port))))
            with pytest.raises(InferenceServerException) as refused:
                answered(address)
            assert refused.value.status() == "StatusCode.UNAVAILABLE"
            wait_for(lambda: is_answered(address))


@pytest.mark.stress
def test_clients_of_a_killed_worker_are_told_and_go_on(tmp_path: Path) -> None:
    """Each call has an answer or UNAVAILABLE, at once; the same clients are answered again."""
    with serving(tmp_path, workers=2) as (process, _, address):
        copies = {child.pid for child in psutil.Process(process.pid).children()}
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if child.pid not in copies
        ]
        assert len(workers) == 2
        statuses: list[str] = []
        stopped = threading.Event()

        def ask() -> None:
            inputs = tensors([make_row(**{"wind gust": 1.0})])
            own = [("grpc.use_local_subchannel_pool", 1)]  # else all clients share one connection
            with triton.InferenceServerClient(address, channel_args=own) as client:
                while not stopped.is_set():
                    try:
                        client.infer("fake", inputs, client_timeout=10)
                        statuses.append("ok")
                    except InferenceServerException as error:
                        statuses.append(str(error.status()))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: statuses.count("ok") > 50)
        workers[0].kill()
        wait_for(lambda: "StatusCode.UNAVAILABLE" in statuses)
        at = len(statuses)
        wait_for(lambda: statuses[at:].count("ok") > 50)
        stopped.set()
        for thread in threads:
            thread.join(30)
        assert set(statuses) == {"ok", "StatusCode.UNAVAILABLE"}
        wait_for(lambda: all(is_answered(address) for _ in range(4)))


def answered(address: str) -> list[bytes]:
    with triton.InferenceServerClient(
        address, channel_args=[("grpc.use_local_subchannel_pool", 1)]
    ) as client:
        inputs = tensors([make_row(**{"wind gust": 1.0})])
        return list(client.infer("fake", inputs).as_numpy("status"))


def is_answered(address: str) -> bool:
    try:
        return answered(address) == [b"ok"]
    except InferenceServerException:
        return False


@pytest.mark.stress
def test_workers_share_the_port_and_speak_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    files = {name: str(tmp_path / name) for name in ("root", "cert", "key")}
    authority.cert_pem.write_to_path(files["root"])
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(files["key"])
    issued.cert_chain_pems[0].write_to_path(files["cert"])
    options = {"workers": 2, "ssl_certfile": files["cert"], "ssl_keyfile": files["key"]}
    with serving(tmp_path / "pair", **options) as (_, _, address):
        for _ in range(4):
            with triton.InferenceServerClient(
                address, ssl=True, root_certificates=files["root"]
            ) as client:
                answer = client.infer("fake", tensors([make_row(**{"wind gust": 1.0})]))
                assert answer.as_numpy("status").tolist() == [b"ok"]


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = FastapiOptions.model_validate({"port": 0, "grpc": {"port": port}})
        with pytest.raises(FrameworkError, match=rf"port {port} on .* serving\.grpc\.port=…"):
            FastapiBackend(options).serve(make_deployment(tmp_path), lambda *_: None)
