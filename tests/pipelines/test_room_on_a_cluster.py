"""The real scheduler agrees: what is said to fit is scheduled, what is said to be missing waits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from manifests.model import Rendering, own
from manifests.render import render
from pipelines.capacity import Room
from pipelines.targets.kubernetes.room import room_of
from tests.cluster.client import Cluster
from tests.cluster.nodes import GPU, gpu_node
from tests.manifests.making import HF, gpu_settings, rendering, vllm_release

POOL = "kubernetes.azure.com/agentpool"
PATIENCE = "--timeout=120s"


class Kubectl:
    """What ``read_cluster`` asks for, answered by kubectl."""

    def __init__(self, cluster: Cluster, only: str) -> None:
        self.cluster, self.only = cluster, only

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        where = f"--namespace={namespace}" if namespace else "--all-namespaces"
        found = self.cluster.read(kind, where)["items"]
        return [one for one in found if kind != "Node" or self.is_ours(one)]

    def is_ours(self, node: Mapping[str, Any]) -> bool:
        """Nodes for anyone, and those of this test's pool: other tests come and go."""
        return node["metadata"]["labels"].get(POOL, self.only) == self.only


@pytest.fixture(autouse=True)
def our_nodes(cluster: Cluster) -> None:
    if cluster.real_pods:
        pytest.skip("another cluster is used, and its nodes are not this test's")


@pytest.fixture
def pool() -> str:
    return f"pool{uuid.uuid4().hex[:6]}"


@pytest.fixture
def nodes(cluster: Cluster, pool: str) -> Iterator[None]:
    """Two nodes with two GPUs each, and one that never offers any."""
    with cluster.nodes(*(node_of(pool, number, gpus) for number, gpus in enumerate((2, 2, 0)))):
        yield


def node_of(pool: str, number: int, gpus: int) -> dict[str, Any]:
    node = gpu_node(f"{pool}-{number}", pool, gpus)
    node["metadata"]["labels"][POOL] = pool
    return node


def asked(namespace: str, pool: str, gpus: int, replicas: int, **more: Any) -> Rendering:
    """A release with so many pods of so many GPUs each."""
    gpu = {"count": gpus, "pool": pool}
    given = gpu_settings(gpu=gpu, replicas=replicas)
    settings = given.model_copy(update={"namespace": namespace, "priority": "none", **more})
    return rendering(vllm_release(HF, tensor_parallel=gpus), given=settings)


def found(cluster: Cluster, given: Rendering, pool: str, slot: str = "blue") -> Room:
    return room_of(Kubectl(cluster, pool), given, slot, datetime.now(UTC))


def start(cluster: Cluster, given: Rendering) -> None:
    """Its Deployments, and what their pods cannot be without."""
    kinds = ("ServiceAccount", "ConfigMap", "Deployment")
    objects = [one.object for one in render(given) if one.kind in kinds]
    done = cluster.apply(*objects, namespace=given.namespace)
    assert done.code == 0, done.err


def servers(cluster: Cluster, given: Rendering, condition: str) -> int:
    """How many pods of its model server have ``condition``, once all are decided on."""
    name = given.slots[0].server_name
    where = (f"--selector={own('server')}={name}", f"--namespace={given.namespace}")
    cluster.must("wait", "--for=create", "pod", *where, PATIENCE)
    replicas = given.settings.server.replicas
    for _ in range(200):
        states = [_scheduled(pod) for pod in cluster.read("pod", *where)["items"]]
        if len(states) == replicas and None not in states:
            return states.count(condition)
    raise AssertionError(f"nobody decided on {states}")


def _scheduled(pod: Mapping[str, Any]) -> str | None:
    conditions = pod["status"].get("conditions", ())
    return next((one["status"] for one in conditions if one["type"] == "PodScheduled"), None)


@pytest.mark.parametrize(("gpus", "replicas", "fit"), [(1, 4, 4), (2, 2, 2), (2, 3, 2), (1, 5, 4)])
@pytest.mark.usefixtures("nodes")
def test_S04_the_scheduler_agrees_with_what_is_said(
    cluster: Cluster, namespace: str, pool: str, gpus: int, replicas: int, fit: int
) -> None:
    """As many pods get a node as have room, the others stay pending; and what was started is not
    in its own way when it is asked for again.
    """
    given = asked(namespace, pool, gpus, replicas)
    before = found(cluster, given, pool)

    start(cluster, given)

    assert (before.verdict == "enough") == (fit == replicas)
    assert servers(cluster, given, "True") == fit
    after = found(cluster, given, pool)
    assert (after.verdict, after.missing) == (before.verdict, before.missing)


@pytest.mark.usefixtures("nodes")
def test_S04_the_live_release_takes_room_and_a_smaller_one_fits(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    """Three of four GPUs are taken: one pod of three fits, and the scheduler gives it its node."""
    blue = asked(namespace, pool, 1, 3, when_full="smaller")
    start(cluster, blue)
    assert servers(cluster, blue, "True") == 3
    green = replace(blue, slots=(*blue.slots, replace(
        rendering(vllm_release(HF, context=4096)).slots[0], name="green")))  # fmt: skip

    room = found(cluster, green, pool, "green")

    assert (room.verdict, room.scale, room.share) == ("smaller", 1, 33)
    assert room.missing == (
        f"2 of 3 pods of {green.slots[1].server_name} have no room: "
        f"2 {GPU} (0 of 4 are free in pool {pool})",
    )
    smaller = asked(namespace, pool, 1, room.scale)
    start(cluster, replace(smaller, slots=(green.slots[1],)))
    one = replace(smaller, slots=(green.slots[1],))
    assert servers(cluster, one, "True") == 1


@pytest.mark.usefixtures("nodes")
def test_S04_a_quota_that_is_too_small_is_told_and_the_api_server_says_no(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    """By its name and with what is left of it."""
    hard = {f"requests.{GPU}": "1"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
             "spec": {"hard": hard}}  # fmt: skip
    assert cluster.apply(quota, namespace=namespace).code == 0
    used = f"--for=jsonpath={{.status.used.requests\\.{GPU.replace('.', chr(92) + '.')}}}=0"
    cluster.must("wait", used, "resourcequota/team", f"--namespace={namespace}", PATIENCE)
    given = asked(namespace, pool, 1, 2)

    room = found(cluster, given, pool)

    assert room.missing == (f"1 requests.{GPU} (ResourceQuota team: 1 of 1 are left)",)
    start(cluster, given)
    deployment = f"deployment/{given.servers[0][0]}"
    where = (deployment, f"--namespace={namespace}", PATIENCE)
    cluster.must("wait", "--for=condition=ReplicaFailure", *where)
    assert "exceeded quota: team" in json.dumps(cluster.read(*where[:2])["status"])


@pytest.mark.usefixtures("nodes")
def test_S20_a_node_without_its_gpu_is_told(cluster: Cluster, namespace: str, pool: str) -> None:
    """It is ready, in the pool, and no room."""
    room = found(cluster, asked(namespace, pool, 2, 3), pool)

    assert room.verdict == "wait"
    assert any(
        note.startswith(f"node {pool}-2 is ready for ") and note.endswith(f"offers no {GPU} yet")
        for note in room.notes
    )
