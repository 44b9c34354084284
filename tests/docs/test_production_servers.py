"""The configuration of the page on production, against real servers: MLflow, PostgreSQL, Redis, S3.
From the first ingestion to forecasts that are asked for by entity, kept and judged. MLflow,
PostgreSQL and Redis speak TLS alone, with certificates that are checked; every pair is signed.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.server import ThreadedMotoServer

from framework.testing.servers import command, postgresql, redis

pytestmark = pytest.mark.stress
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/production.md").read_text()
USED = runpy.run_path(str(ROOT / "tests/docs/test_production.py"))["SERVERS"]
KEY = "the key of a client"


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the page says that each machine has, of servers that run."""
    folder = tmp_path_factory.mktemp("servers")
    bucket = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    bucket.start()
    s3 = "http://{}:{}".format(*bucket.get_host_and_port())
    aws = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
        "MLFLOW_S3_ENDPOINT_URL": s3,
    }
    boto3.client(
        "s3",
        endpoint_url=s3,
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
        region_name="us-east-1",
    ).create_bucket(Bucket="forecasts")
    authority, private, public = certificates(folder)
    certificate = folder / "server.pem"
    tls = ["--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority)]
    tls += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)]
    checked = f"sslmode=verify-full&sslrootcert={authority}"
    with (
        postgresql.server("mlflow", certificate) as place,
        redis.server(*tls, tls=True) as online,
    ):
        host, port = place.partition("/")[0].split(":")
        prepare(f"postgresql://tests@{host}:{port}")
        tracking = free_port()
        environment = {
            **os.environ,
            **aws,
            "MLFLOW_TRACKING_URI": f"https://127.0.0.1:{tracking}",
            "ARTIFACTS": "s3://forecasts/pairs",
            "REGISTRY_URL": f"postgresql+psycopg://tests:hunter2@{host}:{port}/registry?{checked}",
            "LEDGER_URL": f"postgresql://tests:hunter2@{host}:{port}/forecasts?{checked}",
            "FEAST_REGISTRY_URL": f"postgresql+psycopg://tests:hunter2@{host}:{port}/feast?{checked}",
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority),
            "REDIS": f"{online.place},ssl=true,ssl_ca_certs={authority}",
            "SIGN_KEY": private,
            "TRUST": public,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(authority),
            "PGHOST": host,
            "PGPORT": port,
            "PGDATABASE": "features",
            "PGUSER": "tests",
            "PGPASSWORD": "hunter2",
            "FRAMEWORK_SERVING_KEYS": f"predict,metrics {sha256(KEY.encode()).hexdigest()}",
        }
        assert {*USED} <= {*environment}, "a variable of the page has no server"
        mlflow = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port"]
        mlflow += [str(tracking), "--workers", "1", "--backend-store-uri"]
        mlflow += [f"postgresql+psycopg://tests@{host}:{port}/mlflow"]
        mlflow += ["--uvicorn-opts", f"--ssl-certfile={certificate}"]
        settings = {**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (folder / "mlflow.log").open("w") as log:
            server = subprocess.Popen(
                mlflow, env=settings, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for_answer(f"https://127.0.0.1:{tracking}/health", server, authority)
            yield environment
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            bucket.stop()


def certificates(folder: Path) -> tuple[Path, str, str]:
    """Write what servers on loopback identify themselves with.

    Returns:
        The file of the authority, and the texts of a private key that signs and of its public key.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    identity = authority.issue_cert("127.0.0.1", "localhost")
    identity.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *form)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return folder / "authority.pem", private.decode(), public.decode()


def prepare(server: str) -> None:
    """Do what the page says that an administrator does once."""
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    database = "postgres"
    for line in block.splitlines():
        if line.startswith("\\connect"):
            database = line.split()[1]
            continue
        with psycopg.connect(f"{server}/{database}", autocommit=True) as connection:
            connection.execute(line.encode())


def wait_for_answer(url: str, server: subprocess.Popen[Any], authority: Path) -> None:
    context = ssl.create_default_context(cafile=authority)
    for _ in range(600):
        assert server.poll() is None, f"the server of {url} ended"
        try:
            if httpx.get(url, timeout=2, verify=context).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's project with the files of the page."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "examples" / "project", folder, dirs_exist_ok=True)
    for path, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def run(project: Path, environment: Mapping[str, str], *overrides: str) -> dict[str, Any]:
    done = command.run("+experiment=shops", *overrides, cwd=project, env=environment, timeout=600)
    assert done.returncode == 0, f"{overrides}: {done.stderr[-3000:]}"
    assert "hunter2" not in done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_configuration_of_the_page_runs_against_its_servers(
    project: Path, environment: dict[str, str]
) -> None:
    assert run(project, environment, "run=ingest")["rows"] == {"sales": 480}
    run(project, environment, "run=materialize")
    trained = run(project, environment)
    assert trained["pair"]["version"] == 1
    moved = ("run=promote", "alias=production", "force=true", "reason=first")
    assert run(project, environment, *moved)["pair"]["version"] == 1
    assert run(project, environment, "run=verify")["status"] == "done"
    history = run(project, environment, "run=history")["history"]
    assert {entry["signature"]["status"] for entry in history} == {"trusted"}, history
    run(project, environment, "run=prune")
    predicted = run(project, environment, "run=predict", "predict.output=forecast.parquet")
    assert predicted["rows"] == 4 * 7
    forecasts = ask(project, environment)
    assert [forecast["status"] for forecast in forecasts] == ["ok", "ok", "unknown_entity"]
    monitored = run(project, environment, "run=monitor")
    assert monitored["ledger"]["missing"] == 0
    assert monitored["ledger"]["rows"] == 2 * 7 + 1
    state = {path.name for path in (project / "state").iterdir()}
    assert not {"mlflow.db", "ledger.db", "artifacts", "feast"} & state, "something stayed local"


def ask(project: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Serve as the page says, with a key, and ask by entity."""
    overrides = ["run=serve", "alias=production", "serving.port=0", "serving.workers=2"]
    server = subprocess.Popen(
        [sys.executable, "-m", "framework", "+experiment=shops", *overrides],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = httpx.URL(json.loads(server.stdout.readline())["url"]).port
        headers = {"Host": "forecasts.example.org", "Authorization": f"Bearer {KEY}"}
        entities = [{"shop": name} for name in ("harbour", "station", "nowhere")]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            refused = client.post("/predict/feast", json={"entity": entities[0]})
            assert refused.status_code in (401, 421)
            answer = client.post(
                "/predict/feast/batch", json={"entities": entities}, headers=headers
            )
            assert answer.status_code == 200, answer.text
            forecasts: list[dict[str, Any]] = answer.json()["forecasts"]
            return forecasts
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
