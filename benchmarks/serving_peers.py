"""Other products' servers of the pair of serving_pair.py, as Peers:

mlflow              ``mlflow models serve`` on the model half alone: the features are in the request
already, so it has less to do mlserver            MLServer, a runtime of its own around the barest
server's array work, over the Open Inference Protocol mlserver batching   the same with adaptive
batching: at most 16 requests or 5 ms bentoml             BentoML, a service around the barest
server's array work

MLServer and BentoML pin other versions than framework: each has an environment of its own, made in
a folder, with framework's core and the two plugins of the pair. What cannot be installed is said on
stderr and left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pandas as pd
from load import free_port
from serving_pair import columns

from framework.data.vocabulary import TIME
from framework.interfaces.registry import PairDraft
from framework.pairs.golden import Golden
from framework.pairs.pair import Pair
from framework.pairs.provenance import requirements
from framework.plugins.discovery import load_plugins

HERE = Path(__file__).parent
_OURS = [
    str(HERE.parent),
    str(HERE.parent / "plugins" / "preprocessing"),
    str(HERE.parent / "plugins" / "xgboost"),
]

_MLSERVER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import numpy as np
from bare import PAST, STATIC, TIME, ArrayWork
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput
from mlserver.codecs import NumpyCodec, StringCodec

class Runtime(MLModel):
    async def load(self):
        self.work = ArrayWork(Path({pair!r}))
        return True

    async def predict(self, payload):
        given = {{i.name: i for i in payload.inputs}}
        past = np.concatenate([NumpyCodec.decode_input(given[c]).reshape(-1, 1) for c in PAST], axis=1).astype(np.float64)
        texts = {{c: StringCodec.decode_input(given[c]) for c in (*STATIC, TIME)}}
        origins = np.array([t[:-1] for t in texts[TIME]], dtype="M8[us]")
        _, values = self.work(past, np.array([texts[c] for c in STATIC], dtype=object).T, origins)
        output = ResponseOutput(name="values", datatype="FP64", shape=list(values.shape), data=values.ravel().tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])
"""  # noqa: E501

_BENTOML = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import bentoml
from bare import ArrayWork

@bentoml.service(workers=1, logging={{"access": {{"enabled": False}}}})
class Forecasts:
    def __init__(self) -> None:
        self.work = ArrayWork(Path({pair!r}))

    @bentoml.api
    async def predict(self, rows: list[dict]) -> dict:
        return self.work.rows(rows)
"""


@dataclass(frozen=True)
class Peer:
    """A server and a request that it answers. ``share`` of the requests that it gets in a round,
    beside the fast ones.
    """

    name: str
    command: list[str]
    port: int
    path: str
    body: bytes
    env: dict[str, str] = field(default_factory=dict)
    share: float = 1.0


Make = Callable[[bytes], Peer]


def environment(folder: Path, *packages: str) -> Path | None:
    """The ``bin`` of an environment that has the packages and framework's core; None, and said,
    when they do not install.
    """
    bin_folder = folder / "bin"
    uv = [sys.executable, "-m", "uv"]
    commands = (
        [[*uv, "venv", "--python", sys.executable, str(folder)]] if not bin_folder.exists() else []
    )
    commands.append(
        [*uv, "pip", "install", "--python", str(bin_folder / "python"), *packages, *_OURS]
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"{folder.name} did not install: "
                f"{' | '.join(done.stderr.strip().splitlines()[-3:])}",
                file=sys.stderr,
            )
            return None
    return bin_folder


def peers_in(folder: Path, work: Path, pair: Pair, golden: Golden) -> Callable[[bytes], list[Peer]]:
    """Prepares everything; what it returns gives the servers for a body of ``POST /predict``."""
    folder.mkdir(parents=True, exist_ok=True)
    makers: list[Make] = [mlflow(work, pair)]
    found = environment(folder / "mlserver", "mlserver")
    if found is not None:
        makers += [mlserver(found, work, batching) for batching in (False, True)]
    found = environment(folder / "bentoml", "bentoml")
    if found is not None:
        makers.append(bentoml(found, work))
    return lambda body: [make(body) for make in makers]


def mlflow(work: Path, pair: Pair) -> Make:
    """The pair in an MLflow registry of its own; a request of the model half has what the
    preprocessor half gives.
    """
    import mlflow

    plugins, uri = load_plugins(), f"sqlite:///{work}/mlflow.db"
    given = {
        "artifact_location": str(work / "artifacts"),
        "ledger": f"sqlite:///{work}/ledger.db",
        "cache": str(work / "cache"),
    }
    options = plugins.find("registry", "mlflow").options.model_validate(
        {"tracking_uri": uri, "experiment": "benchmark", **given}
    )
    pinned = requirements(pair.preprocessor, pair.model)
    plugins.load("registry", "mlflow")(options).register(
        PairDraft(work / "preprocessor", work / "model", pair.schema, "", pinned), "0" * 32
    )
    mlflow.set_tracking_uri(uri)
    preprocessor = mlflow.pyfunc.load_model("models:/benchmark_preprocessor/1")

    def make(body: bytes) -> Peer:
        rows = pd.DataFrame(orjson.loads(body)["rows"])
        rows[TIME] = pd.to_datetime(rows[TIME])
        features = json.dumps(
            {"dataframe_split": preprocessor.predict(rows).to_dict(orient="split", index=False)}
        ).encode()
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "models",
            "serve",
            "-m",
            "models:/benchmark_model/1",
            "--env-manager",
            "local",
        ]
        path = (
            f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # it starts uvicorn by its name
        )
        env = {"MLFLOW_TRACKING_URI": uri, "PATH": path}
        return Peer(
            "mlflow",
            [*command, "-w", "1", "-p", str(port)],
            port,
            "/invocations",
            features,
            env,
            0.1,
        )

    return make


def mlserver(bin_folder: Path, work: Path, batching: bool) -> Make:
    name = "mlserver batching" if batching else "mlserver"
    folder = work / name.replace(" ", "-")
    folder.mkdir()
    (folder / "runtime.py").write_text(_MLSERVER.format(here=str(HERE), pair=str(work)))
    model = {"name": "benchmark", "implementation": "runtime.Runtime"}
    together = {"max_batch_size": 16, "max_batch_time": 0.005} if batching else {}
    (folder / "model-settings.json").write_text(json.dumps({**model, **together}))

    def make(body: bytes) -> Peer:
        ports = [free_port() for _ in range(3)]
        settings = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
        # in the server's own process, as the others
        (folder / "settings.json").write_text(
            json.dumps({**settings, "host": "127.0.0.1", "parallel_workers": 0, "debug": False})
        )
        env = {"PYTHONPATH": str(folder), "MLSERVER_LOGGING_LEVEL": "ERROR"}
        command = [str(bin_folder / "mlserver"), "start", str(folder)]
        return Peer(
            name,
            command,
            ports[0],
            "/v2/models/benchmark/infer",
            columns(body),
            env,
            0.25,
        )

    return make


def bentoml(bin_folder: Path, work: Path) -> Make:
    folder = work / "bentoml-service"
    folder.mkdir()
    (folder / "service.py").write_text(_BENTOML.format(here=str(HERE), pair=str(work)))

    def make(body: bytes) -> Peer:
        port = free_port()
        command = [
            str(bin_folder / "bentoml"),
            "serve",
            "service:Forecasts",
            "--working-dir",
            str(folder),
        ]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        env = {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
        return Peer("bentoml", command, port, "/predict", body, env, 0.25)

    return make
