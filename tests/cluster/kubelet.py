"""The kubelet of the tests: behind each of Greenlight's pods in a namespace runs its process.

kwok's nodes take pods and run nothing. This runs the one container of a pod as it is described
(``tests.serving.pods``), probes it, tells the API server what it sees, starts it again when it
ends, and stops it as kubelets do: preStop, SIGTERM, SIGKILL when the grace is over. Only then does
the pod leave the API.
"""

from __future__ import annotations

import asyncio
from itertools import count

from tests.cluster.api import Api, Object, Watched
from tests.cluster.life import Life
from tests.cluster.machine import Machine
from tests.cluster.stages import MANAGED


class Kubelet:
    """Plays every node for the managed pods of ``namespace``, in the loop that runs it."""

    def __init__(self, api: Api, namespace: str, machine: Machine) -> None:
        self._api, self._machine = api, machine
        path = f"/api/v1/namespaces/{namespace}/pods"
        self.pods = Watched(api, path, labelSelector="=".join(MANAGED))
        self.lives: dict[str, Life] = {}
        """By the pod's name, until it is gone."""
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
        life = Life(self._api, self.pods, self._machine, pod, next(self._numbers))
        self.lives[name] = life
        task = self._tasks[uid] = asyncio.create_task(life.run())
        task.add_done_callback(lambda done: self._ended(name, life, done))

    def _ended(self, name: str, life: Life, task: asyncio.Task[None]) -> None:
        life.kill()
        if self.lives.get(name) is life:
            del self.lives[name]
        if not task.cancelled() and (problem := task.exception()):
            self.problems.append(problem)
