"""The engine as its application sees it: chunks out of a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from serving.application.answers import Chunk, is_end, parse_line, refused
from serving.application.errors import RequestError

BASE = "http://engine"  # the name means nothing on a Unix socket
RESTART_SECONDS = 10.0
"""A crashed engine is back within a second or two: a request waits for so long rather than fail."""

RETRY_SECONDS = 0.1
CONNECT_SECONDS = 2.0
"""Over a network a connection may be refused in silence, while no pod stands behind its name."""

SILENCE_SECONDS = 600.0
"""Longest time without a byte over a network, where a machine can go without a word. As long as
the openai client waits by default; a model server with a queue may be silent for a while."""

LINE_LIMIT = 2**20
"""Bytes of one line of the stream; a chunk holds a token or a few."""


class _NotYet(Exception):
    """The engine listens, and still loads its model."""


AWAY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, _NotYet)
"""Nothing can have happened there: to be asked again is safe."""


def _gone() -> RequestError:
    message = "The engine went away before it had answered. Ask again."
    return RequestError(502, message, code="engine_unavailable")


def _away() -> RequestError:
    message = "The engine is not there, or still loads its model. Ask again."
    return RequestError(503, message, code="engine_unavailable")


class Engine:
    """Asks one engine. Every request has a connection of its own: closing it cancels the work.

    ``model`` is what the engine calls its model; llama.cpp has one, and asks for no name.
    """

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        url: str,
        timeout: aiohttp.ClientTimeout,
        model: str = "",
    ) -> None:
        self._url, self._name = url, {"model": model} if model else {}
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=LINE_LIMIT
        )

    @classmethod
    def on_socket(cls, path: str) -> Engine:
        """The engine at a Unix socket of this machine."""
        connector = aiohttp.UnixConnector(path, limit=0, force_close=True)
        # The gateway sets deadlines, and hangs up.
        return cls(connector, BASE, aiohttp.ClientTimeout(total=None))

    @classmethod
    def on_network(cls, url: str, model: str) -> Engine:
        """The model server at ``url``, such as ``http://model-3f2a91c``."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        return cls(connector, url.rstrip("/"), timeout, model)

    async def close(self) -> None:
        """Let go of what is open."""
        await self._session.close()

    async def alive(self) -> bool:
        """Whether it says that it is well."""
        try:
            async with self._session.get(f"{self._url}/health") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def chunks(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The answer to ``body``, chunk by chunk. RequestError for none, or only a part of it."""
        until = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                async with contextlib.aclosing(self._once(body)) as chunks:
                    async for chunk in chunks:
                        until = 0.0  # the caller has a part of it: not to be asked again
                        yield chunk
                return
            except AWAY as error:
                if time.monotonic() >= until:
                    raise _away() from error
            except (aiohttp.ClientError, OSError) as error:
                raise _gone() from error
            await asyncio.sleep(RETRY_SECONDS)

    async def _once(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        url = f"{self._url}/v1/chat/completions"
        async with self._session.post(url, json={**body, **self._name}) as response:
            if response.status == 503:
                raise _NotYet
            if response.status != 200:
                raise refused(_document(await response.read()))
            ended = False
            async for line in response.content:
                if (chunk := parse_line(line)) is not None:
                    yield chunk
                ended = ended or is_end(line)
            if not ended:  # closed in good order, and in mid-answer
                raise _gone()


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
