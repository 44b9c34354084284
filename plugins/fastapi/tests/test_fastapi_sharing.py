"""Connections of an address that several workers share."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from framework_fastapi import sharing
from framework_fastapi.sharing import SharedListener


class Held(asyncio.Protocol):
    """Keeps its connection, in the order in which they came."""

    def __init__(self, connections: list[asyncio.Protocol]) -> None:
        connections.append(self)


class FullSocket(socket.socket):
    """Takes nothing ``refusals`` times, as where a process has too many files. A copy takes."""

    refusals = 0

    def accept(self) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with FullSocket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(64)
        yield bound


def connect(listener: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listener.getsockname()) for _ in range(count)]


async def settle(connections: list[Any], count: int) -> None:
    async with asyncio.timeout(30):
        while len(connections) < count:
            await asyncio.sleep(0.001)


def test_a_worker_that_has_connections_leaves_new_ones_to_one_that_has_none(
    listener: socket.socket,
) -> None:
    busy: list[asyncio.Protocol] = [asyncio.Protocol()] * 32
    free: list[asyncio.Protocol] = []

    async def run() -> None:
        sharers = [
            SharedListener(listener.dup(), mine, partial(Held, mine), None) for mine in (busy, free)
        ]
        for count in range(1, 4):
            clients.extend(connect(listener, 1))
            await settle(free, count)
            await asyncio.sleep(0.02)  # longer than the patience of the other
        for sharer in sharers:
            sharer.close()

    clients: list[socket.socket] = []
    asyncio.run(run())
    assert len(busy) == 32
    for client in clients:
        client.close()


def test_what_waits_when_it_is_closed_is_taken(listener: socket.socket) -> None:
    connections: list[asyncio.Protocol] = []

    async def run() -> None:
        shared = SharedListener(listener, connections, lambda: Held(connections), None)
        clients.extend(connect(listener, 20))
        shared.close()
        await shared.wait_closed()

    clients: list[socket.socket] = []
    asyncio.run(run())
    assert len(connections) == 20
    for client in clients:
        client.close()


def test_a_process_without_files_says_so_and_tries_again(
    listener: FullSocket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sharing, "_PAUSE", 0.01)
    connections: list[asyncio.Protocol] = []
    listener.refusals = 2

    async def run() -> None:
        shared = SharedListener(listener, connections, lambda: Held(connections), None)
        clients.extend(connect(listener, 1))
        await settle(connections, 1)
        shared.close()

    clients: list[socket.socket] = []
    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert [record.getMessage() for record in caplog.records] == [
        "no connection can be taken: [Errno 24] Too many open files; next try in 0.01 s"
    ] * 2
    clients[0].close()
