"""A place on a cluster for every environment of an application, with real traffic."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane
from tests.cluster.scraping import Prometheus, target
from tests.cluster.shipping import FRUGAL


@contextmanager
def read_by(prometheus: Prometheus, *planes: DataPlane) -> Iterator[None]:
    """``prometheus`` reads the applications' pods of ``planes``, as they come and go."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(0.1):
            prometheus.scrape([one for plane in planes for one in _targets(plane)])

    thread = threading.Thread(target=follow, name="service discovery")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _targets(plane: DataPlane) -> list[Any]:
    found = []
    for name, pod in plane.pods().items():
        if pod.labels.get("app.kubernetes.io/component") == "application":
            meta = {"name": name, "labels": pod.labels, "namespace": plane.namespace}
            found.append(target(pod.ports["http"], {"metadata": meta}))
    return found


class Speaks(Protocol):
    """A pod."""

    @property
    def log(self) -> str:
        """What it has said so far."""


class Place(Protocol):
    """Where one environment is."""

    @property
    def namespace(self) -> str:
        """Its own."""

    @property
    def url(self) -> str:
        """Where callers ask: the gateway."""

    def pods(self) -> Mapping[str, Speaks]:
        """Those that run, by name."""


@dataclass(frozen=True)
class Stage:
    """Where an application's environments are, and what brings it there: a partial ``llm.yaml``."""

    places: Mapping[str, Place]
    overlay: Mapping[str, Any]


def _overlay(
    ledger: str, image: str, prometheus: Prometheus, planes: Mapping[str, DataPlane]
) -> dict[str, Any]:
    section = {
        "image": image,
        "prometheus": prometheus.url,
        "settle_seconds": 1,
        "application": FRUGAL,
        "server": {"resources": FRUGAL},
        "scaling": {"min": 1, "max": 1},
    }
    environments = {
        name: {"target": "kubernetes", "kubernetes": {**section, **plane.settings}}
        for name, plane in planes.items()
    }
    return {"ledger": ledger, "environments": environments}


@contextmanager
def staged(
    cluster: Cluster, prometheus: Prometheus, folder: Path, environments: Sequence[str],
    ledger: str, image: str, **machine: Any,
) -> Iterator[Stage]:  # fmt: skip
    """A namespace, pods that run and a gateway for each of ``environments``; see ``Machine``."""
    with ExitStack() as held:
        held.enter_context(prometheus.running())
        planes = {}
        for name in environments:
            namespace = held.enter_context(cluster.namespace())
            plane = DataPlane(cluster, namespace, folder / name, **machine)
            planes[name] = held.enter_context(plane)
        held.enter_context(read_by(prometheus, *planes.values()))
        yield Stage(planes, _overlay(ledger, image, prometheus, planes))
