"""The FastAPI backend: the shared contract, and what is its own: the address."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from framework_fastapi.backend import check_certificate, check_files

from framework.errors import ConfigError, FrameworkError
from framework.plugins.discovery import load_plugins
from framework.serving.http.address import bind
from framework.testing.contracts.serving import ServingContract
from framework.testing.contracts.serving_live import LiveServingContract


class TestFastapi(ServingContract):
    backend = "fastapi"
    options = {"port": 0}  # noqa: RUF012  a constant


class TestFastapiLive(LiveServingContract):
    backend = "fastapi"
    options = {"port": 0}  # noqa: RUF012  a constant

    @pytest.mark.stress
    def test_a_shadow_is_asked_and_changes_no_byte_whether_it_answers_hangs_or_crashes(
        self, tmp_path: Path
    ) -> None:
        super().test_a_shadow_is_asked_and_changes_no_byte_whether_it_answers_hangs_or_crashes(
            tmp_path
        )


def test_a_port_in_use_is_one_line_that_says_what_next(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            FrameworkError, match=rf"^port {port} on 127.0.0.1 is in use; set serving.port="
        ):
            bind("127.0.0.1", port)
        command = [
            sys.executable,
            "-m",
            "framework.testing.servers.fake_server",
            "fastapi",
            json.dumps({"port": port}),
            str(tmp_path),
            "none",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr.splitlines()[-1]


def test_a_host_that_is_not_here_is_one_line() -> None:
    with pytest.raises(
        FrameworkError, match=r"^cannot listen on 192\.0\.2\.1:8000: .*set serving.host"
    ):
        bind("192.0.2.1", 8000)


def test_a_socket_of_a_server_that_stopped_can_be_had_again() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
    bind("127.0.0.1", port).close()


def test_options_name_the_wrong_key() -> None:
    options = load_plugins().find("serving", "fastapi").options
    with pytest.raises(ValueError, match="max_rows"):
        options(max_rows=0)
    with pytest.raises(ValueError, match="prot"):
        options(prot=1)


def test_a_server_that_may_open_too_few_files_says_so() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (63, hard))
    try:
        with pytest.raises(FrameworkError, match=r"may open 63 files, .* 64 .*\(ulimit -n\)\.$"):
            check_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("certificate", ["nope.pem", __file__])
def test_a_certificate_that_is_none_is_a_wrong_option(certificate: str) -> None:
    with pytest.raises(ConfigError, match=r"^serving\.ssl_certfile, serving\.ssl_keyfile: "):
        check_certificate(certificate, "nope.pem")


def test_offering_the_backend_imports_nothing_heavy() -> None:
    code = (
        "import framework_fastapi, sys; print([m for m in ('uvicorn', 'fastapi', 'msgspec', "
        "'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
