"""The kubelet of the tests: behind each of Greenlight's pods in a namespace runs its process.

kwok's nodes take pods and run nothing. This runs the one container of a pod as it is described
(``tests.serving.pods``), probes it, tells the API server what it sees, starts it again when it
ends, and stops it as kubelets do: preStop, SIGTERM, SIGKILL when the grace is over. Only then does
the pod leave the API. Times are a kubelet's where they are promises (graces, timeouts, thresholds
of time) and shorter where they are only slowness (periods, back-off).
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.cluster.api import AWAY, STRATEGIC, Api, Object, Refused, Watched, until_known
from tests.cluster.pod_status import State, moment, running, status, terminated, waiting
from tests.cluster.stages import MANAGED
from tests.serving.pods import TOKEN, Here, Pod, Probe, start

PERIOD_SECONDS: Mapping[Probe, float] = {
    "startupProbe": 0.2, "readinessProbe": 0.5, "livenessProbe": 2.0,
}  # fmt: skip
"""At most so long between probes."""

TICK_SECONDS = 0.05
AGAIN_SECONDS = 0.5
"""Between looks for an image or a ConfigMap that is not there."""

BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""A kubelet begins with 10 s and ends with 300."""

LEAST_GRACE_SECONDS = 2
"""What a process gets after SIGTERM where preStop took all of the grace; the kubelet's own."""


class EveryImage(Container[str]):
    """Each can be pulled."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass
class Machine:
    """What the nodes have. It may be changed while pods run; each start reads it anew.

    ``images``: those that can be pulled. ``files``, ``commands``: as ``Here`` has them.
    ``kubeconfig`` leads to the API server; a pod's token takes the place of its own.
    """

    folder: Path
    kubeconfig: Path
    images: Container[str] = field(default_factory=EveryImage)
    files: Mapping[str, Path] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"python": (sys.executable,)}
    )
    services: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


class Kubelet:
    """Plays every node for the managed pods of ``namespace``, in the loop that runs it."""

    def __init__(self, api: Api, namespace: str, machine: Machine) -> None:
        self.api, self.namespace, self.machine = api, namespace, machine
        self.path = f"/api/v1/namespaces/{namespace}/pods"
        self.pods = Watched(api, self.path, labelSelector="=".join(MANAGED))
        self.lives: dict[str, Life] = {}
        """By the pod's name: those whose process has not been ended for good."""
        self.problems: list[BaseException] = []
        """What a test asked for that nobody here understands."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers = count(1)

    async def run(self) -> None:
        """Follow the pods, for ever. Whoever cancels this calls ``end``."""
        seen = 0
        while True:
            seen = await self.pods.beyond(seen)
            for pod in list(self.pods.objects.values()):
                if pod["spec"].get("nodeName") and pod["metadata"]["uid"] not in self._tasks:
                    self._begin(pod)

    def end(self) -> None:
        """End every process at once."""
        for task in self._tasks.values():
            task.cancel()
        for life in self.lives.values():
            life.kill()

    def _begin(self, pod: Object) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        life = self.lives[name] = Life(self, pod, next(self._numbers))
        task = self._tasks[uid] = asyncio.create_task(life.run())
        task.add_done_callback(lambda done: self._ended(name, life, done))

    def _ended(self, name: str, life: Life, task: asyncio.Task[None]) -> None:
        if self.lives.get(name) is life:
            del self.lives[name]
        if not task.cancelled() and (problem := task.exception()):
            life.kill()
            self.problems.append(problem)


class Unhealthy(Exception):
    """A probe has failed for so long that the container is started again."""


class Life:
    """One pod, from its node to its end."""

    def __init__(self, kubelet: Kubelet, pod: Object, number: int) -> None:
        self._kubelet, self._pod, self._name = kubelet, pod, pod["metadata"]["name"]
        self._ip = f"10.245.{number // 250}.{number % 250 + 1}"
        self._folder = kubelet.machine.folder / f"{number}-{self._name}"
        self._folder.mkdir(parents=True)
        self._state = State(waiting("ContainerCreating"))
        self._container = pod["spec"]["containers"][0]
        self.labels: Mapping[str, str] = pod["metadata"].get("labels", {})
        self.pod: Pod | None = None
        """The latest process."""

    async def run(self) -> None:
        """Live until the pod is deleted, then stop and be gone."""
        living = asyncio.create_task(self._live())
        leaving = asyncio.create_task(self._deletion())
        try:
            await asyncio.wait({living, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()  # a pod that has ended for good waits; a problem is raised
                await leaving
        finally:
            living.cancel()
            leaving.cancel()
        await self._leave()

    def kill(self) -> None:
        """End its process now."""
        if self.pod is not None and self.pod.process.poll() is None:
            self.pod.kill()

    @property
    def current(self) -> Object | None:
        """The pod as the server has it; None when it is gone."""
        one = self._kubelet.pods.objects.get(self._name)
        same = one is not None and one["metadata"]["uid"] == self._pod["metadata"]["uid"]
        return one if same else None

    async def _deletion(self) -> None:
        seen = 0
        while (one := self.current) is not None and "deletionTimestamp" not in one["metadata"]:
            seen = await self._kubelet.pods.beyond(seen)

    async def _live(self) -> None:
        await self._pulled()
        for restarts in count():
            self._state = replace(self._state, restarts=restarts)
            begun, since = time.monotonic(), moment()
            self.pod = start(self._pod["spec"], await self._here())
            await self._tell(now=running(since), phase="Running")
            code = await self._supervised(self.pod)
            if self._over(code):
                await self._tell_end(code, since)
                return
            wait = BACK_OFF_SECONDS[min(restarts, len(BACK_OFF_SECONDS) - 1)]
            message = f"back-off {wait}s restarting failed container={self._container['name']}"
            await self._tell(
                now=waiting("CrashLoopBackOff", f"{message} pod={self._name}"),
                last=terminated(code, since), started=False, ready=False,
            )  # fmt: skip
            await asyncio.sleep(wait if time.monotonic() - begun < 60 else 0)

    def _over(self, code: int) -> bool:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        return policy == "Never" or (policy == "OnFailure" and code == 0)

    async def _pulled(self) -> None:
        image = self._container["image"]
        while image not in self._kubelet.machine.images:
            message = f'Back-off pulling image "{image}": not found'
            await self._tell(now=waiting("ImagePullBackOff", message))
            await asyncio.sleep(AGAIN_SECONDS)

    # Probes.

    async def _supervised(self, pod: Pod) -> int:
        """Probe until the process has ended, by itself or because it was unhealthy."""
        ended = asyncio.create_task(_end_of(pod))
        probing = asyncio.create_task(self._probe_all(pod))
        try:
            await asyncio.wait({ended, probing}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                with suppress(Unhealthy):
                    probing.result()
                await self._stop(pod, lambda: float(self._grace()))
            return await ended
        finally:
            ended.cancel()
            probing.cancel()

    async def _probe_all(self, pod: Pod) -> None:
        """Unhealthy when the container has to be started again."""
        await self._start_up(pod)
        await asyncio.gather(self._readiness(pod), self._liveness(pod))

    async def _start_up(self, pod: Pod) -> None:
        if (how := self._container.get("startupProbe")) is not None:
            patience = how.get("failureThreshold", 3) * how.get("periodSeconds", 10)
            end = time.monotonic() + patience
            async for passed in self._probes(pod, "startupProbe"):
                if passed:
                    break
                if time.monotonic() > end:
                    raise Unhealthy
        await self._tell(started=True)

    async def _readiness(self, pod: Pod) -> None:
        how = self._container.get("readinessProbe")
        if how is None:
            await self._tell(ready=True)
            return
        failures = 0
        async for passed in self._probes(pod, "readinessProbe"):
            failures = 0 if passed else failures + 1
            ready = passed or (self._state.ready and failures < how.get("failureThreshold", 3))
            if ready != self._state.ready:
                await self._tell(ready=ready)

    async def _liveness(self, pod: Pod) -> None:
        how = self._container.get("livenessProbe")
        failures = 0
        if how is None:
            return
        async for passed in self._probes(pod, "livenessProbe"):
            failures = 0 if passed else failures + 1
            if failures >= how.get("failureThreshold", 3):
                raise Unhealthy

    async def _probes(self, pod: Pod, probe: Probe) -> AsyncIterator[bool]:
        """Whether the probe passes, again and again."""
        how = self._container[probe]
        timeout = aiohttp.ClientTimeout(total=how.get("timeoutSeconds", 1))
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                yield await _passes(session, pod.url(probe))
                await asyncio.sleep(min(how.get("periodSeconds", 10), PERIOD_SECONDS[probe]))

    # The end.

    def _grace(self) -> int:
        return int(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _deletion_grace(self) -> float:
        """Seconds from the deletion; 0 once it is gone, as by a deletion with force."""
        one = self.current
        return 0.0 if one is None else float(one["metadata"].get("deletionGracePeriodSeconds", 0))

    async def _leave(self) -> None:
        code = 0
        if self.pod is not None and self.pod.process.poll() is None:
            code = await self._stop(self.pod, self._deletion_grace)
            await self._tell_end(code, moment())
        pod = f"{self._kubelet.path}/{self._name}"
        uid = {"uid": self._pod["metadata"]["uid"]}
        while self.current is not None:
            with suppress(*AWAY):
                await self._kubelet.api.delete(pod, gracePeriodSeconds=0, preconditions=uid)
            await asyncio.sleep(TICK_SECONDS)

    async def _stop(self, pod: Pod, grace: Callable[[], float]) -> int:
        """preStop, SIGTERM, SIGKILL; ``grace`` may become shorter meanwhile."""
        begun = time.monotonic()
        await _until(lambda: time.monotonic() - begun >= min(pod.settle_seconds, grace()), pod)
        told = time.monotonic()
        if pod.process.poll() is None:
            pod.terminate()
        await _until(
            lambda: time.monotonic() >= max(begun + grace(), told + LEAST_GRACE_SECONDS), pod
        )
        return pod.kill() if pod.process.poll() is None else int(pod.process.returncode)

    # What it tells, and what it is given.

    async def _tell(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        told = status(self.current or self._pod, self._state, self._ip)
        path = f"{self._kubelet.path}/{self._name}/status"
        uid = self._pod["metadata"]["uid"]
        patch = {"metadata": {"uid": uid}, "status": told}
        await until_known(self._kubelet.api, path, patch, STRATEGIC)

    async def _tell_end(self, code: int, since: str) -> None:
        phase = "Failed" if code else "Succeeded"
        now = terminated(code, since)
        await self._tell(now=now, phase=phase, started=False, ready=False)

    async def _here(self) -> Here:
        """What the cluster gives the pod; waits until it is there, and says what it waits for."""
        while True:
            try:
                return await self._gathered()
            except Refused as missing:
                await self._tell(now=waiting("ContainerCreating", str(missing)))
            except AWAY:
                pass
            await asyncio.sleep(AGAIN_SECONDS)

    async def _gathered(self) -> Here:
        machine, spec = self._kubelet.machine, self._pod["spec"]
        maps = {name: await self._read("configmaps", name) for name in _named(spec, "configMap")}
        secrets = {name: await self._read("secrets", name) for name in _named(spec, "secret")}
        return Here(
            self._folder,
            config_maps={name: one.get("data", {}) for name, one in maps.items()},
            secrets={name: _decoded(one) for name, one in secrets.items()},
            files=machine.files,
            services=machine.services,
            commands=machine.commands,
            fields=self._fields(),
            variables={**machine.variables, **await self._token()},
        )

    def _fields(self) -> dict[str, str]:
        metadata, spec = self._pod["metadata"], self._pod["spec"]
        return {
            "metadata.name": self._name,
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec["serviceAccountName"],
            "status.podIP": self._ip,
        }

    async def _token(self) -> dict[str, str]:
        """For a pod that has its account's token mounted: a kubeconfig with such a token."""
        spec = self._pod["spec"]
        if not any(one["name"].startswith(TOKEN) for one in spec.get("volumes", ())):
            return {}
        account = f"serviceaccounts/{spec['serviceAccountName']}/token"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": self._name}
        made = await self._kubelet.api.create(
            f"/api/v1/namespaces/{self._kubelet.namespace}/{account}",
            {"spec": {"expirationSeconds": 3607, "boundObjectRef": bound}},
        )
        config = yaml.safe_load(self._kubelet.machine.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": made["status"]["token"]}
        config["contexts"][0]["context"]["namespace"] = self._kubelet.namespace
        path = self._folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return {"KUBECONFIG": str(path)}

    async def _read(self, kind: str, name: str) -> Object:
        return await self._kubelet.api.get(
            f"/api/v1/namespaces/{self._kubelet.namespace}/{kind}/{name}"
        )


def _named(spec: Object, kind: str) -> set[str]:
    """Names of the ConfigMaps (``configMap``) or Secrets (``secret``) that a pod needs."""
    (container,) = spec["containers"]
    key = "name" if kind == "configMap" else "secretName"
    found = {one[kind][key] for one in spec.get("volumes", ()) if kind in one}
    found |= {
        one[f"{kind}Ref"]["name"] for one in container.get("envFrom", ()) if f"{kind}Ref" in one
    }
    sources = (one.get("valueFrom", {}) for one in container.get("env", ()))
    return found | {one[f"{kind}KeyRef"]["name"] for one in sources if f"{kind}KeyRef" in one}


def _decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in secret.get("data", {}).items()}


async def _passes(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except AWAY:
        return False


async def _end_of(pod: Pod) -> int:
    while (code := pod.process.poll()) is None:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(TICK_SECONDS)
    return code


async def _until(holds: Callable[[], bool], pod: Pod) -> None:
    """Wait until ``holds``, or the process has ended."""
    while not holds() and pod.process.poll() is None:  # noqa: ASYNC110 - neither sets an event
        await asyncio.sleep(TICK_SECONDS)
