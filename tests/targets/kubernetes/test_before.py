"""What is known of an environment before it is provisioned: the cluster is there already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.refusals import UnreachableError
from pipelines.targets.kubernetes.target import KubernetesTarget
from release.state import StateFolder
from tests.cluster.nodes import cpu_node
from tests.manifests.making import release, settings
from tests.pipelines.rooms import limit_range, ready
from tests.targets.kubernetes.memory import MemoryApi


class AwayApi(MemoryApi):
    """Answers nobody."""

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        raise UnreachableError("the API server does not answer")


def target(folder: Path, api: MemoryApi) -> KubernetesTarget:
    ground = Ground("assist", "production", settings(), 30, api)
    return KubernetesTarget(ground, StateFolder(folder), lambda _: None, lambda _: None)  # type: ignore[arg-type,return-value]


def said(folder: Path, *objects: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether it is provisioned, and what is said of its room."""
    one = target(folder, MemoryApi(*objects))
    return one.facts().provisioned, one.room(release()).verdict


def test_where_the_namespace_is_not_there_the_nodes_are_counted(tmp_path: Path) -> None:
    """It has no quota yet, and no LimitRange."""
    assert said(tmp_path) == (False, "wait")
    assert said(tmp_path, ready(cpu_node("np-1")) | {"kind": "Node"}) == (False, "enough")


def test_where_it_is_there_its_limits_are_too(tmp_path: Path) -> None:
    """Made by a platform team, with what no pod of the release would be taken for."""
    node = ready(cpu_node("np-1")) | {"kind": "Node"}

    assert said(tmp_path, node, limit_range(max={"memory": "1Mi"})) == (False, "refused")


def test_a_cluster_that_does_not_answer_is_away(tmp_path: Path) -> None:
    """Not only unprovisioned: nothing can be counted there."""
    found = target(tmp_path, AwayApi()).facts()

    assert (found.provisioned, found.away) == (False, True)
    assert not target(tmp_path, MemoryApi()).facts().away
