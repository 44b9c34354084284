"""A PostgreSQL server of one's own, for tests and benchmarks."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = Path("/usr/lib/postgresql")


def installed() -> Path | None:
    """The folder of the newest server's programs, None when there is none (Debian: ``apt-get
    install postgresql``).
    """
    programs = sorted(_PROGRAMS.glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return programs[-1].parent if programs else None


@contextmanager
def server(database: str = "tests", certificate: Path | None = None) -> Iterator[str]:
    """Run a server, which is stopped and deleted at the end.

    PostgreSQL refuses to run as root: then the user ``postgres`` runs it.

    Args:
        database: The database that is made.
        certificate: A PEM file with a private key and its certificate: the server then speaks TLS
            alone.

    Yields:
        ``127.0.0.1:port/database`` for the user ``tests``:
        ``f"postgresql+psycopg://tests@{place}"``.
    """
    programs = installed()
    if programs is None:
        raise FileNotFoundError(
            f"no PostgreSQL server below {_PROGRAMS}; on Debian: apt-get install postgresql"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="framework-postgresql-"))
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(  # noqa: S603
            command,
            check=True,
            user=user,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    data, settings = (
        str(folder / "data"),
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off",
    )
    run("initdb", "-D", data, "-U", "tests", "--auth=trust", "--no-sync")
    if certificate is not None:
        pem = folder / "data" / "server.pem"
        shutil.copy(certificate, pem)
        pem.chmod(0o600)
        if user is not None:
            os.chown(pem, owner.pw_uid, owner.pw_gid)
        settings += f" -c ssl=on -c ssl_cert_file={pem} -c ssl_key_file={pem}"
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("\nhost ", "\nhostssl "))
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "tests", database)
        yield f"127.0.0.1:{port}/{database}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
