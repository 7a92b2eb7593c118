"""Asks a pod's container what its probes ask, and tells what came of it.

Thresholds are the container's own. Periods are at most those of ``PERIOD_SECONDS``, since a test
waits for nothing that can be known now; how long a start may take is kept as it is meant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp

from tests.cluster.api import AWAY, Object
from tests.serving.pods import Pod, Probe

PERIOD_SECONDS: Mapping[Probe, float] = {
    "startupProbe": 0.2, "readinessProbe": 0.5, "livenessProbe": 2.0,
}  # fmt: skip
"""At most so long between probes."""

Tell = Callable[..., Awaitable[None]]
"""Takes ``started`` or ``ready``."""


class Unhealthy(Exception):
    """A probe has failed for so long that the container is to be started again."""


async def probe(pod: Pod, container: Object, tell: Tell) -> None:
    """Probe ``pod`` for ever; Unhealthy when it has to be started again."""
    await _start_up(pod, container.get("startupProbe"))
    await tell(started=True)
    await asyncio.gather(
        _readiness(pod, container.get("readinessProbe"), tell),
        _liveness(pod, container.get("livenessProbe")),
    )
    await asyncio.Event().wait()  # without a probe nothing is ever wrong


async def _start_up(pod: Pod, how: Object | None) -> None:
    if how is None:
        return
    end = time.monotonic() + how["failureThreshold"] * how["periodSeconds"]
    async for passed in _asked(pod, "startupProbe", how):
        if passed:
            return
        if time.monotonic() > end:
            raise Unhealthy("it has not started")


async def _readiness(pod: Pod, how: Object | None, tell: Tell) -> None:
    if how is None:
        await tell(ready=True)
        return
    ready, failures = False, 0
    async for passed in _asked(pod, "readinessProbe", how):
        failures = 0 if passed else failures + 1
        now = passed or (ready and failures < how["failureThreshold"])
        if now != ready:
            ready = now
            await tell(ready=ready)


async def _liveness(pod: Pod, how: Object | None) -> None:
    failures = 0
    if how is None:
        return
    async for passed in _asked(pod, "livenessProbe", how):
        failures = 0 if passed else failures + 1
        if failures >= how["failureThreshold"]:
            raise Unhealthy("it lives no more")


async def _asked(pod: Pod, probe: Probe, how: Object) -> AsyncIterator[bool]:
    """Whether the probe passes, again and again, each over a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=how["timeoutSeconds"])
    connector = aiohttp.TCPConnector(force_close=True)
    await asyncio.sleep(how.get("initialDelaySeconds", 0))
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while True:
            yield await _passes(session, pod.url(probe))
            await asyncio.sleep(min(how["periodSeconds"], PERIOD_SECONDS[probe]))


async def _passes(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except AWAY:
        return False
