"""One of several workers. Each opens the pair and follows its aliases by itself; they count
together, and all do what an operator asks one of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from multiprocessing import parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from uvicorn.config import STARTUP_FAILURE

from framework.errors import FrameworkError
from framework.serving.app.app import create_app
from framework.serving.arms.follower import worst_outcome
from framework.serving.deployment import Deployment
from framework.serving.http import logs
from framework.serving.http.asgi import App
from framework.serving.http.metric_registry import FOLDER_VARIABLE
from framework.serving.http.refusal import Refusal
from framework.serving.service import Service
from framework_fastapi import FastapiOptions
from framework_fastapi.peers import Peers

#: Seconds that a worker has to do what all are asked.
_PATIENCE = 60


def make_app(
    deployment: Deployment,
    options: FastapiOptions,
    folder: Path,
    refusals: SimpleQueue[FrameworkError],
) -> App:
    """The application of one worker, in its process. ``folder``: the workers'. A worker that may
    not start tells the supervisor by ``refusals``, and ends.
    """
    try:
        if os.environ.get(FOLDER_VARIABLE) != str(folder):
            raise FrameworkError(
                "serving.workers: this process has supervised workers before; start another one."
            )
        logs.configure(options.log)
        threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
        return create_app(WorkerService(deployment, options, folder))
    except FrameworkError as error:
        refusals.put(error)
        sys.exit(STARTUP_FAILURE)


def _end_with_supervisor() -> None:
    """A supervisor that was killed tells nobody; its workers would keep the port, and follow
    nothing that is done about the server.
    """
    supervisor = parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


class WorkerService(Service):
    """One of several: a reload is everybody's."""

    def __init__(self, deployment: Deployment, options: FastapiOptions, folder: Path) -> None:
        super().__init__(deployment, options, figures=folder)
        self._peers = Peers(folder, self.follower.look_now)

    async def reload(self) -> dict[str, Any]:
        """The worst outcome for each alias, and the ``workers``' own. Raises
        :class:`Refusal` when one does not answer.
        """
        answers = await asyncio.to_thread(self._peers.ask, _PATIENCE)
        late = [pid for pid, answer in answers.items() if answer is None]
        if late:
            raise Refusal(
                503,
                f"{len(late)} of {len(answers)} workers have not looked within {_PATIENCE} s "
                f"(process {late[0]})",
                retry_after=1,
            )
        aliases = worst_outcome(list(answers.values()))
        return {
            "aliases": aliases,
            "workers": [{"pid": pid, "aliases": answer} for pid, answer in sorted(answers.items())],
        }

    def start(self) -> None:
        super().start()
        self._peers.start()

    async def close(self) -> None:
        self._peers.stop()
        await super().close()
