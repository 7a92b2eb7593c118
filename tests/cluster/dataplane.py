"""The data plane of one namespace in a test: pods that run, and a gateway that routes to them.

``with DataPlane(cluster, namespace, folder, …) as plane`` starts it in a thread of its own; when
the block ends, however it ends, every process of it has ended. Where the whole test process dies,
the kernel ends them.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import AWAY, Api, Refused, Watched, connected
from tests.cluster.client import Cluster
from tests.cluster.endpoints import Endpoints, Names
from tests.cluster.gateway import PREFIX, Gateway
from tests.cluster.kubelet import Kubelet
from tests.cluster.machine import Machine
from tests.cluster.stages import MANAGED
from tests.serving.pods import HOST

GATEWAYS = "gateways"
"""The namespace that Greenlight looks for a Gateway in by default."""

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class RunningPod:
    """One pod as it runs here. ``ports``: named port → ``host:port``."""

    process: subprocess.Popen[bytes]
    ports: Mapping[str, str]
    labels: Mapping[str, str]
    read_log: Any

    @property
    def log(self) -> str:
        """What it has said so far, over all restarts."""
        return str(self.read_log())


class DataPlane:
    """Everything that runs for ``namespace``. See ``Machine`` for ``images``, ``files`` and
    ``commands``; ``names`` are hosts beyond the Services, such as
    ``{"prometheus.monitoring:9090": "127.0.0.1:1234"}``.
    """

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, *,
                 names: Mapping[str, str] | None = None, **machine: Any) -> None:  # fmt: skip
        assert not cluster.real_pods, "a cluster with real pods has its own data plane"
        self.cluster, self.namespace = cluster, namespace
        self.machine = Machine(folder, cluster.kubeconfig, **machine)
        self._names = names or {}
        self.gateway_name = f"gateway-{uuid.uuid4().hex[:8]}"
        self._thread = threading.Thread(target=self._main, name="data plane")
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> DataPlane:
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS), "the data plane did not start"
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(RuntimeError):  # its loop may have ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        problems = [self._failure] if self._failure else self.kubelet.problems
        if problems and kind is None:
            raise problems[0]

    @property
    def settings(self) -> dict[str, Any]:
        """For an environment's ``kubernetes``."""
        gateway = {"name": self.gateway_name, "namespace": GATEWAYS}
        return {"namespace": self.namespace, "gateway": gateway}

    @property
    def url(self) -> str:
        """Where callers ask: the gateway."""
        return self.gateway.url

    def pods(self) -> dict[str, RunningPod]:
        """Every pod whose process was started and that is still in the API, by name."""
        return {
            name: _shown(life.process, life.labels)
            for name, life in list(self.kubelet.lives.items())
            if life.process is not None
        }

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with connected(self.cluster.kubeconfig) as api, AsyncExitStack() as held:
            work = await self._start(api, held)
            over = asyncio.create_task(self._over.wait())
            tasks = {over, *(asyncio.create_task(one) for one in work)}
            held.push_async_callback(_cancelled, tasks)
            await _known(self._watched)
            self._ready.set()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _start(self, api: Api, held: AsyncExitStack) -> list[Coroutine[Any, Any, Any]]:
        """Everything but its loops, which are the answer; ``held`` ends it."""
        own = f"namespaces/{self.namespace}"
        services = Watched(api, f"/api/v1/{own}/services")
        routes = Watched(api, f"{PREFIX}/{own}/httproutes")
        self.kubelet = Kubelet(api, self.namespace, self.machine)
        endpoints = Endpoints(self.kubelet, services)
        names = Names(endpoints, self.namespace, self._names)
        self.machine.services = names
        held.push_async_callback(self._forget, api)
        held.callback(names.close)
        held.callback(self.kubelet.end)
        self.gateway = Gateway(api, routes, endpoints, services, self.gateway_name, GATEWAYS)
        held.push_async_callback(self.gateway.close)
        await self.gateway.start()
        self._watched = (services, routes, self.kubelet.pods)
        loops = [self.kubelet.run(), self.gateway.run(), names.keep(self.kubelet, services)]
        return [*(one.follow() for one in self._watched), *loops]

    async def _forget(self, api: Api) -> None:
        """Pods without a process leave the API: nobody is there any more to take them away."""
        with suppress(*AWAY, Refused):
            listed = await api.get(self.kubelet.pods.path, labelSelector="=".join(MANAGED))
            for pod in listed["items"]:
                path = f"{self.kubelet.pods.path}/{pod['metadata']['name']}"
                await api.delete(path, gracePeriodSeconds=0)


def _shown(pod: Any, labels: Mapping[str, str]) -> RunningPod:
    ports = {name: f"{HOST}:{port}" for name, port in pod.ports.items()}
    return RunningPod(pod.process, ports, labels, lambda: pod.log)


async def _known(watched: Any) -> None:
    for one in watched:
        await one.beyond(0)


async def _cancelled(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
