"""The workers of one server: what one is asked to do, all do. They share a folder, so that any of
them may die at any time.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framework.files import atomic_write

#: Seconds between two looks at the folder.
_EVERY = 0.05

log = logging.getLogger(__name__)


class Peers:
    """``act`` is called in a thread whenever one of them asks, and gives what JSON can hold.

    Files: ``asked-NUMBER``, of which only the name counts; ``done-PID`` of every worker: the
    highest number that it has acted on, and what ``act`` gave.
    """

    def __init__(self, folder: Path, act: Callable[[], Any]) -> None:
        self._folder, self._act = folder, act
        self._seen, self._stopping = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, name="peers", daemon=True)

    def start(self) -> None:
        """From now on the others wait for this one."""
        self._note(None)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._file(os.getpid()).unlink(missing_ok=True)

    def ask(self, seconds: float) -> dict[int, Any]:
        """Let all act now, this one too: what ``act`` gave, by process; None of one that has not
        answered after ``seconds``.
        """
        number = time.time_ns()
        question = self._folder / f"asked-{number}"
        question.touch()
        deadline = time.monotonic() + seconds
        try:
            while True:
                replies = self._noted()
                if time.monotonic() > deadline or all(
                    round_number >= number for round_number, _ in replies.values()
                ):
                    return {
                        pid: answer if round_number >= number else None
                        for pid, (round_number, answer) in replies.items()
                    }
                time.sleep(_EVERY)
        finally:
            question.unlink()

    def _noted(self) -> dict[int, tuple[int, Any]]:
        """Read what each worker that is alive has noted."""
        notes = {}
        for file in self._folder.glob("done-*"):
            pid = int(file.name.removeprefix("done-"))
            try:
                os.kill(pid, 0)
                note = json.loads(file.read_text())
            except ProcessLookupError:  # it died
                file.unlink(missing_ok=True)
            except FileNotFoundError:  # it stops
                continue
            else:
                notes[pid] = (note["number"], note["answer"])
        return notes

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY):
            newest = max(
                (int(file.name.removeprefix("asked-")) for file in self._folder.glob("asked-*")),
                default=0,
            )
            if newest > self._seen:
                self._seen = newest
                try:
                    self._note(self._act())
                except Exception:
                    log.exception("what the workers were asked failed in this one")

    def _note(self, answer: Any) -> None:
        with atomic_write(self._file(os.getpid())) as stream:
            stream.write(json.dumps({"number": self._seen, "answer": answer}).encode())

    def _file(self, pid: int) -> Path:
        return self._folder / f"done-{pid}"
