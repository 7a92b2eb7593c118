"""Copies of requests for a slot that nobody depends on yet.

A copy starts when its request has got a slot, and neither ever waits for the other: the two
texts are compared, by their hashes, once both have left. Nothing of a copy is returned, kept
or logged, and where copies pile up it is they that are dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import aiohttp

from serving.counting.counts import Ending, ending_of
from serving.counting.visits import Copy, Stay, Visit
from serving.gateway.courier import (
    Broken,
    Courier,
    Unreachable,
    is_stream,
    next_chunk,
    read_whole,
)
from serving.gateway.intake import Ask
from serving.gateway.limits import Limits
from serving.gateway.routes import RouteStore
from serving.gateway.slots import Endpoint, Slots


class Mirror:
    """Sends copies where the routes say. ``point`` draws a number from 0 up to 1."""

    def __init__(
        self,
        routes: RouteStore,
        slots: Slots,
        courier: Courier,
        limits: Limits,
        point: Callable[[], float],
    ) -> None:
        self._routes, self._slots, self._courier = routes, slots, courier
        self._most, self._point = limits.mirror_copies, point
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, ask: Ask, original: Visit) -> None:
        """Send a copy of ``ask`` as well, if the draw says so. Returns at once.

        Who names a slot wants that one alone, so pinned requests have no copies.
        """
        routes = self._routes.current
        if routes is None or routes.mirror is None or ask.pin is not None:
            return
        if self._point() * 100 >= routes.mirror.percent:
            return
        endpoint = self._free(routes.mirror.slot)
        if endpoint is None:
            self._slots.mirrors[routes.mirror.slot].dropped += 1
            return
        self._under_way += 1
        task = asyncio.create_task(self._compare(ask, original, routes.mirror.slot, endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all copies: nobody waits for them, so the gateway's end does not either."""
        self._most = 0  # whatever still comes over an open connection gets none
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _free(self, slot: str) -> Endpoint | None:
        """Where a copy may go now; None when it has to be dropped."""
        endpoint = self._slots.endpoints().get(slot)
        if endpoint is None or not endpoint.ready or self._slots.is_draining(slot):
            return None
        return endpoint if self._under_way < self._most else None

    async def _compare(self, ask: Ask, original: Visit, slot: str, endpoint: Endpoint) -> None:
        try:
            with self._slots.copy(slot, endpoint) as copy:
                await self._fetch(ask, endpoint, copy)
        finally:
            self._under_way -= 1
        theirs = _said(copy)
        del copy  # the caller may read for minutes; until then a hash is all that waits
        await original.left.wait()
        self._slots.mirrors[slot].compare(_said(original), theirs)

    async def _fetch(self, ask: Ask, endpoint: Endpoint, copy: Copy) -> None:
        """Read the copy's answer to its end, and count how it ended."""
        try:
            async with copy.fuse, self._courier.send(ask, endpoint) as upstream:
                await _read(upstream, copy)
        except (Unreachable, Broken):
            copy.end(Ending.ERROR)
        except TimeoutError:  # the fuse's
            copy.end(Ending.CUT)


async def _read(upstream: aiohttp.ClientResponse, copy: Copy) -> None:
    if not is_stream(upstream):
        copy.answer.add(await read_whole(upstream))
        copy.end(ending_of(upstream.status))
        return
    chunk = await next_chunk(upstream)
    while chunk:
        if copy.answer.pass_on(chunk):
            copy.end(Ending.WHOLE)
        chunk = await next_chunk(upstream, last=copy.ended is not None)


def _said(stay: Stay) -> bytes | None:
    """A hash of what was answered; empty where it was declined, None where nothing is known."""
    if stay.ended is Ending.DECLINED:
        return b""
    if stay.ended is not Ending.WHOLE or not stay.answer.is_complete:
        return None
    return hashlib.sha256(stay.answer.text.encode("utf-8", "surrogatepass")).digest()
