"""Where the pods of a Service are here, and a stable door for each Service's name.

A pod's arguments name a Service; what is behind it comes later, goes, and comes back on another
port. So a name stands for one address of this machine for as long as the test runs. Nobody listens
there while no pod is ready: a caller is refused as by a cluster's own rules.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from tests.cluster.api import Object, Watched
from tests.cluster.kubelet import Kubelet
from tests.cluster.pod_status import is_ready
from tests.serving.pods import HOST

PIECE_BYTES = 65536
TICK_SECONDS = 0.02


class Nowhere(Exception):
    """No pod of the Service is ready."""


class Endpoints:
    """The ready pods behind the Services of a namespace."""

    def __init__(self, kubelet: Kubelet, services: Watched) -> None:
        self._kubelet, self._services = kubelet, services
        self._turns = count()

    def known(self, service: str) -> bool:
        """Whether there is such a Service."""
        return service in self._services.objects

    def ready(self, service: str, port: int | None = None) -> list[str]:
        """``host:port`` of each ready pod, for the Service's ``port``, by default its first."""
        one = self._services.objects.get(service)
        if one is None:
            return []
        asked = (each for each in one["spec"]["ports"] if port in (None, each["port"]))
        target = next(asked, None)
        found = (self._address(pod, target) for pod in self._selected(one)) if target else ()
        return [address for address in found if address]

    def pick(self, service: str, port: int | None = None) -> str:
        """One of them, in turn; Nowhere where there is none."""
        if not (addresses := self.ready(service, port)):
            raise Nowhere(service)
        return addresses[next(self._turns) % len(addresses)]

    def _selected(self, service: Object) -> Iterator[Object]:
        wanted = service["spec"].get("selector", {}).items()
        for pod in self._kubelet.pods.objects.values():
            if is_ready(pod) and wanted <= pod["metadata"].get("labels", {}).items():
                yield pod

    def _address(self, pod: Object, port: Object) -> str | None:
        life = self._kubelet.lives.get(pod["metadata"]["name"])
        if life is None or life.process is None:
            return None
        target = port.get("targetPort", port["port"])
        for one in pod["spec"]["containers"][0].get("ports", ()):
            if target in (one.get("name"), one["containerPort"]):
                return f"{HOST}:{life.process.ports[one['name']]}"
        return None


class Door:
    """The address that a Service's name stands for."""

    def __init__(self, endpoints: Endpoints, service: str) -> None:
        self._endpoints, self._service = endpoints, service
        self._held = _socket(0)
        """Keeps the port ours while nobody listens there."""
        self._server: asyncio.Server | None = None
        self.address = f"{HOST}:{self._held.getsockname()[1]}"

    async def update(self) -> None:
        """Listen where there is somebody behind, and only then."""
        ready = bool(self._endpoints.ready(self._service))
        if ready and self._server is None:
            own = _socket(int(self._held.getsockname()[1]))
            self._server = await asyncio.start_server(self._pass_on, sock=own)
        elif not ready and self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Nobody is let in any more, and the port is free."""
        if self._server is not None:
            self._server.close()
        self._held.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways until one side has ended, which HTTP does only when all is said."""
        ends, orderly = [writer], False
        try:
            host, _, port = self._endpoints.pick(self._service).partition(":")
            inner, out = await asyncio.open_connection(host, int(port))
            ends.append(out)
            orderly = await _first_of(_pump(reader, out), _pump(inner, writer))
        except (Nowhere, OSError):
            pass
        finally:  # also where the data plane ends meanwhile
            for each in ends:
                if orderly:
                    each.close()
                else:
                    each.transport.abort()


class Names(Mapping[str, str]):
    """Every name that pods may call → ``host:port``: Services, ``others``, and plain addresses."""

    def __init__(self, endpoints: Endpoints, namespace: str, others: Mapping[str, str]) -> None:
        self._endpoints, self._namespace, self._others = endpoints, namespace, others
        self.doors: dict[str, Door] = {}

    def __getitem__(self, name: str) -> str:
        if name in self._others:
            return self._others[name]
        host, _, port = name.partition(":")
        if host.replace(".", "").isdigit() or host == "localhost":
            return name
        service, _, rest = host.partition(".")
        namespace = rest.partition(".")[0] or self._namespace
        assert namespace == self._namespace, f"nobody has said where http://{name} is here"
        assert port in ("", "80"), f"pods call Services on port 80 here, not http://{name}"
        if service not in self.doors:
            self.doors[service] = Door(self._endpoints, service)
        return self.doors[service].address

    def __iter__(self) -> Iterator[str]:
        return iter({*self._others, *self.doors})

    def __len__(self) -> int:
        return len({*self._others, *self.doors})

    async def keep(self, kubelet: Kubelet, services: Watched) -> None:
        """Open and close the doors as pods come and go, for ever."""
        while True:
            seen = kubelet.pods.count, services.count, len(self.doors)
            for door in list(self.doors.values()):
                await door.update()
            while seen == (kubelet.pods.count, services.count, len(self.doors)):  # noqa: ASYNC110
                await asyncio.sleep(TICK_SECONDS)  # three things that may change

    def close(self) -> None:
        """Close every door."""
        for door in self.doors.values():
            door.close()


def _socket(port: int) -> socket.socket:
    """One that shares its port with others of this process."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    return made


async def _first_of(*ways: Coroutine[Any, Any, None]) -> bool:
    """Whether the first of them that ended did so in order; the others end with it."""
    tasks = {asyncio.create_task(way) for way in ways}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return all(task.exception() is None for task in done)
    finally:
        for task in tasks:
            task.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
