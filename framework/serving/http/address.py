"""The address of a server: taken before anything is made ready, refused in one line."""

from __future__ import annotations

import errno
import socket

from framework.errors import FrameworkError

BACKLOG = 2048


def bind(host: str, port: int, key: str = "serving.port") -> socket.socket:
    """A bound socket. Raises :class:`FrameworkError` in one line when the address cannot be had.
    ``key``: what says the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # under SO_REUSEADDR bind alone also succeeds for a second server
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise FrameworkError(
                f"port {port} on {host} is in use; set {key}=… to one that is free"
                f"{' (0 for any)' if key == 'serving.port' else ''}."
            ) from error
        raise FrameworkError(
            f"cannot listen on {host}:{port}: {error.strerror}; set serving.host and {key}."
        ) from error
    return listener
