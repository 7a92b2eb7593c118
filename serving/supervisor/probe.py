"""Health checks: one GET, one answer.

Written on asyncio's streams: a whole HTTP client would double the supervisor's memory.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from serving.supervisor.plan import Answer

TIMEOUT_SECONDS = 3.0
BODY_LIMIT = 8192
"""Bytes of an answer that are read: a health check has little to say."""


def _reason(status: int, body: bytes) -> str:
    """Why a health check was refused: what it says itself, or its status."""
    try:
        document: Any = json.loads(body)
        return str(document["reason"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"its health check answers {status}"


def parse_answer(data: bytes) -> Answer:
    """An HTTP answer as a verdict. Anything but a 200 is unhealthy, with its reason."""
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return Answer(answered=False, healthy=False, reason="does not speak HTTP")
    status = int(words[1])
    if status == 200:
        return Answer(answered=True, healthy=True)
    return Answer(answered=True, healthy=False, reason=_reason(status, body))


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if "/" in address:
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def _exchange(address: str, path: str) -> bytes:
    reader, writer = await _connect(address)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        data = b""
        while len(data) < BODY_LIMIT and (part := await reader.read(BODY_LIMIT)):
            data += part
        return data
    finally:
        writer.close()


async def ask(address: str, path: str) -> Answer:
    """Ask the process at ``address`` (a socket's path, or host:port) how it is."""
    try:
        return parse_answer(await asyncio.wait_for(_exchange(address, path), TIMEOUT_SECONDS))
    except TimeoutError:
        reason = f"does not answer within {TIMEOUT_SECONDS:.0f} seconds"
    except OSError as error:
        reason = f"does not listen yet ({error.strerror or type(error).__name__})"
    return Answer(answered=False, healthy=False, reason=reason)
