"""``make stress``: a first command is killed (kill -9) at many moments; the next commands must go
on, each within its limit.

Prints one line a kill; exits with 1 when a command after a kill failed or took too long.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "project"
COMMAND = [
    sys.executable,
    "-m",
    "framework",
    "+experiment=shops",
    "model=seasonal_naive",
    "retrieval=file",
]
#: Seconds that a command after a kill may take.
LIMIT = 300


def main(kills: int) -> int:
    with tempfile.TemporaryDirectory() as work:
        project = Path(
            shutil.copytree(EXAMPLE, Path(work) / "project", ignore=shutil.ignore_patterns("state"))
        )
        started = time.monotonic()
        subprocess.run(COMMAND, cwd=project, check=True, capture_output=True)
        whole = time.monotonic() - started
        failed = 0
        for number in range(kills):
            shutil.rmtree(project / "state")
            moment = random.uniform(0.3, 1.0) * whole
            process = subprocess.Popen(
                COMMAND, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(moment)
            process.kill()
            process.wait()
            problem = next(
                (text for run in ("verify", "train", "verify") if (text := after(project, run))), ""
            )
            failed += bool(problem)
            print(
                f"kill {number + 1} of {kills} after {moment:.1f} s of {whole:.1f}: "
                f"{problem or 'the next commands go on'}",
                flush=True,
            )
    return 1 if failed else 0


def after(project: Path, run: str) -> str:
    """What is wrong with a command after the kill, nothing when it does its work."""
    try:
        done = subprocess.run(
            [*COMMAND, f"run={run}"],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"run={run} took more than {LIMIT} s"
    return "" if done.returncode == 0 else f"run={run}: {done.stderr.strip().splitlines()[-1]}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
