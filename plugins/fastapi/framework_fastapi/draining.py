"""The stop of a server: what has arrived is answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from framework_fastapi.settings import Config
from framework_fastapi.sharing import SharedListener

if TYPE_CHECKING:
    from framework_fastapi.grpc_server import GrpcServer

#: Seconds in which answers still arrive at connections that are open, and connections that clients
#: were making; each answer then closes its connection.
_LINGER = 0.25
#: Turns of the event loop until everything is read that has arrived when it gets to it.
_TURNS = 5


class DrainingServer(uvicorn.Server):
    """Before it closes anything that is idle, it lets requests come that are on their way.

    ``ready`` is called when it is up.
    """

    config: Config

    def __init__(self, config: Config, ready: Callable[[], None] = lambda: None) -> None:
        self._grpc: GrpcServer | None = None
        super().__init__(config)
        self._ready = ready

    @property
    def started(self) -> bool:
        """Say whether it answers by all protocols; a supervisor asks from another thread."""
        return self._http and (self._grpc is not None or self.config.options.grpc.port is None)

    @started.setter
    def started(self, http: bool) -> None:
        self._http = http

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer. Several workers share the sockets."""
        if self.config.workers == 1:
            await super().startup(sockets)
        else:
            await super().startup([])
            self.servers += [self._share(listener) for listener in sockets or []]
        if self._http and self.config.options.grpc.port is not None:
            from framework_fastapi.grpc_server import GrpcServer

            server = GrpcServer(
                self.config.loaded_app, self.config.options, self.config.limits.connections
            )
            await server.start()
            self._grpc = server
        if self.started:
            self._ready()

    def _share(self, listener: socket.socket) -> Any:
        return SharedListener(
            listener,
            self.server_state.connections,
            lambda: self.config.http_protocol_class(
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            ),
            self.config.ssl,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is there, then end. Of several workers the supervisor closes the address."""
        self.config.limits.stopping = True
        if self.config.workers == 1:
            for listener in sockets or []:
                take_no_more(listener)
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        await asyncio.sleep(_LINGER)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        ends = [super().shutdown(sockets)]
        if self._grpc is not None:
            ends.append(self._grpc.stop(self.config.options.graceful_timeout))
        await asyncio.gather(*ends)


def take_no_more(listener: socket.socket) -> None:
    """Let the system hold no further connections for a socket that will be closed: it would reset
    them. Those that it holds already are still accepted.
    """
    listener.listen(0)
