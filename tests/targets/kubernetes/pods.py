"""Real pods of one application, as Prometheus finds them in a namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

from manifests.model import Rendering
from tests.cluster.scraping import Prometheus, Target, target
from tests.serving.making import eventually
from tests.serving.pods import ROOT, Pod
from tests.serving.test_pods import Cluster


class Namespace:
    """Pods by name, which Prometheus reads unless they are hidden. ``end`` ends them."""

    def __init__(self, cluster: Cluster, prometheus: Prometheus, tmp: Path) -> None:
        self._cluster, self._prometheus, self._tmp = cluster, prometheus, tmp
        self.pods: dict[str, Pod] = {}
        self.targets: dict[str, Target] = {}
        self._numbers = count()

    @property
    def rendering(self) -> Rendering:
        """What the pods are of."""
        return self._cluster.rendering

    def server(self) -> Pod:
        """Run the model server, which all slots share."""
        names = [one["metadata"]["name"] for one in self._deployments()]
        name = next(one for one in names if one.startswith("model-"))
        return self._run(name, name, "model")

    def add(self, slot: str, read: bool = True) -> str:
        """Run one more pod of ``slot``; its name, once it is ready, and read at least once."""
        name = f"assist-{slot}-5d8f-{next(self._numbers):05}"
        self._run(name, f"assist-{slot}", "application")
        if not read:
            del self.targets[name]
        self.read()
        return name

    def read(self) -> None:
        """Return when Prometheus has read everything, begun after this call."""
        self._prometheus.scrape(tuple(self.targets.values()))
        self._prometheus.until_read(len(self.targets))

    def lose(self, *names: str) -> None:
        """Kill these pods; Prometheus has them no more."""
        for name in names:
            self.pods.pop(name).kill()
            self.targets.pop(name)
        self._prometheus.scrape(tuple(self.targets.values()))

    def restart(self, name: str) -> None:
        """Kill the pod's container; another one starts in its place, at the same address."""
        pod = self.pods[name]
        pod.kill()
        pod.process = subprocess.Popen(
            pod.process.args,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(self._tmp)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: pod.passes("readinessProbe"), f"{name} is ready again")

    def end(self) -> None:
        """Leave nothing behind."""
        for pod in self.pods.values():
            pod.kill()

    def _run(self, name: str, deployment: str, container: str) -> Pod:
        pod = self.pods[name] = self._cluster.run(deployment)
        eventually(lambda: pod.passes("readinessProbe"), f"{name} is ready")
        (template,) = (
            one["spec"]["template"]
            for one in self._deployments()
            if one["metadata"]["name"] == deployment
        )
        metadata = template["metadata"] | {"name": name, "namespace": self.rendering.namespace}
        self.targets[name] = target(pod.address, {"metadata": metadata}, container)
        return pod

    def _deployments(self) -> Iterable[dict[str, Any]]:
        return (one for one in self._cluster.objects if one["kind"] == "Deployment")
