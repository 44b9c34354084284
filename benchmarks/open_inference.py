"""The Open Inference Protocol over REST and over gRPC, asked by tritonclient with binary tensors,
at 16 clients, one worker, with 1 row and with 100.

    python benchmarks/open_inference.py [--rounds 5] [--requests 2000] [--rows 1 100]

The clients are threads of one process, which costs about as much as the server: ``CPU ms`` is the
server's alone. Both protocols must answer the same bits. Rounds are interleaved, the figures are
medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from bare import PAST, STATIC
from load import CLIENTS, Target, cpu_seconds, free_port, medians, ratio, running, table
from serving_pair import payload, train

from framework.data.vocabulary import TIME

HERE = Path(__file__).parent
PROTOCOLS = ("rest", "grpc")


def ask(protocol: str, address: str, body: Path, requests: int) -> dict[str, Any]:
    """Send so many requests: rate, milliseconds, the bits of an answer."""
    if protocol == "grpc":
        import tritonclient.grpc as triton
    else:
        import tritonclient.http as triton
    rows = json.loads(body.read_bytes())["rows"]
    seconds, left, lock = list[float](), iter(range(requests)), threading.Lock()
    bits: list[str] = []

    def inputs() -> list[Any]:
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

    def client() -> None:
        tensors = inputs()
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
    ports = dict(zip(PROTOCOLS, (free_port(), free_port()), strict=True))
    file = work / f"body-{rows}.json"
    file.write_bytes(body)
    options = json.dumps({"grpc": {"port": ports["grpc"]}})
    command = [sys.executable, str(HERE / "serving_pair.py"), str(work), str(ports["rest"])]
    results: dict[str, list[dict[str, float]]] = {protocol: [] for protocol in PROTOCOLS}
    answers = set()
    target = Target(ports["rest"], "/predict", file)
    with running([*command, options], file.with_suffix(".log"), target) as server:
        assert server.session is not None
        for number in range(rounds + 1):
            for protocol, figures in results.items():
                address = f"127.0.0.1:{ports[protocol]}"
                asked = ["--ask", protocol, address, str(file), str(requests)]
                before = cpu_seconds(server.session)
                done = subprocess.run(
                    [sys.executable, __file__, *asked], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(done.stderr.strip().rpartition("\n")[2])
                answer = json.loads(done.stdout)
                answers.add(answer.pop("bits"))
                if number:  # the first round warms up
                    cpu = 1e3 * (cpu_seconds(server.session) - before) / requests
                    figures.append(answer | {"cpu": cpu})
    if len(answers) != 1:
        sys.exit("REST and gRPC answer different bits")
    print(f"{rows} row{'s' if rows > 1 else ''} a request\n{table(results)}")
    cpu_ratio = medians(results["grpc"])["cpu"] / medians(results["rest"])["cpu"]
    return (
        f"{rows} row{'s' if rows > 1 else ''}: gRPC answers {ratio(results, 'grpc', 'rest'):.2f} x "
        f"as many requests as REST, with {cpu_ratio:.2f} x its processor time and the same bits"
    )


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
    given = parser.parse_args()
    if given.ask:
        protocol, address, body, requests = given.ask
        print(json.dumps(ask(protocol, address, Path(body), int(requests))))
        return
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
