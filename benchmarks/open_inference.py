"""The Open Inference Protocol over REST and over gRPC, asked by tritonclient with binary tensors,
at 16 clients, one worker, with 1 row and with 100.

    python benchmarks/open_inference.py [--rounds 5] [--requests 2000] [--rows 1 100]

The clients are threads of one process, which costs about as much as the server: ``CPU ms`` is the
server's alone. Both protocols must answer the same bits. Rounds are interleaved, the figures are
medians over the rounds. ``empty rest`` and ``empty grpc`` are servers that read nothing and send
one stored answer: what the libraries of each protocol cost, here and at the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bare import PAST, STATIC
from load import CLIENTS, Target, cpu_seconds, free_port, medians, ratio, running, table
from serving_pair import payload, train

from framework.data.vocabulary import TIME

HERE = Path(__file__).parent
PROTOCOLS = ("rest", "grpc")
SIDES = (*PROTOCOLS, *(f"empty {protocol}" for protocol in PROTOCOLS))


def inputs(triton: Any, rows: list[dict[str, Any]]) -> list[Any]:
    """The tensors of tritonclient's module for a protocol, all of them binary."""
    tensors = []
    for column in (*STATIC, TIME, *PAST):
        kind, values = "FP64" if column in PAST else "BYTES", [row[column] for row in rows]
        tensor = triton.InferInput(column, [len(rows)], kind)
        tensor.set_data_from_numpy(
            np.array(values, dtype=np.float64)
            if kind == "FP64"
            else np.array([value.encode() for value in values], dtype=object)
        )
        tensors.append(tensor)
    return tensors


def ask(protocol: str, address: str, body: Path, requests: int) -> dict[str, Any]:
    """Send so many requests: rate, milliseconds, the bits of an answer."""
    if protocol == "grpc":
        import tritonclient.grpc as triton
    else:
        import tritonclient.http as triton
    rows = json.loads(body.read_bytes())["rows"]
    seconds, left, lock = list[float](), iter(range(requests)), threading.Lock()
    bits: list[str] = []

    def client() -> None:
        tensors = inputs(triton, rows)
        with triton.InferenceServerClient(address) as connection:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                started = time.perf_counter()
                answer = connection.infer("benchmark", tensors)
                seconds.append(time.perf_counter() - started)
                bits[:] = [answer.as_numpy("quantiles").tobytes().hex()]

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) != requests:
        sys.exit(f"{len(seconds)} of {requests} requests were answered")
    return {
        "rate": requests / (time.perf_counter() - started),
        "p50": 1e3 * statistics.median(seconds),
        "p99": 1e3 * sorted(seconds)[int(0.99 * requests)],
        "bits": bits[0],
    }


def compare(work: Path, body: bytes, rows: int, rounds: int, requests: int) -> str:
    """Print a table; the line that sums it up."""
    ports = {side: free_port() for side in SIDES}
    file = work / f"body-{rows}.json"
    file.write_bytes(body)
    options = json.dumps({"grpc": {"port": ports["grpc"]}})
    command = [sys.executable, str(HERE / "serving_pair.py"), str(work), str(ports["rest"])]
    results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    answers = set()
    target = Target(ports["rest"], "/predict", file)
    with (
        running([*command, options], file.with_suffix(".log"), target) as server,
        empty(work, file, ports) as sessions,
    ):
        assert server.session is not None
        for number in range(rounds + 1):
            for side, figures in results.items():
                protocol, address = side.split()[-1], f"127.0.0.1:{ports[side]}"
                asked = ["--ask", protocol, address, str(file), str(requests)]
                session = sessions.get(side, server.session)
                before = cpu_seconds(session)
                done = subprocess.run(
                    [sys.executable, __file__, *asked], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(done.stderr.strip().rpartition("\n")[2])
                answer = json.loads(done.stdout)
                answers.add(answer.pop("bits"))
                if number:  # the first round warms up
                    cpu = 1e3 * (cpu_seconds(session) - before) / requests
                    figures.append(answer | {"cpu": cpu})
    if len(answers) != 1:
        sys.exit("REST and gRPC answer different bits")
    print(f"{rows} row{'s' if rows > 1 else ''} a request\n{table(results)}")
    cpu = {side: medians(figures)["cpu"] for side, figures in results.items()}
    return (
        f"{rows} row{'s' if rows > 1 else ''}: gRPC answers {ratio(results, 'grpc', 'rest'):.2f} x "
        f"as many requests as REST, with {cpu['grpc'] / cpu['rest']:.2f} x its processor time and "
        f"the same bits; of empty servers {ratio(results, 'empty grpc', 'empty rest'):.2f} x, with "
        f"{cpu['empty grpc']:.2f} ms for {cpu['empty rest']:.2f}"
    )


@contextmanager
def empty(work: Path, body: Path, ports: dict[str, int]) -> Iterator[dict[str, int]]:
    """Run the two servers that answer nothing but what ours has answered; their sessions."""
    answer = work / "answer.bin"
    stored = [str(ports["rest"]), str(ports["grpc"]), str(body), str(answer)]
    subprocess.run([sys.executable, __file__, "--store", *stored], check=True)
    with ExitStack() as stack:
        sessions = {}
        for protocol in PROTOCOLS:
            side = f"empty {protocol}"
            command = [sys.executable, __file__, "--empty", protocol, str(ports[side]), str(answer)]
            process = stack.enter_context(subprocess.Popen(command, start_new_session=True))
            stack.callback(process.kill)
            sessions[side] = process.pid
        time.sleep(3)  # until both listen
        yield sessions


def store(rest: str, grpc_port: str, body: Path, file: Path) -> None:
    """Store an answer of ours: the length of its JSON and its bytes, and gRPC's bytes."""
    import tritonclient.grpc
    import tritonclient.http

    tensors = {
        protocol: inputs(module, json.loads(body.read_bytes())["rows"])
        for protocol, module in (("rest", tritonclient.http), ("grpc", tritonclient.grpc))
    }
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{rest}") as client:
        content, length = client.generate_request_body(tensors["rest"])
    head = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": length}
    request = urllib.request.Request(
        f"http://127.0.0.1:{rest}/v2/models/benchmark/infer",
        content,
        {name: str(value) for name, value in head.items()},
    )
    with urllib.request.urlopen(request) as answer:
        own = [answer.headers["Inference-Header-Content-Length"], answer.read().hex()]
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client:
        response = client.infer("benchmark", tensors["grpc"]).get_response()
    file.write_text(json.dumps([*own, response.SerializeToString().hex()]))


def serve_empty(protocol: str, port: int, file: Path) -> None:
    """Answer every request with the stored answer."""
    length, rest, grpc_answer = json.loads(file.read_text())
    if protocol == "grpc":
        asyncio.run(_serve_grpc(port, bytes.fromhex(grpc_answer)))
        return
    import uvicorn

    content = bytes.fromhex(rest)
    head = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(content)),
        (b"inference-header-content-length", length.encode()),
    ]

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(app, port=port, log_level="warning", access_log=False, lifespan="off")


async def _serve_grpc(port: int, content: bytes) -> None:
    import grpc.aio

    async def infer(*_: Any) -> bytes:
        return content

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(infer)
    handler = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService", {"ModelInfer": method}
    )
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--requests", type=int, default=2000, help="with 1 row; an eighth with more"
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--ask", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--store", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--empty", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.store:
        store(given.store[0], given.store[1], Path(given.store[2]), Path(given.store[3]))
        return
    if given.empty:
        serve_empty(given.empty[0], int(given.empty[1]), Path(given.empty[2]))
        return
    if given.ask:
        protocol, address, body, requests = given.ask
        print(json.dumps(ask(protocol, address, Path(body), int(requests))))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped too
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pair, golden = train(work)
        lines = []
        for rows in given.rows:
            requests = max(32, given.requests // (1 if rows == 1 else 8))
            lines.append(compare(work, payload(pair, golden, rows), rows, given.rounds, requests))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
