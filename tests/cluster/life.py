"""One pod on the tests' cluster, from the node that it was given to its end.

Times are a kubelet's where they are promises (graces, timeouts, thresholds), and shorter where
they are only slowness (back-off, periods).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from tests.cluster.api import AWAY, STRATEGIC, Api, Object, Refused, Watched, until_known
from tests.cluster.machine import Machine, given
from tests.cluster.pod_status import (
    State,
    last_words,
    moment,
    running,
    status,
    terminated,
    waiting,
)
from tests.cluster.probing import Unhealthy, probe
from tests.serving.pods import Here, Pod, start

TICK_SECONDS = 0.05
AGAIN_SECONDS = 0.5
"""Between looks for an image or a ConfigMap that is not there."""

BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""A kubelet begins with 10 s and ends with 300."""

LEAST_GRACE_SECONDS = 2
"""What a process gets after SIGTERM where preStop took all of the grace; the kubelet's own."""


class Life:
    """The one container of ``pod``. ``process``: what runs behind it, or ran last."""

    def __init__(self, api: Api, pods: Watched, machine: Machine, pod: Object, number: int) -> None:
        self._api, self._pods, self._machine, self._pod = api, pods, machine, pod
        self._name, self._uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        self._path = f"{pods.path}/{self._name}"
        self._ip = f"10.245.{number // 250}.{number % 250 + 1}"
        self._folder = machine.folder / f"{number}-{self._name}"
        self._folder.mkdir(parents=True)
        self._container = pod["spec"]["containers"][0]
        self._state, self._since = State(waiting("ContainerCreating")), moment()
        self.labels: Mapping[str, str] = pod["metadata"].get("labels", {})
        self.process: Pod | None = None
        self._said = 0

    async def run(self) -> None:
        """Live until the pod is deleted, then stop and be gone."""
        living = asyncio.create_task(self._live())
        leaving = asyncio.create_task(self._deletion())
        try:
            await asyncio.wait({living, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()  # what nobody understands is raised; what has ended for good waits
                await leaving
        finally:
            living.cancel()
            leaving.cancel()
        await asyncio.wait({living})
        await self._leave()

    def kill(self) -> None:
        """End its process now."""
        if self.process is not None and self.process.process.poll() is None:
            self.process.kill()

    @property
    def _current(self) -> Object | None:
        """The pod as the server has it; None when it is gone."""
        one = self._pods.objects.get(self._name)
        return one if one is not None and one["metadata"]["uid"] == self._uid else None

    # From the node to the end.

    async def _live(self) -> None:
        await self._pulled()
        for restarts in count():
            begun = time.monotonic()
            pod = await self._started(restarts)
            code = await self._supervised(pod)
            if self._over(code):
                await self._tell_end(code)
                return
            early = time.monotonic() - begun < 60
            wait = BACK_OFF_SECONDS[min(restarts, len(BACK_OFF_SECONDS) - 1)] if early else 0
            message = f"back-off {wait}s restarting failed container={self._container['name']}"
            await self._tell(
                now=waiting("CrashLoopBackOff", f"{message} pod={self._name}"),
                last=self._ended(code), started=False, ready=False,
            )  # fmt: skip
            await asyncio.sleep(wait)

    async def _pulled(self) -> None:
        image = self._container["image"]
        while image not in self._machine.images:
            message = f'Back-off pulling image "{image}": not found'
            await self._tell(now=waiting("ImagePullBackOff", message))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _started(self, restarts: int) -> Pod:
        try:
            here = await self._here()
            self._said = len(self.process.log) if self.process else 0
            self.process = start(self._pod["spec"], here)
        except Exception as error:  # a test asks for what nobody here understands
            await self._tell(now=waiting("CreateContainerError", repr(error)))
            raise
        self._since = moment()
        await self._tell(now=running(self._since), phase="Running", restarts=restarts)
        return self.process

    async def _here(self) -> Here:
        """What the cluster gives the pod; waits until it is there, and says what it waits for."""
        while True:
            try:
                return await given(self._api, self._machine, self._pod, self._folder, self._ip)
            except Refused as missing:
                await self._tell(now=waiting("ContainerCreating", str(missing)))
            except AWAY:
                pass
            await asyncio.sleep(AGAIN_SECONDS)

    async def _supervised(self, pod: Pod) -> int:
        """Probe until the process has ended, by itself or because it was unhealthy."""
        ended = asyncio.create_task(_end_of(pod))
        probing = asyncio.create_task(probe(pod, self._container, self._tell))
        try:
            await asyncio.wait({ended, probing}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                with suppress(Unhealthy):
                    probing.result()
                grace = float(self._pod["spec"]["terminationGracePeriodSeconds"])
                await self._stop(pod, lambda: grace)
            return await ended
        finally:
            ended.cancel()
            probing.cancel()
            await asyncio.wait({probing})
            if not probing.cancelled():
                probing.exception()

    def _over(self, code: int) -> bool:
        policy = self._pod["spec"]["restartPolicy"]
        return policy == "Never" or (policy == "OnFailure" and code == 0)

    # The end.

    async def _deletion(self) -> None:
        seen = 0
        while (one := self._current) is not None and "deletionTimestamp" not in one["metadata"]:
            seen = await self._pods.beyond(seen)

    def _grace(self) -> float:
        """Seconds from the deletion; 0 once it is gone, as by a deletion with force."""
        one = self._current
        return 0.0 if one is None else float(one["metadata"].get("deletionGracePeriodSeconds", 0))

    async def _leave(self) -> None:
        if self.process is not None and self.process.process.poll() is None:
            await self._tell_end(await self._stop(self.process, self._grace))
        while self._current is not None:
            with suppress(*AWAY):
                its = {"uid": self._uid}
                await self._api.delete(self._path, gracePeriodSeconds=0, preconditions=its)
            await asyncio.sleep(TICK_SECONDS)

    async def _stop(self, pod: Pod, grace: Callable[[], float]) -> int:
        """preStop, SIGTERM, SIGKILL; ``grace`` may become shorter meanwhile."""
        begun = time.monotonic()
        await _until(lambda: time.monotonic() >= begun + min(pod.settle_seconds, grace()), pod)
        told = time.monotonic()
        if pod.process.poll() is None:
            pod.terminate()
        least = told + LEAST_GRACE_SECONDS
        await _until(lambda: time.monotonic() >= max(begun + grace(), least), pod)
        return pod.kill() if pod.process.poll() is None else int(pod.process.returncode)

    # What it tells.

    async def _tell(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        told = status(self._current or self._pod, self._state, self._ip)
        patch = {"metadata": {"uid": self._uid}, "status": told}
        await until_known(self._api, f"{self._path}/status", patch, STRATEGIC)

    async def _tell_end(self, code: int) -> None:
        phase = "Failed" if code else "Succeeded"
        await self._tell(now=self._ended(code), phase=phase, started=False, ready=False)

    def _ended(self, code: int) -> dict[str, Any]:
        log = self.process.log[self._said :] if self.process else ""
        return dict(terminated(code, self._since, last_words(self._container, code, log)))


async def _end_of(pod: Pod) -> int:
    while (code := pod.process.poll()) is None:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(TICK_SECONDS)
    return code


async def _until(holds: Callable[[], bool], pod: Pod) -> None:
    """Wait until ``holds``, or the process has ended."""
    while not holds() and pod.process.poll() is None:  # noqa: ASYNC110 - neither sets an event
        await asyncio.sleep(TICK_SECONDS)
