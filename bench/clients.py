"""Clients that count what users would notice: a failed request, a stream without its end.

They speak HTTP over plain connections, because a full client library would be what is measured.
A keep-alive connection that the other side announced to close is no failure; one that breaks
while an answer is owed is.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

from bench.gateway import REQUEST, STREAM_MARK, message

CLIENTS = 8
PATIENCE_SECONDS = 180.0  # of a client, for one answer; beyond it the request has failed
AFTER_FAILURE_SECONDS = 0.01  # or a closed door would be knocked at thousands of times
SLOT = b"x-greenlight-slot:"
DONE = b"data: [DONE]"

Ending = Literal["whole", "failed", "truncated"]
Requests = Iterator[bytes]


@dataclass(frozen=True)
class Reply:
    """One request: how it ended, when it began, how long it took (seconds), who answered."""

    ending: Ending
    began: float
    seconds: float
    streamed: bool
    slot: str = ""
    reason: str = ""


@dataclass
class Seen:
    """What all clients saw. ``seconds``: of good answers, by whether they were streamed."""

    failed: int = 0
    truncated: int = 0
    seconds: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """All that have ended, in whatever way."""
        return self.failed + self.truncated + sum(map(len, self.seconds.values()))

    def add(self, reply: Reply) -> None:
        """Count one more."""
        if reply.ending == "whole":
            self.seconds[reply.streamed].append(reply.seconds)
            return
        self.failed += reply.ending == "failed"
        self.truncated += reply.ending == "truncated"
        self.reasons[f"{reply.ending}: {reply.reason}"] += 1


class Broken(Exception):
    """An answer that is none, or not all of one; ``begun``: a stream had begun."""

    def __init__(self, reason: str, begun: bool = False) -> None:
        super().__init__(reason)
        self.begun = begun


class Client:
    """One client with one connection, asking one request at a time."""

    def __init__(self, port: int, requests: Requests) -> None:
        self._port, self._requests = port, requests
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> Reply:
        """The next request, whatever becomes of it."""
        request, began = next(self._requests), time.perf_counter()
        streamed = STREAM_MARK in request
        ending: Ending = "whole"
        slot = reason = ""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                slot = await self._exchange(request, streamed)
        except Broken as broken:
            ending, reason = "truncated" if broken.begun else "failed", str(broken)
        except (OSError, asyncio.IncompleteReadError) as error:
            ending, reason = "failed", type(error).__name__
        if reason:
            self.close()
            await asyncio.sleep(AFTER_FAILURE_SECONDS)
        return Reply(ending, began, time.perf_counter() - began, streamed, slot, reason)

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _exchange(self, request: bytes, streamed: bool) -> str:
        """The name of the slot that gave a good answer. Broken, or a connection's error."""
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._connection
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise Broken(head.split(b"\r\n", 1)[0].decode(errors="replace"))
        try:
            end = await read_body(reader, head)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Broken(f"broke off, {type(error).__name__}", begun=streamed) from error
        if streamed and DONE not in end:
            raise Broken("no end mark", begun=True)
        if b"connection: close" in head:
            self.close()
        return head.partition(SLOT)[2].split(b"\r\n", 1)[0].strip().decode()


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """The end of the body behind ``head``, which is in lower case, by HTTP/1.1's rules."""
    if b"transfer-encoding: chunked" not in head:
        length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        return await reader.readexactly(int(length))
    end = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        end = (end + (await reader.readexactly(size + 2))[:-2])[-64:]
    await reader.readexactly(2)
    return end


def chat(port: int, key: str, body: bytes) -> bytes:
    """A chat request as it goes over the wire."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}"
    return message(f"{head}\r\nAuthorization: Bearer {key}", body)


def stand_in_clients(port: int) -> list[Client]:
    """Clients for the stand-in, every second one streaming."""
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    streaming = message(
        head.split(b"\r\nContent-Type:")[0].decode(), body[:-1] + b", " + STREAM_MARK + b"}"
    )
    return [Client(port, repeat(streaming if n % 2 else REQUEST)) for n in range(CLIENTS)]


async def keep_asking(
    clients: list[Client], tell: Callable[[Reply], None], enough: Callable[[], bool]
) -> None:
    """Every client asks again as soon as it is answered, until it is enough."""

    async def one(client: Client) -> None:
        while not enough():
            tell(await client.ask())
        client.close()

    await asyncio.gather(*map(one, clients))
