"""Streams: passed through as they come, and never ended as if they were whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.serving.gateway.world import (
    CHAT,
    DONE,
    EVENT,
    IMPATIENT,
    KEYS,
    World,
    chunk,
    story,
    world,
)

USER = {"Authorization": f"Bearer {KEYS['user']}"}


async def open_stream(w: World, do: str) -> aiohttp.ClientResponse:
    return await w.client.post(w.url + CHAT, json={"do": do}, headers=USER)


@story
async def test_a_stream_arrives_chunk_by_chunk(folder: Path) -> None:
    """The first event is in the caller's hands while the application still holds the rest."""
    async with world(folder) as w, await open_stream(w, "hold-stream") as answer:
        first = await answer.content.readany()
        held = not w.apps["blue"].gate.is_set()
        w.apps["blue"].gate.set()
        rest = await answer.content.read()

        assert held
        assert (first, rest) == (EVENT, EVENT + DONE)
        assert answer.content_type == "text/event-stream"
        assert answer.headers["x-greenlight-slot"] == "blue"


@story
async def test_a_whole_stream_is_counted_with_latency_and_time_to_first_token(
    folder: Path,
) -> None:
    async with world(folder) as w:
        answer = await w.ask("stream")
        counts = await w.counts("blue")

        assert answer.body == chunk("Hello") + chunk(" there") + DONE
        assert (counts["requests"], counts["streams"], counts["truncated"]) == (1, 1, 0)
        assert counts["latency_seconds"]["count"] == counts["first_token_seconds"]["count"] == 1


@pytest.mark.parametrize("do", ["stream-without-done", "break-stream"])
@story
async def test_a_stream_without_its_last_word_is_counted_and_breaks_for_the_caller(
    folder: Path, do: str
) -> None:
    """Also when the text of the answer itself reads `data: [DONE]`."""
    async with world(folder) as w:
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask(do)
        counts = await w.counts("blue")

        assert (counts["requests"], counts["truncated"], counts["errors"]) == (1, 1, 0)
        assert counts["latency_seconds"]["count"] == 0


@story
async def test_a_stream_that_breaks_after_its_last_word_is_whole(folder: Path) -> None:
    """The last word may come in two pieces."""
    async with world(folder) as w:
        answer = await w.ask("break-stream-after-done")
        counts = await w.counts("blue")

        assert answer.body == EVENT + DONE
        assert (counts["requests"], counts["truncated"]) == (1, 0)


@story
async def test_a_stream_that_ends_before_its_first_byte_is_an_error_not_an_empty_answer(
    folder: Path,
) -> None:
    async with world(folder) as w:
        answer = await w.ask("stream-of-nothing")
        counts = await w.counts("blue")

        assert (answer.status, answer.code) == (502, "slot_broke_off")
        assert (counts["errors"], counts["streams"], counts["truncated"]) == (1, 0, 0)


@story
async def test_a_stream_that_falls_silent_is_truncated(folder: Path) -> None:
    async with world(folder, limits=IMPATIENT) as w:
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask("hold-stream")

        assert (await w.counts("blue"))["truncated"] == 1


@pytest.mark.parametrize("do", ["hold", "hold-stream"])
@story
async def test_a_caller_who_hangs_up_ends_the_work_in_the_slot(folder: Path, do: str) -> None:
    """Tokens that nobody reads are not generated, and nothing is held against the slot."""
    async with world(folder) as w:
        asking = asyncio.create_task(w.ask(do))
        await w.until_in_flight("blue", 1)
        asking.cancel()
        await w.until_in_flight("blue", 0)
        await w.apps["blue"].cancelled.wait()
        counts = await w.counts("blue")

        assert (counts["requests"], counts["errors"], counts["truncated"]) == (1, 0, 0)
        assert (counts["cut"], counts["abandoned"]) == (0, 1)
        assert counts["latency_seconds"]["count"] == 0


@story
async def test_a_slow_reader_holds_back_the_slot_instead_of_filling_memory(folder: Path) -> None:
    """What the caller does not read stays unsent in the application."""
    async with world(folder) as w:
        answer = await w.client.post(
            w.url + CHAT, json={"do": "flood"}, headers=USER, read_bufsize=2**10
        )
        async with answer:
            await answer.content.readany()
            await w.apps["blue"].settled()
            held_back = w.apps["blue"].flooded

        assert held_back < 64 * 2**20


@story
async def test_each_chunk_after_the_first_is_timed_up_to_the_last_word(folder: Path) -> None:
    """What comes after it, and an answer in one piece, say nothing of the time between tokens."""
    async with world(folder) as w, await open_stream(w, "hold-stream") as answer:
        await answer.content.readany()
        before = await w.counts("blue")
        w.apps["blue"].gate.set()
        await answer.content.read()
        await w.ask("answer-at-once")
        after = await w.counts("blue")

        assert before["inter_token_seconds"]["count"] == 0
        assert after["inter_token_seconds"]["count"] == 1
        bounds = [bound for bound, _ in after["inter_token_seconds"]["buckets"]]
        assert bounds[:3] == [0.01, 0.025, 0.05]
