"""``python -m framework`` for tests that call it often, without the seconds that the imports of
most runs take.

Each call is a process of its own, forked from one that has imported them and done nothing else.
What a real start does first (the interpreter, the imports, what they cost) is not tested this way.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from types import ModuleType

_forks = get_context("forkserver")
_imported = [__name__, "framework.cli.main"]
#: The plugin that draws the report of a backtest.
_PAGE = "framework_report"


def preload(*modules: str) -> None:
    """Before the first call: what all of them find imported, besides what was named earlier. None
    that starts threads when it is imported.
    """
    _imported.extend(modules)
    _forks.set_forkserver_preload(_imported)


def run(
    *overrides: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    page: bool = False,
) -> CompletedProcess[str]:
    """Run the command line in a process of its own.

    Not for runs that start processes of their own by ``multiprocessing``: they would be waited for.

    Args:
        overrides: The arguments.
        cwd: The working folder.
        env: All of the environment, this process's by default.
        timeout: Seconds.
        page: Draw the report of a backtest. Without, the command runs as if that plugin were not
            installed: its plots cost more than most fits of a test.

    Returns:
        The exit code and what was written, as of ``subprocess.run``.

    Raises:
        TimeoutError: It takes longer; the process is killed.
    """
    return start(*overrides, cwd=cwd, env=env, page=page).finish(timeout)


class Started:
    """A command that runs in a process of its own. Call :meth:`finish`, also after a kill."""

    def __init__(
        self, overrides: Sequence[str], cwd: Path, env: Mapping[str, str], page: bool
    ) -> None:
        self._overrides = overrides
        self._folder = TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        self._out.touch()
        self._err.touch()
        files = (self._out, self._err)
        self._process = _forks.Process(
            target=_main, args=(overrides, str(cwd), dict(env), files, page)
        )
        self._process.start()

    def written(self) -> str:
        """Read what it has written to its standard output so far."""
        return self._out.read_text()

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        self._process.kill()

    def wait(self, seconds: float) -> bool:
        """Wait for its end.

        Args:
            seconds: How long.

        Returns:
            Whether it has ended.
        """
        self._process.join(seconds)
        return self._process.exitcode is not None

    def finish(self, timeout: float) -> CompletedProcess[str]:
        """Wait for its end, and take what it wrote.

        Args:
            timeout: Seconds.

        Returns:
            The exit code and what was written, as of ``subprocess.run``.

        Raises:
            TimeoutError: It takes longer; the process is killed.
        """
        with self._folder:
            if not self.wait(timeout):
                self.kill()
                self._process.join()
                raise TimeoutError(
                    f"framework {' '.join(self._overrides)}: not done after {timeout:g} s: "
                    f"{self._err.read_text()}"
                )
            return CompletedProcess(
                ["framework", *self._overrides],
                self._process.exitcode or 0,
                self._out.read_text(),
                self._err.read_text(),
            )


def start(
    *overrides: str, cwd: Path, env: Mapping[str, str] | None = None, page: bool = False
) -> Started:
    """Start what :func:`run` runs, and do not wait for it.

    Args:
        overrides: The arguments.
        cwd: The working folder.
        env: All of the environment, this process's by default.
        page: As of :func:`run`.

    Returns:
        The command.
    """
    return Started(overrides, cwd, os.environ if env is None else env, page)


def _main(
    overrides: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    files: tuple[Path, Path],
    page: bool,
) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate((Path(os.devnull), *files)):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["framework", *overrides]
    sys.path.insert(0, cwd)
    if not page:
        sys.modules[_PAGE] = ModuleType(_PAGE)  # a plugin that offers nothing
    gc.freeze()  # what was imported is not looked through again by each run
    try:
        runpy.run_module("framework", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
