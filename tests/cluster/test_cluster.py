"""The tests' own cluster is a real one: it refuses, schedules and cleans up as production does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.client import Cluster
from tests.cluster.nodes import GPU, gpu_node
from tests.test_definitions import definitions

TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
PATIENCE = "--timeout=120s"


@pytest.fixture(autouse=True)
def own(cluster: Cluster) -> None:
    """These tests are about the cluster that the tests start."""
    if cluster.real_pods:
        pytest.skip("another cluster is used")


@pytest.fixture
def pool(cluster: Cluster) -> Iterator[str]:
    """A pool of one node with two GPUs, for one test."""
    name = f"pool{uuid.uuid4().hex[:6]}"
    with cluster.nodes(gpu_node(f"{name}-1", name, 2)):
        yield name


def deployment(gpus: int = 0, pool: str = "", **changes: Any) -> dict[str, Any]:
    """One replica of ``model``, on a node of ``pool``."""
    container: dict[str, Any] = {"name": "model", "image": "registry.example/model:1"}
    pod: dict[str, Any] = {"containers": [container], "tolerations": [TOLERATION]}
    if gpus:
        container["resources"] = {"limits": {GPU: str(gpus)}}
    if pool:
        pod["nodeSelector"] = {"agentpool": pool}
    labels = {"app": "model"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**pod, **changes}},
        },
    }


def put(cluster: Cluster, namespace: str, *objects: dict[str, Any]) -> None:
    done = cluster.apply(*objects, namespace=namespace)
    assert done.code == 0, done.err


def available(cluster: Cluster, namespace: str) -> None:
    where = ("deployment/model", f"--namespace={namespace}", PATIENCE)
    cluster.must("wait", "--for=condition=Available", *where)


def why_pending(cluster: Cluster, namespace: str) -> str:
    """What the scheduler says about the one pod of ``namespace`` that has no node."""
    where = ("pod", "--selector=app=model", f"--namespace={namespace}")
    cluster.must("wait", "--for=create", *where, PATIENCE)
    cluster.must("wait", "--for=condition=PodScheduled=false", *where, PATIENCE)
    (pod,) = cluster.read(*where)["items"]
    (condition,) = (one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    assert (pod["status"]["phase"], condition["reason"]) == ("Pending", "Unschedulable")
    return str(condition["message"])


def test_it_is_kubernetes_1_36(cluster: Cluster) -> None:
    server = json.loads(cluster.must("version", "--output=json"))["serverVersion"]

    assert (server["major"], server["minor"]) == ("1", "36")


def test_every_definition_is_in_use(cluster: Cluster) -> None:
    """As many as there are files, each established."""
    installed = cluster.read("crd")["items"]
    conditions = [
        {one["type"]: one["status"] for one in each["status"]["conditions"]} for each in installed
    ]

    assert len(installed) >= len(list(definitions("crds").glob("*.yaml")))
    assert all(each["Established"] == "True" for each in conditions)


def route(weight: object) -> dict[str, Any]:
    backends = [{"name": "model-blue", "port": 80, "weight": weight}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "model"},
        "spec": {"rules": [{"backendRefs": backends}]},
    }


def test_a_route_is_accepted_by_its_schema(cluster: Cluster, namespace: str) -> None:
    put(cluster, namespace, route(70))

    (rule,) = cluster.read("httproute", "model", f"--namespace={namespace}")["spec"]["rules"]
    assert [one["weight"] for one in rule["backendRefs"]] == [70]


@pytest.mark.parametrize(
    ("weight", "why"),
    [(-1, "should be greater than or equal to 0"), ("most", "expected numeric")],
)
def test_a_broken_route_is_refused_by_its_schema(
    cluster: Cluster, namespace: str, weight: object, why: str
) -> None:
    """By value and by type; the complaint names the field."""
    done = cluster.apply(route(weight), namespace=namespace)

    assert done.code != 0
    assert "weight" in done.err
    assert why in done.err


def test_an_unknown_field_is_refused(cluster: Cluster, namespace: str) -> None:
    done = cluster.apply(deployment(restartPolice="Always"), namespace=namespace)

    assert done.code != 0
    assert "restartPolice" in done.err


def test_a_deployment_gets_its_gpu(cluster: Cluster, namespace: str, pool: str) -> None:
    put(cluster, namespace, deployment(1, pool))

    available(cluster, namespace)
    (pod,) = cluster.read("pod", f"--namespace={namespace}")["items"]
    assert pod["spec"]["nodeName"] == f"{pool}-1"


def test_more_gpus_than_there_are_stay_pending(cluster: Cluster, namespace: str, pool: str) -> None:
    put(cluster, namespace, deployment(3, pool))

    assert f"Insufficient {GPU}" in why_pending(cluster, namespace)


def test_a_node_without_its_gpu_takes_nothing_that_needs_one(
    cluster: Cluster, namespace: str
) -> None:
    """S20: the node is ready, has the pool's label and taint, and never offers its GPU."""
    put(cluster, namespace, deployment(1, "broken"))

    assert f"Insufficient {GPU}" in why_pending(cluster, namespace)


def test_the_taint_keeps_away_who_does_not_tolerate_it(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    put(cluster, namespace, deployment(0, pool, tolerations=[]))

    assert "untolerated taint" in why_pending(cluster, namespace)


def test_pod_security_refuses_a_privileged_pod(cluster: Cluster) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "model"},
        "spec": {"containers": [{"name": "model", "image": "registry.example/model:1",
                                 "securityContext": {"privileged": True}}]},
    }  # fmt: skip
    with cluster.namespace({"pod-security.kubernetes.io/enforce": "restricted"}) as namespace:
        done = cluster.apply(pod, namespace=namespace)

    assert done.code != 0
    assert 'violates PodSecurity "restricted' in done.err
    assert "privileged" in done.err


def test_an_account_may_do_only_what_a_role_allows(cluster: Cluster, namespace: str) -> None:
    """With a token that the API server issued."""
    where = f"--namespace={namespace}"
    token = cluster.must("create", "token", "default", where).strip()
    may = ("auth", "can-i", "get", "pods", where, f"--token={token}")

    assert cluster.ask(*may).out == "no\n"
    account = f"--serviceaccount={namespace}:default"
    cluster.must("create", "rolebinding", "view", "--clusterrole=view", account, where)
    assert cluster.ask(*may).out == "yes\n"


def test_controllers_do_their_work(cluster: Cluster, namespace: str) -> None:
    """Endpoints of a Service, the sum of a disruption budget, the word of an autoscaler; and
    what a deleted Deployment owned goes with it.
    """
    where, labels = f"--namespace={namespace}", {"app": "model"}
    metadata = {"name": "model"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "model"}
    put(
        cluster,
        namespace,
        deployment(),
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
         "spec": {"selector": labels, "ports": [{"port": 80}]}},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
         "spec": {"minAvailable": 0, "selector": {"matchLabels": labels}}},
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
         "spec": {"maxReplicas": 2, "scaleTargetRef": target}},
    )  # fmt: skip

    available(cluster, namespace)
    ready = "--for=jsonpath={.endpoints[0].conditions.ready}=true"
    slices = ("endpointslice", "--selector=kubernetes.io/service-name=model", where)
    cluster.must("wait", ready, *slices, PATIENCE)
    allowed = "--for=jsonpath={.status.disruptionsAllowed}=1"
    cluster.must("wait", allowed, "pdb/model", where, PATIENCE)
    cluster.must("wait", "--for=condition=AbleToScale", "hpa/model", where, PATIENCE)

    cluster.must("delete", "deployment", "model", where)
    cluster.must("wait", "--for=delete", "pod", "--selector=app=model", where, PATIENCE)
    assert cluster.read("replicaset", where)["items"] == []


def test_the_nodes_that_are_always_there(cluster: Cluster) -> None:
    """CPU nodes, GPU nodes, and one whose GPU is missing."""
    nodes = {
        node["metadata"]["name"]: node["status"]["allocatable"].get(GPU, "none")
        for node in cluster.read("node")["items"]
    }

    expected = {"np-1": "none", "np-2": "none", "a100-1": "1", "a100x4-1": "4", "broken-1": "none"}
    assert expected.items() <= nodes.items()
