"""An environment on the tests' cluster whose pods, gateway and Prometheus are real processes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Rendering
from manifests.render import Rendered
from pipelines.targets.base import Target
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import ready_since
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.writer import Watching
from release.bundle import Release
from release.kubernetes_section import Kubernetes
from release.state import StateFolder
from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane
from tests.cluster.fixtures import STANDIN_WEIGHTS
from tests.cluster.scraping import Prometheus
from tests.cluster.shipping import FRUGAL, SMALL
from tests.cluster.stage import read_by
from tests.manifests.making import IMAGE
from tests.serving.making import eventually
from tests.targets import asking
from tests.targets.releases import make

APP = "tiny-bot"


def settings(plane: DataPlane, prometheus: Prometheus, **more: Any) -> Kubernetes:
    """Small pods, one in a slot, that leave quickly."""
    given = {
        "image": IMAGE,
        "application": FRUGAL,
        "server": {"resources": FRUGAL, "load_seconds": 60},
        "scaling": {"min": 1, "max": 1},
        "prometheus": prometheus.url,
        "settle_seconds": 1,
        **plane.settings,
        **more,
    }
    return Kubernetes.model_validate(given)


def watching(r: Rendering) -> Watching:
    """Two pods that watch nothing."""
    labels = {**r.labels_apart, "app.kubernetes.io/component": "watcher"}
    meta = {"name": f"{r.application}-watcher", "namespace": r.namespace, "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [
        {"name": "watcher", "image": IMAGE}]}}  # fmt: skip
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    one = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
    name = f"{r.application}-watcher"
    made = Rendered("Deployment", name, json.dumps(one))
    return Watching((made,), secret, (("Deployment", name), ("Secret", name)))


@dataclass(frozen=True)
class ReadStream:
    """A stream that Prometheus has heard of when it has ended."""

    stream: asking.HttpStream
    bed: KubernetesBed

    def whole(self) -> bool:
        """Whether it came to its end mark."""
        whole = self.stream.whole()
        self.bed.until_read()
        return whole


@dataclass
class KubernetesBed:
    """One environment, for the conformance suite."""

    target: KubernetesTarget
    plane: DataPlane
    prometheus: Prometheus
    cluster: Cluster
    last: int = 0
    servers_before: set[str] = field(default_factory=set)

    def nowhere(self) -> Target:
        """A namespace that nobody has made."""
        ground = self.target.ground
        elsewhere = ground.settings.model_copy(update={"namespace": "greenlight-nowhere"})
        return replace(self.target, ground=replace(ground, settings=elsewhere))

    def fence(self) -> int:
        """Counted."""
        self.last += 1
        return self.last

    def release(self, name: str, *, broken: bool = False, dedicated: bool = False) -> Release:
        """Of weights that are a few bytes."""
        return make(name, broken, dedicated, SMALL.model_dump())

    def ask(self) -> str:
        """Through the gateway; Prometheus has read of it when this returns."""
        label = asking.label(self.target.facts().address, {})
        self.until_read()
        return label

    def ask_pinned(self, slot: str) -> str:
        """As the target says."""
        endpoint = self.target.endpoint(slot)
        label = asking.label(endpoint.url, endpoint.headers)
        self.until_read()
        return label

    def stream(self, slot: str, seconds: float) -> ReadStream:
        """Pinned, so that any slot can have one; Prometheus knows that it is under way."""
        endpoint = self.target.endpoint(slot)
        stream = asking.HttpStream(endpoint.url, endpoint.headers, seconds)
        self.until_read()
        return ReadStream(stream, self)

    def restart(self) -> None:
        """Prometheus goes and comes: it holds the counts. The API server keeps the weights."""
        self.prometheus.stop()
        self.prometheus.start()
        url = self.prometheus.url
        ground = self.target.ground
        settings = ground.settings.model_copy(update={"prometheus": url})
        self.target = replace(self.target, ground=replace(ground, settings=settings))
        self.until_read()

    def watched(self) -> bool:
        """Whether there is a Deployment for it."""
        return self.target.facts().watched

    def servers(self) -> int:
        """Real processes that answer as model servers, those that are leaving too."""
        return sum(name.startswith("model-") for name in self.plane.pods())

    def until_read(self) -> None:
        """Until every pod that users can reach has been read, begun after this call."""
        since = time.time()
        eventually(lambda: self._reachable() <= self._read_since(since), "Prometheus has read them")

    def _reachable(self) -> set[str]:
        labels = {"app.kubernetes.io/component": "application"}
        pods = self.target.ground.api.list("Pod", self.plane.namespace, labels)
        staying = [one for one in pods if "deletionTimestamp" not in one["metadata"]]
        return {one["metadata"]["name"] for one in staying if ready_since(one)}

    def _read_since(self, since: float) -> set[str]:
        rows = self.prometheus.ask("timestamp(up) and up == 1")
        return {row["metric"]["pod"] for row in rows if float(row["value"][1]) > since}


@contextmanager
def provisioned(
    cluster: Cluster, program: str, folder: Path, standin: str, patience: Patience, **more: Any
) -> Iterator[KubernetesBed]:
    """An environment of its own, ready for slots. ``program`` is Prometheus'."""
    with opened(cluster, program, folder, standin, patience, **more) as bed:
        bed.target.provision(bed.fence())
        yield bed


@contextmanager
def opened(
    cluster: Cluster, program: str, folder: Path, standin: str, patience: Patience, **more: Any
) -> Iterator[KubernetesBed]:
    """The same, and nothing is there yet."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")
    weights = folder / "weights"
    weights.write_bytes(STANDIN_WEIGHTS)
    files = {f"/models/{hashlib.sha256(STANDIN_WEIGHTS).hexdigest()}": weights}
    (folder / "prometheus").mkdir()
    prometheus = Prometheus(program, folder / "prometheus")
    with ExitStack() as held:
        patch = held.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        held.enter_context(prometheus.running())
        name = held.enter_context(cluster.namespace())
        plane = held.enter_context(
            DataPlane(cluster, name, folder / "plane", files=files, commands={"python": (standin,)})
        )
        held.enter_context(read_by(prometheus, plane))
        target = KubernetesTarget(
            Ground(APP, "staging", settings(plane, prometheus, **more), 30, Api()),
            StateFolder(folder / "app"), lambda _: None, watching, ("i don't know",),
            patience, remembered=0.0,
        )  # fmt: skip
        yield KubernetesBed(target, plane, prometheus, cluster)
