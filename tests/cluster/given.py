"""A place for every environment of an application on a cluster with real pods.

Nobody but its owner knows the cluster's gateway, its Prometheus, the registry that it pulls from
and the store that both it and this machine reach: a partial ``llm.yaml`` says so.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipelines.targets.kubernetes.facts import address_of
from release.kubernetes_section import Gateway
from tests.cluster.client import Cluster
from tests.cluster.stage import Stage

OVERLAY = "GREENLIGHT_TEST_OVERLAY"
"""Names the file: ``ledger``, in which each run gets a folder of its own, and ``kubernetes`` of
each environment. A namespace that it names has to be there; where it names none one is made."""


@dataclass(frozen=True)
class GivenPod:
    """A pod that somebody's kubelet runs."""

    cluster: Cluster
    namespace: str
    name: str

    @property
    def log(self) -> str:
        """What its containers have said, or why nobody can say."""
        where = f"--namespace={self.namespace}"
        done = self.cluster.ask("logs", self.name, where, "--all-containers", "--prefix")
        return done.out or done.err


@dataclass(frozen=True)
class GivenPlace:
    """An environment in a namespace of its own, behind a Gateway that is there."""

    cluster: Cluster
    namespace: str
    gateway: Gateway

    @property
    def url(self) -> str:
        """The gateway's, as the product finds it."""
        where = f"--namespace={self.gateway.namespace}"
        kind = "gateway.gateway.networking.k8s.io"
        there = self.cluster.read(kind, self.gateway.name, where)
        return address_of(there, self.gateway.hostnames)

    def pods(self) -> Mapping[str, GivenPod]:
        """All of the namespace."""
        found = self.cluster.read("pods", f"--namespace={self.namespace}")["items"]
        names = [one["metadata"]["name"] for one in found]
        return {name: GivenPod(self.cluster, self.namespace, name) for name in names}


@contextmanager
def given(cluster: Cluster, environments: Sequence[str]) -> Iterator[Stage]:
    """A place for each of ``environments``; skips where nobody said what the cluster has."""
    if OVERLAY not in os.environ:
        pytest.skip(f"{OVERLAY} does not say what the cluster has: docs/testing.md")
    overlay = yaml.safe_load(Path(os.environ[OVERLAY]).read_text())
    overlay["ledger"] = f"{overlay['ledger']}/{uuid.uuid4().hex[:8]}"
    with ExitStack() as held:
        places = {}
        for name in environments:
            section = overlay["environments"][name]["kubernetes"]
            section["priority"] = "none"  # a class of priority is everybody's, and would stay
            if "namespace" not in section:
                section["namespace"] = held.enter_context(cluster.namespace())
            gateway = Gateway.model_validate(section.get("gateway", {}))
            places[name] = GivenPlace(cluster, section["namespace"], gateway)
        yield Stage(places, overlay)
