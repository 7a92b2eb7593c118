"""Pods and nodes → what is said of a slot's room: the wrong answers that would be easy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from manifests.render import merge
from pipelines.capacity import Room
from pipelines.targets.kubernetes.refusals import DeniedError
from tests.cluster.nodes import GPU_TAINT, cpu_node, gpu_node
from tests.manifests.making import HF, gpu_settings, rendering, vllm_release
from tests.pipelines.rooms import (
    BOT,
    CPU,
    ONE_GPU,
    YAML,
    Objects,
    deployment,
    on_gpus,
    placed,
    quota,
    ready,
    room,
)


def test_S04_a_neighbour_in_the_namespace_keeps_what_it_has() -> None:
    """Its slots are called as ours are, and they are not ours."""
    theirs = placed({"greenlight.dev/slot": "blue"}, name="other")
    ours = placed({"greenlight.dev/slot": "blue"})

    assert room(on_gpus(), Node=ONE_GPU, Pod=[theirs]).verdict == "wait"
    assert room(on_gpus(), Node=ONE_GPU, Pod=[ours]).verdict == "enough"


@pytest.mark.parametrize(
    ("servers", "verdict"),
    [
        ({"blue": "model-old"}, "enough"),
        ({"blue": "model-old", "green": "model-old"}, "wait"),
        ({"green": "model-old"}, "wait"),
    ],
)
def test_S04_what_a_slot_held_goes_before_it_is_filled_anew(
    servers: dict[str, str], verdict: str
) -> None:
    """With its model server, where no other slot asks that: its GPU is free by then."""
    old = placed({"greenlight.dev/server": "model-old"})

    found = room(on_gpus(), servers, Node=ONE_GPU, Pod=[old], Deployment=[deployment("model-old")])

    assert found.verdict == verdict


def test_S04_what_a_deploy_that_was_cut_has_left_goes_first() -> None:
    """Its model server has the only GPU, and no slot asks it: nothing else would ever end that. One
    that the release asks too stays, and is what it starts with.
    """
    given, serves = on_gpus(), {"app.kubernetes.io/component": "model-server"}
    for name in ("model-old", given.slots[0].server_name):
        left = merge(deployment(name), {"metadata": {"labels": serves}})
        held = placed({"greenlight.dev/server": name})

        assert room(given, Node=ONE_GPU, Pod=[held], Deployment=[left]).verdict == "enough"


def test_a_pod_of_ours_that_waits_is_not_ahead_of_itself() -> None:
    """Whether it has a node or not."""
    given = on_gpus()
    waiting = placed({"greenlight.dev/server": given.slots[0].server_name}, node="")

    assert room(given, Node=ONE_GPU, Pod=[waiting]).verdict == "enough"
    other = placed({}, node="", tolerations=[{"operator": "Exists"}])
    assert room(given, Node=ONE_GPU, Pod=[other]).verdict == "wait"


def test_a_pod_that_goes_before_it_had_a_node_is_not_ahead() -> None:
    """Nobody schedules it any more."""
    leaving = placed({}, node="", tolerations=[{"operator": "Exists"}])
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z"

    assert room(on_gpus(), Node=ONE_GPU, Pod=[leaving]).verdict == "enough"


def bound_to(node: str) -> dict[str, Any]:
    """An affinity as the controller of DaemonSets gives it to each of its pods."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(("node", "verdict"), [("a100-1", "wait"), ("np-1", "enough")])
def test_a_daemons_pod_waits_for_its_own_node_alone(node: str, verdict: str) -> None:
    """That it has no room there says nothing of another."""
    anywhere = [{"operator": "Exists"}]
    daemon = placed({}, node="", affinity=bound_to(node), tolerations=anywhere)

    assert room(on_gpus(), Node=ONE_GPU, Pod=[daemon]).verdict == verdict


def autoscaled(*nodes: dict[str, Any], **kinds: Any) -> Room:
    """Where the pool of one may have three more."""
    where = {"name": "cluster-autoscaler-status", "namespace": "kube-system"}
    status = [{"metadata": where, "data": {"status": YAML}}]
    every = [*nodes, ready(cpu_node("np-1"))]
    return room(on_gpus(resources={"cpu": "23", "memory": "8Gi"}), Node=every, ConfigMap=status,
                **kinds)  # fmt: skip


SCALED = "aks-a100-12345678-vmss00000"


def test_S04_a_new_node_has_daemons_too() -> None:
    """They run on each node, so what they ask for is free on none."""
    full = [ready(gpu_node(f"{SCALED}1", "a100", 1))]
    daemon = placed({}, node=f"{SCALED}1")
    daemon["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "exporter"}]
    small = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}
    daemon["spec"] |= small

    assert autoscaled(*full, Pod=[placed({}, node=f"{SCALED}1")]).verdict == "grows"
    assert autoscaled(*full, Pod=[daemon]).verdict == "wait"


def test_S20_a_new_node_is_like_the_one_that_works() -> None:
    """Not like the one without its GPU, nor like the one that is about to be taken away."""
    broken = ready(gpu_node(f"{SCALED}0", "a100", 0))
    full = ready(gpu_node(f"{SCALED}1", "a100", 1))
    leaving = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    full["spec"] = {"taints": [GPU_TAINT, leaving]}

    assert autoscaled(broken, full, Pod=[placed({}, node=f"{SCALED}1")]).verdict == "grows"


def test_S04_in_an_outage_a_model_server_of_both_old_releases_goes() -> None:
    """Nobody asks it any more: its GPU is free."""
    given = gpu_settings().model_copy(update={"when_full": "outage"})
    old = placed({"greenlight.dev/server": "model-old"})
    both = {"blue": "model-old", "green": "model-old"}

    found = room(rendering(vllm_release(HF), given=given), both, Node=ONE_GPU, Pod=[old],
                 Deployment=[deployment("model-old")])  # fmt: skip

    assert found.verdict == "outage"


class Denying(Objects):
    """An API that lets these be read and no others: kinds, and namespaces where they have one."""

    def __init__(self, *allowed: str, **kinds: list[dict[str, Any]]) -> None:
        super().__init__(**kinds)
        self.allowed = allowed

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        if f"{namespace}/{kind}" not in self.allowed:
            raise DeniedError("no")
        return super().list(kind, namespace, labels)


IN_ITS_NAMESPACE = tuple(
    f"{BOT}/{kind}"
    for kind in ("Pod", "ResourceQuota", "LimitRange", "Deployment", "HorizontalPodAutoscaler",
                 "Service", "ConfigMap")
)  # fmt: skip


def test_S04_who_may_not_read_nodes_is_told_what_the_quota_says() -> None:
    """As a tenant: the quota is what there is for it, and that the nodes are not known is said."""
    full, wide = quota({"services": "1"}, {}), quota({"services": "2"}, {})

    refused = room(rendering(CPU), api=Denying(*IN_ITS_NAMESPACE, ResourceQuota=[full]))
    enough = room(rendering(CPU), api=Denying(*IN_ITS_NAMESPACE, ResourceQuota=[wide]))

    assert refused.missing == ("1 services (ResourceQuota team: 1 of 1 are left)",)
    assert enough.verdict == "enough"
    assert str(enough) == (
        "needs 2.5 cpu; 5Gi memory; not counted, since it may not be read: "
        "Nodes of the cluster, Pods of the cluster"
    )


def test_S04_who_may_not_read_the_autoscalers_status_has_the_nodes_counted() -> None:
    """And where they are not enough it is said what may not be read."""
    allowed = (*IN_ITS_NAMESPACE, "/Node", "/Pod")
    some = room(rendering(CPU), api=Denying(*allowed, Node=[ready(cpu_node("np-1"))]))
    none = room(rendering(CPU), api=Denying(*allowed))

    assert (some.verdict, some.notes) == ("enough", ())
    assert (none.verdict, none.notes) == ("wait", ("ConfigMaps of kube-system may not be read",))
