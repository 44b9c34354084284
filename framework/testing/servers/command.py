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

_forks = get_context("forkserver")


def preload(*modules: str) -> None:
    """Before the first call: what all of them find imported. None that starts threads when it is
    imported.
    """
    _forks.set_forkserver_preload([__name__, "framework.cli.main", *modules])


def run(
    *overrides: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> CompletedProcess[str]:
    """The exit code and what was written, as of ``subprocess.run``. ``env``: all of it, this
    process's by default; ``timeout``: seconds.

    Not for runs that start processes of their own by ``multiprocessing``: they would be waited for.
    Raises :class:`TimeoutError` when it takes longer; the process is killed.
    """
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        out.touch()
        err.touch()
        process = _forks.Process(
            target=_main,
            args=(overrides, str(cwd), dict(os.environ if env is None else env), (out, err)),
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(
                f"framework {' '.join(overrides)}: not done after {timeout:g} s: {err.read_text()}"
            )
        return CompletedProcess(
            ["framework", *overrides], process.exitcode, out.read_text(), err.read_text()
        )


def _main(
    overrides: Sequence[str], cwd: str, env: Mapping[str, str], files: tuple[Path, Path]
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
    gc.freeze()  # what was imported is not looked through again by each run
    try:
        runpy.run_module("framework", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
