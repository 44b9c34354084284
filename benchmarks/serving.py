"""Requests per second of ``POST /predict`` at 16 clients, one worker each, side by side on the same
pair, with 1 row and with 100:

ours          framework's server: proof, validation, metrics; it is sent rows
ours columns  the same over the Open Inference Protocol; it is sent what MLServer is
alone         ours with serving.batch.size=1: requests that come at the same time are worked on one
              by one
bare          the barest server that does the same array work, one by one; nothing is checked

    python benchmarks/serving.py [--rounds 5] [--requests 2000] [--rows 1 100] [--peers [FOLDER]]
                                 [--servers NAME …]

``--peers``: also ``mlflow models serve``, MLServer (with and without adaptive batching) and
BentoML, with the environments of the last two in FOLDER, a temporary one by default: see
serving_peers.py. Every answer must have the status 200. Rounds are interleaved, the figures are
medians over the rounds.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load import NotStarted, Target, free_port, interleaved, medians, ratio, running, table
from serving_pair import columns, payload, train
from serving_peers import Peer, peers_in

HERE = Path(__file__).parent
OURS = ("ours", "ours columns")


def own(pair_folder: Path, body: bytes) -> list[Peer]:
    """Ours and the barest."""
    one_by_one = ['{"batch": {"size": 1}}']

    def server(
        name: str, script: str, request: bytes = body, path: str = "/predict", options: Any = ()
    ) -> Peer:
        port = free_port()
        command = [sys.executable, str(HERE / script), str(pair_folder), str(port), *options]
        return Peer(name, command, port, path, request)

    return [
        server("ours", "serving_pair.py"),
        server("ours columns", "serving_pair.py", columns(body), "/v2/models/benchmark/infer"),
        server("alone", "serving_pair.py", options=one_by_one),
        server("bare", "bare.py"),
    ]


def compare(rows: int, servers: list[Peer], rounds: int, requests: int, work: Path) -> str:
    """Prints a table; the line that sums it up."""
    with ExitStack() as stack:
        targets, wanted = {}, {}
        for server in servers:
            body = work / f"{server.name.replace(' ', '-')}-{rows}.json"
            body.write_bytes(server.body)
            target = Target(server.port, server.path, body)
            try:
                targets[server.name] = stack.enter_context(
                    running(server.command, body.with_suffix(".log"), target, server.env)
                )
            except NotStarted as error:
                print(f"{server.name} is left out: {error}", file=sys.stderr)
                continue
            wanted[server.name] = max(160, round(requests * server.share / (1 if rows == 1 else 8)))
        results = interleaved(targets, wanted, rounds)
    print(f"{rows} row{'s' if rows > 1 else ''} a request\n{table(results)}")
    lines = []
    cpu = {name: medians(rounds)["cpu"] or float("nan") for name, rounds in results.items()}
    for ours in OURS:
        middle = medians(results[ours])
        others = ", ".join(
            f"{ratio(results, ours, name):.2f} x {name} "
            f"({cpu[ours] / cpu[name]:.2f} x its processor time)"
            for name in results
            if name not in (*OURS, "alone")
        )
        lines.append(
            f"{rows} row{'s' if rows > 1 else ''}: {ours} is {others}; its p99 is "
            f"{middle['p99'] / middle['p50']:.1f} x its p50"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--requests", type=int, default=2000, help="of a round with 1 row; an eighth with more"
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--peers", nargs="?", const="", metavar="FOLDER")
    parser.add_argument("--servers", nargs="+", metavar="NAME", help="beside ours; all by default")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped too
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pair, golden = train(work)
        peers = (
            None
            if given.peers is None
            else peers_in(Path(given.peers or work / "environments"), work, pair, golden)
        )
        lines = []
        for rows in given.rows:
            body = payload(pair, golden, rows)
            servers = own(work, body) + ([] if peers is None else peers(body))
            servers = [
                server
                for server in servers
                if given.servers is None or server.name in (*OURS, *given.servers)
            ]
            lines.append(compare(rows, servers, given.rounds, given.requests, work))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
