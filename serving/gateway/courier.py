"""To a slot and back: one request over its socket, and the two ways in which that can fail."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import hdrs

from serving.gateway.dial import SlotConnector
from serving.gateway.intake import Ask
from serving.gateway.limits import Limits
from serving.gateway.slots import Endpoint, Slots
from serving.log import cause

CHAT = "/v1/chat/completions"
STREAM = "text/event-stream"
_FAILURES = (aiohttp.ClientError, OSError)


class Unreachable(Exception):
    """No connection to the slot came about; the text says why, in the system's words."""


class Broken(Exception):
    """The slot failed after the request may have reached it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(cause(error))
        self.silent = isinstance(error, TimeoutError)


class Courier:
    """Carries requests to slots, over connections that it keeps."""

    def __init__(self, slots: Slots, limits: Limits) -> None:
        self._slots = slots
        self._connector = SlotConnector(limits.patience_seconds)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.CONTENT_TYPE),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=limits.silence_seconds),
        )

    async def close(self) -> None:
        """Close all connections to slots."""
        await self._session.close()

    @asynccontextmanager
    async def send(self, ask: Ask, endpoint: Endpoint) -> AsyncIterator[aiohttp.ClientResponse]:
        """The beginning of the slot's answer. Unreachable, or Broken."""
        socket = self._slots.socket(endpoint)
        url = self._connector.url(socket, endpoint.release) + CHAT
        try:
            response = await self._session.post(
                url, data=io.BytesIO(ask.body), headers=ask.headers, allow_redirects=False
            )
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(cause(error.os_error)) from error
        except _FAILURES as error:
            raise Broken(error) from error
        async with response:
            yield response


async def read_whole(upstream: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that is not streamed. Broken when it does not come whole."""
    try:
        return await upstream.read()
    except _FAILURES as error:
        raise Broken(error) from error


async def next_chunk(upstream: aiohttp.ClientResponse, last: bool = False) -> bytes:
    """The next bytes of a stream. Its end is Broken, unless it has said its ``last`` word."""
    try:
        chunk = await upstream.content.readany()
    except _FAILURES as error:
        if last:
            return b""
        raise Broken(error) from error
    if not chunk and not last:
        raise Broken(EOFError())
    return chunk


def is_stream(upstream: aiohttp.ClientResponse) -> bool:
    """Whether the answer comes chunk by chunk."""
    return upstream.status == 200 and upstream.content_type == STREAM
