"""The instruments of ``bench.rollout``: a benchmark that cannot see a failure proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest

from bench.clients import Client, Ending, Reply, Seen, chat
from bench.gateway import STREAM_END, STREAM_HEAD, TOKEN, chunk, message, read_message
from bench.shipping import ways_back
from bench.switching import follow
from release.ledger import Entry

STREAMING, PLAIN = b'{"stream": true}', b"{}"
SLOT = b"200 OK\r\nX-Greenlight-Slot: green"
NO_END_MARK = STREAM_HEAD + TOKEN + chunk(b"")


def ask(answers: list[bytes], body: bytes, times: int = 1) -> list[Reply]:
    """What a client makes of a server that gives each connection one of ``answers``, then hangs
    up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    async def run() -> list[Reply]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = Client(port, repeat(chat(port, "key", body)))
            replies = [await client.ask() for _ in range(times)]
            client.close()
            return replies

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "body", "ending"),
    [
        (message("HTTP/1.1 200 OK", b"{}"), PLAIN, "whole"),
        (message("HTTP/1.1 503 Service Unavailable", b"{}"), PLAIN, "failed"),
        (message("HTTP/1.1 200 OK", b"{}")[:-1], PLAIN, "failed"),
        (b"", PLAIN, "failed"),
        (STREAM_HEAD + TOKEN + STREAM_END, STREAMING, "whole"),
        (NO_END_MARK, STREAMING, "truncated"),
        (STREAM_HEAD + TOKEN, STREAMING, "truncated"),
        (STREAM_HEAD + TOKEN[:-3], STREAMING, "truncated"),
        (b"", STREAMING, "failed"),
    ],
)
def test_a_client_tells_whole_answers_from_failed_and_truncated_ones(
    answer: bytes, body: bytes, ending: Ending
) -> None:
    """A stream that has begun is truncated unless its end mark came; all else fails."""
    (reply,) = ask([answer], body)
    assert reply.ending == ending
    assert bool(reply.reason) == (ending != "whole")


def test_a_connection_that_was_announced_to_close_is_no_failure() -> None:
    """The next request goes down a new connection."""
    head, _, body = message("HTTP/1.1 200 OK\r\nConnection: close", b"{}").partition(b"\r\n\r\n")
    answers = [head + b"\r\n\r\n" + body] * 2
    assert [reply.ending for reply in ask(answers, PLAIN, times=2)] == ["whole", "whole"]


def test_a_client_knows_which_slot_answered() -> None:
    """By the header that the front sets."""
    (reply,) = ask([message("HTTP/1.1 " + SLOT.decode(), b"{}")], PLAIN)
    assert reply.slot == "green"


def test_nothing_that_ended_is_left_out_of_the_count() -> None:
    """Requests are those that went well, those that failed and those that were truncated."""
    seen = Seen()
    for ending in ("whole", "failed", "truncated"):
        seen.add(Reply(ending, 0.0, 1.0, streamed=True))
    assert (seen.requests, seen.failed, seen.truncated) == (3, 1, 1)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([(0.9, "blue"), (1.1, "green"), (1.2, "green")], (0.1, 0)),
        ([(1.1, "green"), (1.2, "blue"), (1.3, "green")], (0.3, 1)),
        ([(1.1, "blue"), (1.2, "blue")], (float("inf"), 2)),
        ([], (float("inf"), 0)),
    ],
)
def test_a_change_is_followed_from_the_last_stray_on(
    replies: list[tuple[float, str]], expected: tuple[float, int]
) -> None:
    """Requests that began before the answer do not count, and silence is not obedience."""
    given = [Reply("whole", began, 0.0, streamed=False, slot=slot) for began, slot in replies]
    seconds, strays = follow(given, 1.0, "green")
    assert seconds == pytest.approx(expected[0])
    assert strays == expected[1]


def entry(kind: str, time: float, **data: Any) -> Entry:
    """An entry of one environment, as far as it matters here."""
    return Entry("a", 1, "", time, kind, "production", 1, "h", data, (), "")


def window(end: float, outcome: str) -> Entry:
    """A window of 10 s that ended at ``end`` and was written half a second later."""
    verdicts = [{"outcome": outcome}]
    return entry("window", end + 0.5, started=end - 10, seconds=10.0, verdicts=verdicts)


BREACH = [window(20, "pass"), window(30, "fail"), entry("return-begun", 31.0)]
WEIGHTS: Callable[[float], Entry] = lambda time: entry("done", time, step="set-weights")  # noqa: E731


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([*BREACH, WEIGHTS(31.5)], [1.5]),
        ([*BREACH, WEIGHTS(31.5), WEIGHTS(40), *BREACH, WEIGHTS(32)], [1.5, 2.0]),
        ([window(20, "pass"), entry("return-begun", 31.0), WEIGHTS(31.5)], []),
        ([window(20, "fail"), entry("done", 21, step="analyse"), entry("return-begun", 31.0),
          WEIGHTS(31.5)], []),
        (BREACH, []),
    ],
)  # fmt: skip
def test_the_way_back_is_timed_from_the_window_that_showed_the_breach(
    entries: list[Entry], expected: list[float]
) -> None:
    """A return by hand has no such window; one that was not finished has no time."""
    assert ways_back(entries) == pytest.approx(expected)
