"""Connections to the slots' Unix sockets, pooled, without a limit of our own.

One pool serves all slots. A release in a slot gets a host name of its own, so an idle
connection to the release before it is never taken for one to its successor, and simply
expires.
"""

from __future__ import annotations

import asyncio
import socket
from itertools import count
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

PAUSE_SECONDS = 0.005


class SlotConnector(aiohttp.BaseConnector):
    """Connects by the socket path that stands behind a URL's host name."""

    def __init__(self, connect_seconds: float) -> None:
        super().__init__(limit=0, keepalive_timeout=15)
        self._connect_seconds = connect_seconds
        self._hosts: dict[tuple[str, str], str] = {}
        self._paths: dict[str, str] = {}
        self._numbers = count(1)

    def url(self, path: str, release: str) -> str:
        """The origin under which ``release`` at the socket ``path`` is reached."""
        if (host := self._hosts.get((path, release))) is None:
            host = self._hosts[path, release] = f"slot-{next(self._numbers)}"
            self._paths[host] = path
        return f"http://{host}"

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class's signature
    ) -> ResponseHandler:
        path = self._paths[req.url.raw_host or ""]
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await _dial(path)
                _, protocol = await self._loop.create_unix_connection(
                    self._factory, sock=connection
                )
        except OSError as error:  # TimeoutError is one
            raise UnixClientConnectorError(path, req.connection_key, error) from error
        return protocol


async def _dial(path: str) -> socket.socket:
    """A connected socket.

    A Unix socket whose queue is full answers EAGAIN and is not connecting. asyncio takes that
    for a connection under way and hands out a dead one, whose failure cannot be told from a
    crash in mid-request; hence our own loop.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        while True:
            try:
                connection.connect(path)
            except BlockingIOError:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return connection
    except BaseException:
        connection.close()
        raise
