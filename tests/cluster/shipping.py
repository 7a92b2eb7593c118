"""A rendered environment on the tests' cluster: applied, awaited, asked."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from manifests.model import Rendering
from manifests.render import render
from release.bundle import Release, Weights
from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane, RunningPod
from tests.cluster.fixtures import STANDIN_WEIGHTS
from tests.manifests.making import release, rendering, settings
from tests.serving.making import eventually
from tests.serving.testers import callers

SMALL = Weights(
    sha256=hashlib.sha256(STANDIN_WEIGHTS).hexdigest(), size=len(STANDIN_WEIGHTS), format="gguf"
)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FRUGAL = {"cpu": "10m", "memory": "16Mi"}
"""The nodes are everybody's, and what a stand-in takes is nearly nothing."""


def small(system: str = "Be brief.", **engine: Any) -> Release:
    """A release whose weights are what the stand-in is given."""
    return release(system, **engine).model_copy(update={"weights": SMALL})


def placed(plane: DataPlane, *slots: Release, given: Mapping[str, Any] | None = None,
           **more: Any) -> Rendering:  # fmt: skip
    """``slots`` in the plane's namespace behind its gateway, one pod each."""
    frugal = {"application": FRUGAL, "server": {"resources": FRUGAL}, "scaling": {"min": 1}}
    kubernetes = settings(**{**frugal, **plane.settings, **(given or {})})
    return rendering(*slots, given=kubernetes, **more)


def applied(cluster: Cluster, what: Rendering) -> None:
    """Every object is on the server, as the product applies it; ``tests.serving.testers`` has the
    testers' keys.
    """
    namespace, *objects = (one.object for one in render(what))
    # before the pods: what is mounted into them here is never brought up to date
    done = cluster.apply(namespace, callers(what), *objects, namespace=what.namespace)
    assert done.code == 0, done.err


def ready(cluster: Cluster, namespace: str, *deployments: str) -> None:
    """Each Deployment is available, all of them by default."""
    which = [f"deployment/{name}" for name in deployments] or ["deployment", "--all"]
    where = f"--namespace={namespace}"
    cluster.must("wait", "--for=condition=Available", *which, where, "--timeout=120s")


def asking(plane: DataPlane, text: str = "Why?", **headers: str) -> Any:
    """The open answer to one question asked of the gateway, as a stream where it takes seconds."""
    body = {"model": "assist", "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{plane.url}/v1/chat/completions",
        json.dumps({**body, "stream": "seconds" in text}).encode(),
        {**headers, "Content-Type": "application/json"},
    )
    return _DIRECT.open(request, timeout=120)


def slot_of(plane: DataPlane, **headers: str) -> str:
    """The slot that answers a question asked of the gateway."""
    with asking(plane, **headers) as answer:
        return str(answer.headers["x-greenlight-slot"])


class Stream(threading.Thread):
    """A streamed answer of so many seconds, read as it comes; begun when this is made."""

    def __init__(self, plane: DataPlane, seconds: float, **headers: str) -> None:
        super().__init__(daemon=True)
        self._answer = asking(plane, f"Go on for {seconds} seconds.", **headers)
        self.slot = self._answer.headers["x-greenlight-slot"]
        self._text = bytes(self._answer.readline())
        self.start()

    def run(self) -> None:
        """Read until it ends or breaks."""
        with suppress(OSError, http.client.HTTPException), self._answer:
            for line in self._answer:
                self._text += line

    def whole(self) -> bool:
        """Whether its end mark came; waits for its end."""
        self.join(120)
        return self._text.rstrip().endswith(b"data: [DONE]")


def routed(cluster: Cluster, plane: DataPlane, name: str = "assist") -> None:
    """The gateway says of the newest generation of the route that it is in force."""

    def follows() -> bool:
        one = cluster.read("httproute", name, f"--namespace={plane.namespace}")
        told = {
            (each["type"], each["status"], each["observedGeneration"])
            for parent in one.get("status", {}).get("parents", ())
            for each in parent["conditions"]
        }
        return ("Accepted", "True", one["metadata"]["generation"]) in told

    eventually(follows, "the route is in force", 60)


def metric(pod: RunningPod, name: str, **labels: str) -> float:
    """What a pod's /metrics says now: the sum of its samples with these labels."""
    with _DIRECT.open(f"http://{pod.ports['http']}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    found = [
        one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    ]
    assert found, f"no {name} with {labels}"
    return float(sum(found))
