"""A Redis server of one's own, for tests and benchmarks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: A server that does not answer within so many seconds will not start.
_PATIENCE = 30.0


@dataclass
class RedisServer:
    """``redis-server`` on a free loopback port, without persistence; ``stop`` and ``start`` again
    with the same port, empty.
    """

    directory: Path
    port: int = 0
    arguments: tuple[str, ...] = ()
    tls: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.place}/0"

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError(
                "no redis-server on the PATH; on Debian: apt-get install redis-server"
            )
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = int(free.getsockname()[1])
        options = [
            "--bind",
            "127.0.0.1",
            *(("--port", "0", "--tls-port") if self.tls else ("--port",)),
            str(self.port),
            "--dir",
            str(self.directory),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        command = [program, *options, *self.arguments]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    output = (
                        (self.directory / "redis.log")
                        .read_text(errors="replace")
                        .strip()
                        .splitlines()
                    )
                    raise RuntimeError(
                        f"redis-server did not start: {output[-1] if output else error}"
                    ) from error
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Kill it, as a crash would; connections break at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def server(*arguments: str, tls: bool = False) -> Iterator[RedisServer]:
    """Run a server, which is stopped and deleted at the end.

    Args:
        arguments: Further ones of the command line, such as ``--requirepass x``.
        tls: Whether it speaks TLS alone; ``arguments`` then name its certificate.

    Yields:
        The server.
    """
    with tempfile.TemporaryDirectory(prefix="framework-redis-") as folder:
        running = RedisServer(Path(folder), arguments=arguments, tls=tls)
        running.start()
        try:
            yield running
        finally:
            running.stop()
