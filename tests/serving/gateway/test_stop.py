"""The end of a gateway: nobody new, everybody in flight, and no longer than its grace."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.serving.gateway.world import DONE, LIMITS, World, story, world

PATIENT = replace(LIMITS, grace_seconds=20)


async def stopping(w: World) -> asyncio.Task[None]:
    """The gateway's end, begun."""
    task = asyncio.create_task(w.gateway.stop())
    await asyncio.sleep(0.05)
    return task


@story
async def test_what_is_in_flight_is_finished(folder: Path) -> None:
    async with world(folder, limits=PATIENT) as w:
        asking = asyncio.create_task(w.ask("hold-stream"))
        await w.until_in_flight("blue", 1)
        stop = await stopping(w)
        w.apps["blue"].gate.set()

        assert (await asking).body.endswith(DONE)
        await stop


@story
async def test_what_is_left_after_the_grace_is_cut(folder: Path) -> None:
    async with world(folder, limits=replace(PATIENT, grace_seconds=0.1)) as w:
        streaming = asyncio.create_task(w.ask("hold-stream"))
        waiting = asyncio.create_task(w.ask("hold"))
        await w.until_in_flight("blue", 2)
        await (await stopping(w))

        assert (await waiting).code == "slot_retired"
        with pytest.raises(aiohttp.ClientPayloadError):
            await streaming


@story
async def test_a_connection_that_is_open_is_served_once_more_and_told_to_close(
    folder: Path,
) -> None:
    """Its next request goes to a connection that the successor takes."""
    async with world(folder, limits=PATIENT) as w:
        asking = asyncio.create_task(w.ask("hold"))
        await w.until_in_flight("blue", 1)  # leaves an idle connection open
        stop = await stopping(w)
        last = await w.call("GET", "/-/health")
        w.apps["blue"].gate.set()

        assert (last.status, last.headers["connection"]) == (200, "close")
        assert (await asking).headers["connection"] == "close"
        with pytest.raises(aiohttp.ClientConnectorError):
            await w.call("GET", "/-/health")
        await stop
