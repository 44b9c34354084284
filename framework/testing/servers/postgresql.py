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
def server(database: str = "tests") -> Iterator[str]:
    """Yields ``127.0.0.1:port/database`` for the user ``tests``:
    ``f"postgresql+psycopg://tests@{place}"``. Stopped and deleted at the end.

    PostgreSQL refuses to run as root: then the user ``postgres`` runs it.
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
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    data, settings = (
        str(folder / "data"),
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off",
    )
    run("initdb", "-D", data, "-U", "tests", "--auth=trust", "--no-sync")
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "tests", database)
        yield f"127.0.0.1:{port}/{database}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
