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
from manifests.render import Rendered, render, render_slot
from pipelines.capacity import Room
from pipelines.cluster import UNIT, Needs, Quota
from pipelines.targets.kubernetes.coming import Coming
from pipelines.targets.kubernetes.facts import Live
from pipelines.targets.kubernetes.pods import amounts
from pipelines.targets.kubernetes.quotas import counted
from pipelines.targets.kubernetes.room import room_of
from release.kubernetes_section import Scaling
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
        return bool(node["metadata"]["labels"].get(POOL, self.only) == self.only)


@pytest.fixture(autouse=True)
def of_our_own(cluster: Cluster) -> None:
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
    api = Kubectl(cluster, pool)
    live = Live("assist", "gateway", deployments=api.list("Deployment", given.namespace))
    return room_of(api, given, slot, live, datetime.now(UTC))


def start(cluster: Cluster, given: Rendering) -> None:
    """Its Deployments, and what their pods cannot be without."""
    kinds = ("ServiceAccount", "ConfigMap", "PriorityClass", "Deployment")
    objects = [one.object for one in render(given) if one.kind in kinds]
    done = cluster.apply(*objects, namespace=given.namespace)
    assert done.code == 0, done.err


def limit(cluster: Cluster, namespace: str, hard: Mapping[str, str], **spec: Any) -> dict[str, str]:
    """Give the namespace a ResourceQuota ``team``; what is used, once the server has counted it."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
             "spec": {"hard": hard, **spec}}  # fmt: skip
    assert cluster.apply(quota, namespace=namespace).code == 0
    for _ in range(200):
        status = cluster.read("resourcequota/team", f"--namespace={namespace}").get("status", {})
        if amounts(status.get("hard")) == amounts(hard) and {*status["used"]} == {*hard}:
            return dict(status["used"])
    raise AssertionError(f"nobody counted {hard}: {status}")


def refused(cluster: Cluster, given: Rendering) -> str:
    """What the API server says of the pods of what is in blue."""
    where = (f"deployment/{given.of_slot('blue')}", f"--namespace={given.namespace}")
    cluster.must("wait", "--for=condition=ReplicaFailure", *where, PATIENCE)
    return json.dumps(cluster.read(*where)["status"])


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
    assert room.scale is not None
    smaller = asked(namespace, pool, 1, room.scale)
    start(cluster, replace(smaller, slots=(green.slots[1],)))
    one = replace(smaller, slots=(green.slots[1],))
    assert servers(cluster, one, "True") == 1


@pytest.mark.usefixtures("nodes")
def test_S04_a_quota_that_is_too_small_is_told_and_the_api_server_says_no(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    """By its name and with what is left of it."""
    limit(cluster, namespace, {f"requests.{GPU}": "1"})
    given = asked(namespace, pool, 1, 2)

    room = found(cluster, given, pool)

    assert room.missing == (f"1 requests.{GPU} (ResourceQuota team: 1 of 1 are left)",)
    start(cluster, given)
    deployment = f"deployment/{given.slots[0].server_name}"
    where = (deployment, f"--namespace={namespace}", PATIENCE)
    cluster.must("wait", "--for=condition=ReplicaFailure", *where)
    assert "exceeded quota: team" in json.dumps(cluster.read(*where[:2])["status"])


COUNTED = ("pods", "count/pods", "services", "count/services", "configmaps", "count/configmaps",
           "count/deployments.apps", "count/replicasets.apps", "count/endpoints",
           "count/endpointslices.discovery.k8s.io", "count/poddisruptionbudgets.policy",
           "count/horizontalpodautoscalers.autoscaling", "count/networkpolicies.networking.k8s.io",
           "persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage",
           "requests.cpu", "requests.memory", "limits.memory", f"requests.{GPU}")  # fmt: skip
PLENTY = "1000000G"


@pytest.mark.usefixtures("nodes")
def test_S04_what_is_counted_is_what_the_api_server_counts(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    """Object by object: with the quota that the plan finds enough, and with none to spare."""
    gpu = {"count": 1, "pool": pool}
    settings = gpu_settings(gpu=gpu, replicas=2, cache="10Gi").model_copy(
        update={"namespace": namespace, "priority": "none"}
    )
    given = rendering(vllm_release(HF), given=settings)
    used = amounts(limit(cluster, namespace, dict.fromkeys(COUNTED, PLENTY)))
    needs = needs_of(cluster, given, pool)
    quota = Quota("team", {}, {})
    hard = {name: str((used[name] + quota.takes(name, needs)) / UNIT) for name in COUNTED}
    limit(cluster, namespace, hard)
    assert found(cluster, given, pool).verdict == "enough"

    objects = [one.object for one in (*render_slot(given, "blue"), *_account(given))]
    done = cluster.apply(*objects, namespace=namespace)

    assert done.code == 0, done.err
    for name in (given.of_slot("blue"), given.slots[0].server_name):
        cluster.must("scale", f"--namespace={namespace}", "--replicas=2", f"deployment/{name}")
    _await_used(cluster, namespace, hard)


def needs_of(cluster: Cluster, given: Rendering, pool: str) -> Needs:
    """What blue starts, counted by all of these."""
    api = Kubectl(cluster, pool)
    coming = Coming(api, given, "blue", Live("assist", "gateway"))
    objects = counted(api, given.namespace, coming.objects, COUNTED, there=False)
    return Needs(coming.pods, objects)


def _account(given: Rendering) -> list[Rendered]:
    return [one for one in render(given) if one.kind == "ServiceAccount"]


def _await_used(cluster: Cluster, namespace: str, hard: Mapping[str, str]) -> None:
    """All of it is used, to the last of it."""
    for _ in range(300):
        used = cluster.read("resourcequota/team", f"--namespace={namespace}")["status"]["used"]
        has, most = amounts(used), amounts(hard)
        left = {name: (has[name], most[name]) for name in hard if has[name] != most[name]}
        if not left:
            return
    raise AssertionError(f"used and allowed differ: {left}")


SCOPED: dict[str, Any] = {"scopeSelector": {"matchExpressions": [
    {"scopeName": "PriorityClass", "operator": "In", "values": ["greenlight-serving"]},
]}}  # fmt: skip
QUOTAS = {
    "a count of pods": ({"pods": "1"}, {}, "exceeded quota: team"),
    "limits that no container has": ({"limits.cpu": "9"}, {}, "must specify limits.cpu for"),
    "pods of our class": ({"pods": "1"}, SCOPED, "exceeded quota: team"),
}


@pytest.mark.parametrize("case", QUOTAS)
@pytest.mark.usefixtures("nodes")
def test_S04_a_quota_that_refuses_pods_is_told_before(
    cluster: Cluster, namespace: str, pool: str, case: str
) -> None:
    """The API server says the same of it, only later."""
    hard, spec, says = QUOTAS[case]
    given = asked(namespace, pool, 1, 1, priority="serving", scaling=Scaling(min=2, max=2))
    assert found(cluster, given, pool).verdict == "enough"
    limit(cluster, namespace, hard, **spec)

    room = found(cluster, given, pool)

    verdict = "refused" if "must specify" in says else "wait"
    assert (room.verdict, "ResourceQuota team" in room.missing[0]) == (verdict, True), room
    start(cluster, given)
    cluster.must("scale", f"--namespace={namespace}", "--replicas=2", "deployment/assist-blue")
    assert says in refused(cluster, given)


RANGES = {
    "a default limit below what is asked for": (
        {"default": {"cpu": "100m"}, "defaultRequest": {"cpu": "100m"}},
        "must be less than or equal to cpu limit",
    ),
    "less than is asked for": ({"max": {"memory": "256Mi"}}, "maximum memory usage per Container"),
    "more than is asked for": ({"min": {"memory": "2Gi"}}, "minimum memory usage per Container"),
    "a ratio": (
        {"default": {"cpu": "4"}, "maxLimitRequestRatio": {"cpu": "2"}}, "cpu max limit to request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RANGES)
@pytest.mark.usefixtures("nodes")
def test_S04_a_limit_range_that_refuses_pods_is_told_before(
    cluster: Cluster, namespace: str, pool: str, case: str
) -> None:
    """The API server says the same of it, only later."""
    line, says = RANGES[case]
    given = asked(namespace, pool, 1, 1)
    bounds = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds"},
              "spec": {"limits": [{"type": "Container", **line}]}}  # fmt: skip
    assert cluster.apply(bounds, namespace=namespace).code == 0

    room = found(cluster, given, pool)

    assert room.verdict == "refused"
    assert any("application" in one and "LimitRange bounds" in one for one in room.missing), room
    start(cluster, given)
    assert says in refused(cluster, given)


@pytest.mark.usefixtures("nodes")
def test_S20_a_node_without_its_gpu_is_told(cluster: Cluster, namespace: str, pool: str) -> None:
    """It is ready, in the pool, and no room."""
    room = found(cluster, asked(namespace, pool, 2, 3), pool)

    assert room.verdict == "wait"
    assert any(
        note.startswith(f"node {pool}-2 is ready for ") and note.endswith(f"offers no {GPU} yet")
        for note in room.notes
    )
