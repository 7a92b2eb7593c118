"""What a cluster's objects say about its room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from manifests.model import Rendering
from pipelines.cluster import UNIT, Node, Toleration
from pipelines.targets.kubernetes.coming import Coming
from pipelines.targets.kubernetes.pods import pods_of, quantity
from pipelines.targets.kubernetes.pools import Group, groups
from pipelines.targets.kubernetes.room import Without, read_cluster
from release.errors import GreenlightError
from release.kubernetes_section import Capacity
from tests.cluster.nodes import GPU, cpu_node, gpu_node
from tests.manifests.making import HF, gpu_settings, release, rendering, vllm_release
from tests.pipelines.rooms import NOW, YAML, Objects, ready, standing

NONE = Capacity()
SLOT: dict[str, Any] = {"greenlight.dev/slot": "green"}
OWN = {"app.kubernetes.io/name": "assist", **SLOT}
OURS = Without("bot", "assist", frozenset(SLOT.items()))

TEXT = """Cluster-autoscaler status at 2026-03-01 11:59:58 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=3 unready=0 notStarted=0 longNotStarted=0 registered=3)
NodeGroups:
  Name:        aks-a100-12345678-vmss
  Health:      Healthy (ready=1 unready=0 (resourceUnready=0) notStarted=0 registered=1 longUnregistered=0 cloudProviderTarget=1 (minSize=0, maxSize=4))
               LastProbeTime:      2026-03-01 11:59:58 +0000 UTC
  ScaleUp:     NoActivity (ready=1 cloudProviderTarget=1)
  ScaleDown:   NoCandidates (candidates=0)

  Name:        aks-h100-12345678-vmss
  Health:      Healthy (ready=0 unready=0 notStarted=0 registered=0 longUnregistered=0 cloudProviderTarget=0 (minSize=0, maxSize=2))
  ScaleUp:     Backoff (ready=0 cloudProviderTarget=0)
"""  # noqa: E501 - as the autoscaler writes it


def pod(node: str = "", gpus: int = 1, phase: str = "Running", **labels: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "500m"}, "limits": {GPU: str(gpus)}}
    return {
        "metadata": {"name": "p", "namespace": "bot", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase},
    }


def nodes_of(*pods: dict[str, Any], **more: list[dict[str, Any]]) -> Node:
    """The one node, with ``pods`` in the cluster."""
    api = Objects(Node=[ready(gpu_node("a100-1", "a100", 4))], Pod=list(pods), **more)
    (node,) = read_cluster(api, OURS, NONE, GPU, NOW).nodes
    return node


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("500m", 500), ("2", 2000), ("1.5", 1500), ("1e3", 10**6), ("100n", 1),
        ("2Gi", 2**31 * UNIT),
        ("1k", 10**6), ("128974848", 128974848000), ("123Mi", 123 * 2**20 * UNIT), ("1E", 10**21),
        ("0", 0), (".5", 500),
    ],
)  # fmt: skip
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, thousandths: int) -> None:
    """Rounded up where it is finer than a thousandth."""
    assert quantity(text) == thousandths


@pytest.mark.parametrize("text", ["", "2 Gi", "two", "1X", "m", "1e"])
def test_what_is_no_quantity_is_an_error(text: str) -> None:
    """Never zero."""
    with pytest.raises(GreenlightError, match="expected a quantity"):
        quantity(text)


def test_what_other_pods_asked_for_is_not_free() -> None:
    """A limit without a request is one."""
    assert nodes_of(pod("a100-1"), pod("a100-1", 2)).free == {
        **nodes_of().offers, GPU: UNIT, "cpu": 23 * UNIT, "pods": 108 * UNIT
    }  # fmt: skip


@pytest.mark.parametrize(
    "one", [pod("a100-1", phase="Succeeded"), pod("other"), pod("a100-1", **OWN)]
)
def test_what_holds_nothing_here_is_looked_past(one: dict[str, Any]) -> None:
    """Pods that have ended, pods elsewhere, and what the slot has started already."""
    assert nodes_of(one).free[GPU] == 4 * UNIT


def test_pods_that_have_no_node_yet_are_ahead() -> None:
    """But for those that nobody schedules for now."""
    gated = pod(phase="Pending")
    gated["spec"]["schedulingGates"] = [{"name": "not-yet"}]
    api = Objects(Pod=[pod(phase="Pending"), gated])

    (ahead,) = read_cluster(api, OURS, NONE, GPU, NOW).ahead

    assert (ahead.count, ahead.requests[GPU]) == (1, UNIT)


def test_a_node_that_is_not_ready_or_cordoned_is_not_usable() -> None:
    """Nor one that is on its way out."""
    unready, cordoned, leaving = (gpu_node(name, "a100", 1) for name in "abc")
    cordoned, leaving = ready(cordoned), ready(leaving)
    cordoned["spec"]["unschedulable"] = True
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z"
    api = Objects(Node=[unready, cordoned, leaving])

    found = read_cluster(api, OURS, NONE, GPU, NOW).nodes

    assert [one.usable for one in found] == [False, False, False]


@pytest.mark.parametrize("status", [TEXT, YAML])
def test_the_autoscaler_says_what_it_may_add(status: str) -> None:
    """In both of its formats; what has just failed to grow is not counted on."""
    assert groups(status) == (
        Group("aks-a100-12345678-vmss", 3), Group("aks-h100-12345678-vmss", 0)
    )  # fmt: skip


def test_a_status_that_cannot_be_read_is_an_error() -> None:
    """Never a cluster that cannot grow."""
    with pytest.raises(GreenlightError, match="status of the cluster autoscaler"):
        groups("nodeGroups: [{name: a}]")


def autoscaled(status: str, *nodes: dict[str, Any], **settings: Any) -> Any:
    where = {"name": "cluster-autoscaler-status", "namespace": "kube-system"}
    api = Objects(Node=list(nodes), ConfigMap=[{"metadata": where, "data": {"status": status}}])
    return read_cluster(api, OURS, Capacity.model_validate_json(json.dumps(settings)), GPU, NOW)


def test_a_pool_grows_by_nodes_like_its_own() -> None:
    """Found by the name that AKS gives a node, with all that it offers."""
    node = ready(gpu_node("aks-a100-12345678-vmss000003", "a100", 4))

    (pool,) = autoscaled(YAML, node).pools

    assert (pool.more, pool.node.free[GPU], pool.node.pool) == (3, 4 * UNIT, "a100")


def test_of_a_pool_without_a_node_somebody_has_to_say_what_it_would_be() -> None:
    """Unknown is not counted, and told; settings say it."""
    assert autoscaled(YAML).notes == (
        "group aks-a100-12345678-vmss may grow by 3: say in capacity.pools what its nodes have",
    )
    told = {"name": "a100", "max": 4, "gpus": 2, "cpu": "24", "memory": "220Gi"}
    node = ready(gpu_node("x", "a100", 2))

    (pool,) = autoscaled("", node, pools=[told]).pools

    assert (pool.more, pool.node.free[GPU], pool.node.pool) == (3, 2 * UNIT, "a100")
    (new,) = autoscaled("", pools=[told]).pools
    assert (new.more, new.node.pool, [one.key for one in new.node.taints]) == (4, "a100", ["sku"])


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    meta = {"name": "team", "namespace": "bot"}
    return {
        "metadata": meta,
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


def test_a_quota_counts_without_what_the_slot_has_started() -> None:
    """What it has not counted yet makes no room twice."""
    given = quota({"requests.nvidia.com/gpu": "4", "pods": "4"}, {"requests.nvidia.com/gpu": "3"})
    api = Objects(ResourceQuota=[given], Pod=[pod("a100-1", **OWN)])

    (found,) = read_cluster(api, OURS, NONE, GPU, NOW).quotas

    assert found.used == {"requests.nvidia.com/gpu": 2 * UNIT}


def coming(
    given: Rendering, slot: str = "green", servers: Mapping[str, str] | None = None, **kinds: Any
) -> Coming:
    """What ``slot`` starts where these objects are."""
    live = standing(servers or {}, kinds.get("Deployment", ()))
    return Coming(Objects(**kinds), given, slot, live)


def test_rendered_deployments_say_what_a_slot_needs() -> None:
    """Pods, with the GPUs that they want and the nodes that they may be on."""
    given = rendering(vllm_release(HF), given=gpu_settings(gpu={"count": 1, "pool": "a100"}))

    application, server = coming(given, "blue").pods

    assert (application.name, application.count, application.requests["cpu"]) == (
        "assist-blue", 2, 250
    )  # fmt: skip
    assert (server.count, server.requests[GPU]) == (1, UNIT)
    assert server.selector == {"kubernetes.azure.com/agentpool": "a100"}
    assert server.tolerations == (
        Toleration("sku", "Equal", "gpu", "NoSchedule"),
        Toleration(GPU, "Exists", "", "NoSchedule"),
    )


def deployment(name: str, replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """One that runs."""
    own = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], **spec}
    return {
        "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": {"spec": own}},
    }  # fmt: skip


def test_a_model_server_that_the_slot_beside_has_needs_nothing_new() -> None:
    """A slot costs only what differs; one that is not there any more is to be started."""
    given = rendering(release(), release("Be kind."))
    server = given.slots[0].server_name
    found = coming(given, servers={"blue": server}, Deployment=[deployment(server)])

    assert [one.name for one in found.pods] == ["assist-green"]
    gone = coming(given, servers={"blue": server})
    assert [one.name for one in gone.pods] == ["assist-green", server]


def test_containers_that_run_before_count_where_they_are_larger() -> None:
    """A sidecar counts beside all others, as the scheduler has it."""
    text = """
    overhead: {memory: 1Mi}
    initContainers:
    - {name: side, restartPolicy: Always, resources: {requests: {cpu: 100m, memory: 1Mi}}}
    - {name: fetch, resources: {requests: {cpu: "2"}}}
    containers:
    - {name: main, resources: {requests: {cpu: "1", memory: 1Mi}}}
    """
    found = pods_of("a", yaml.safe_load(text), 1)

    assert found.requests == {"cpu": 2100, "memory": 3 * 2**20 * UNIT, "pods": UNIT}
    assert found.limits == {}


def test_a_cpu_node_of_the_tests_has_room_for_anyone() -> None:
    """Labels, taints and numbers as the cluster of the tests has them."""
    api = Objects(Node=[ready(cpu_node("np-1"))])

    (node,) = read_cluster(api, OURS, NONE, GPU, NOW).nodes

    assert (node.pool, node.taints, node.free["cpu"], node.ready_seconds) == (
        "np", (), 8000, 3600.0
    )  # fmt: skip


@pytest.mark.parametrize("given", [{"limits": {"memory": "1Gi"}}, {"requests": {"cpu": "1"}}])
def test_a_pod_that_says_it_for_all_its_containers_is_asked_for_no_more(given: Any) -> None:
    """Kubernetes does not ask its containers then, and it is no longer best effort."""
    spec = {"containers": [{"name": "one"}], "resources": given}

    one = pods_of("slot", spec, 1)

    assert one.unsaid == {}
    assert "NotBestEffort" in one.scopes
