"""What the gateway costs: milliseconds added at a fixed rate, and requests a second at most.

    python -m bench.gateway

A stand-in server that answers at once, a gateway in front of it and the client each run in a
process of their own, over the loopback. Direct calls and calls through the gateway take turns
in rounds, so that a busy machine is busy for both. At the fixed rate a request has its moment
to start, and its latency counts from then: one that has to wait for its connection pays for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

RATE, CONNECTIONS = 200, 8  # what the target of 3 ms at the median is stated for
ROUNDS, ROUND_SECONDS, WARM_UP_SECONDS = 5, 4.0, 1.0
SATURATION_CONNECTIONS, SATURATION_SECONDS = 16, 5.0
TARGET_MS = 3.0
KEY, ROLE = "bench", "operator"  # the same key may turn the weights
PROMPT = "How do I reset the device when the light blinks twice? " * 8  # about 100 tokens
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hold the button for ten seconds."},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 16, "total_tokens": 116},
    }
).encode()


def message(head: str, body: bytes) -> bytes:
    """An HTTP/1.1 message with a JSON body."""
    lines = f"{head}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return lines.encode() + body


REQUEST = message(
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}",
    json.dumps({"messages": [{"role": "user", "content": PROMPT}]}).encode(),
)
RESPONSE = message("HTTP/1.1 200 OK", ANSWER)

STREAM_MARK = b'"stream": true'
STREAM_CHUNKS, STREAM_PAUSE_SECONDS = 6, 0.002
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    """``data`` in HTTP/1.1's chunked coding; the empty one ends a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


TOKEN = chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "ten"}}]}\n\n')
STREAM_END = chunk(b"data: [DONE]\n\n") + chunk(b"")


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next message's first line and body. IncompleteReadError at the end of the stream."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return head.split(b"\r\n", 1)[0], await reader.readexactly(int(length or 0))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the stand-in: the same answer to everything, at once or as a stream."""
    try:
        while True:
            _, body = await read_message(reader)
            if STREAM_MARK in body:
                await stream(writer)
            else:
                writer.write(RESPONSE)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(writer: asyncio.StreamWriter) -> None:
    """A few tokens with a pause before each, then the end mark."""
    writer.write(STREAM_HEAD)
    for _ in range(STREAM_CHUNKS):
        await asyncio.sleep(STREAM_PAUSE_SECONDS)
        writer.write(TOKEN)
        await writer.drain()
    writer.write(STREAM_END)


async def stand_in(path: str, descriptor: int | None = None) -> None:
    """Serve on a Unix socket, for a proxy, and on an inherited TCP socket, for the client."""
    server = await asyncio.start_unix_server(answer, path, backlog=1024)
    if descriptor is not None:
        await asyncio.start_server(answer, sock=socket.socket(fileno=descriptor))
    async with server:
        await server.serve_forever()


class Connection:
    """One keep-alive connection of the client, used by one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    async def ask(self, request: bytes = REQUEST) -> bytes:
        """The body of a 200 answer; anything else ends the benchmark."""
        async with self._turn:
            self._writer.write(request)
            status, body = await read_message(self._reader)
        if b" 200 " not in status:
            raise SystemExit(f"expected 200, got {status!r}: {body!r}")
        return body

    def close(self) -> None:
        self._writer.close()


async def connect(port: int, number: int) -> list[Connection]:
    """``number`` connections to the loopback."""
    return [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(number)]


async def at_fixed_rate(port: int, seconds: float) -> list[float]:
    """Latencies in ms of RATE requests a second over CONNECTIONS connections."""
    connections = await connect(port, CONNECTIONS)
    start = time.perf_counter() + 0.1

    async def one(number: int) -> float:
        await asyncio.sleep(start + number / RATE - time.perf_counter())
        began = time.perf_counter()
        await connections[number % CONNECTIONS].ask()
        return (time.perf_counter() - began) * 1000

    latencies = await asyncio.gather(*map(one, range(int(RATE * seconds))))
    for connection in connections:
        connection.close()
    return latencies


async def saturate(port: int) -> float:
    """Requests a second when every connection asks again as soon as it is answered."""
    connections = await connect(port, SATURATION_CONNECTIONS)
    start = time.perf_counter()

    async def busy(connection: Connection) -> int:
        count = 0
        while time.perf_counter() - start < SATURATION_SECONDS:
            await connection.ask()
            count += 1
        connection.close()
        return count

    total = sum(await asyncio.gather(*map(busy, connections)))
    return total / (time.perf_counter() - start)


def write_environment(folder: Path) -> None:
    """The files that a supervisor and its creator would have written, and one live slot."""
    caller = {"name": KEY, "role": ROLE, "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    slot = {"socket": "blue.sock", "release": "bench@0000000", "ready": True}
    for name, content in {
        "gateway.json": {
            "application": "bench",
            "environment": "bench",
            "refusal": ["i don't know"],
        },
        "callers.json": {"callers": [caller]},
        "endpoints.json": {"slots": {"blue": slot}},
        "routes.json": {"fence": 1, "weights": {"blue": 100}},
    }.items():
        (folder / name).write_text(json.dumps(content))


@contextmanager
def process(listener: socket.socket, *arguments: str) -> Iterator[int]:
    """The id of a process that inherits ``listener``, ended with the block."""
    command = [sys.executable, "-m", *arguments]
    running = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    try:
        yield running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=20)


@contextmanager
def both() -> Iterator[tuple[dict[str, int], int]]:
    """The stand-in and a gateway before it: the TCP port of each, by name; the gateway's id."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gl-", dir="/tmp"))
        near = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        far = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        write_environment(Path(folder))
        far_arguments = ("bench.gateway", "stand-in", f"{folder}/blue.sock", str(far.fileno()))
        stack.enter_context(process(far, *far_arguments))
        while not Path(folder, "blue.sock").exists():
            time.sleep(0.02)
        near_arguments = ("serving.gateway", folder, "--fd", str(near.fileno()))
        gateway = stack.enter_context(process(near, *near_arguments))
        yield {"direct": far.getsockname()[1], "gateway": near.getsockname()[1]}, gateway


def percentile(values: list[float], percent: int) -> float:
    """By linear interpolation between the closest ranks."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(ports: dict[str, int]) -> dict[str, list[list[float]]]:
    """Latencies in ms, by path and round."""
    rounds: dict[str, list[list[float]]] = {path: [] for path in ports}
    for port in ports.values():
        asyncio.run(at_fixed_rate(port, WARM_UP_SECONDS))
    for number in range(ROUNDS):
        order = list(ports) if number % 2 == 0 else list(reversed(ports))
        for path in order:
            rounds[path].append(asyncio.run(at_fixed_rate(ports[path], ROUND_SECONDS)))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rounds


def report(rounds: dict[str, list[list[float]]], most: dict[str, float]) -> None:
    """Print the table and the difference at the median, over all and by round."""
    print(f"{RATE} requests/s over {CONNECTIONS} connections, {ROUNDS} interleaved rounds;")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n")
    print("| path | p50 ms | p99 ms | at most, requests/s |\n|---|---|---|---|")
    for path, latencies in rounds.items():
        pool = [latency for one in latencies for latency in one]
        p50, p99 = percentile(pool, 50), percentile(pool, 99)
        print(f"| {path} | {p50:.2f} | {p99:.2f} | {most[path]:,.0f} |")
    pairs = zip(rounds["direct"], rounds["gateway"], strict=True)
    added = [percentile(slow, 50) - percentile(fast, 50) for fast, slow in pairs]
    middle = statistics.median(added)
    verdict = "within" if middle <= TARGET_MS else "BEYOND"
    print(f"\nadded at the median: {middle:.2f} ms ({min(added):.2f} to {max(added):.2f} by round)")
    print(f"target: {TARGET_MS:g} ms, {verdict} it")


def main(arguments: list[str]) -> int:
    """Run the benchmark (about a minute), or, as ``stand-in PATH [FD]``, its other half."""
    if arguments[:1] == ["stand-in"]:
        asyncio.run(stand_in(arguments[1], *map(int, arguments[2:])))
        return 0
    with both() as (ports, _):
        rounds = measure(ports)
        most = {path: asyncio.run(saturate(port)) for path, port in ports.items()}
    report(rounds, most)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
