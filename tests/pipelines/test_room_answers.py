"""What is in a cluster → what is said of a slot's room: the wrong answers that would be easy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Rendering
from pipelines.cache import ModelCache
from pipelines.capacity import Room
from pipelines.targets.kubernetes.opening import open_kubernetes
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.room import room_of
from release.bundle import Release
from release.state import StateFolder
from tests.cluster.nodes import GPU, GPU_TAINT, cpu_node, gpu_node
from tests.manifests.making import (
    HF,
    IMAGE,
    gpu_settings,
    release,
    rendering,
    settings,
    spec,
    vllm_release,
)
from tests.pipelines.test_room_objects import NOW, YAML, Objects, ready

BOT = "assist-production"
"""The namespace of the renderings here."""


def placed(
    labels: Mapping[str, str], node: str = "a100-1", name: str = "assist", **spec: Any
) -> dict[str, Any]:
    """A pod of application ``name`` with one GPU."""
    containers = [{"name": "c", "resources": {"limits": {GPU: "1", "cpu": "1"}}}]
    return {
        "metadata": {"name": "p", "namespace": BOT,
                     "labels": {"app.kubernetes.io/name": name, **labels}},
        "spec": {"nodeName": node, "containers": containers, **spec},
        "status": {"phase": "Running"},
    }  # fmt: skip


def there(*, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object of the namespace."""
    return {"kind": kind, "metadata": {"name": name, "namespace": BOT}, **more}


def deployment(name: str, replicas: int = 2, cpu: str = "250m") -> dict[str, Any]:
    """One that runs."""
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    template = {"spec": {"containers": containers}}
    return there(kind="Deployment", name=name, spec={"replicas": replicas, "template": template})


def room(
    given: Rendering, servers: Mapping[str, str] | None = None, api: Any = None,
    stepwise: bool = True, **kinds: Any,
) -> Room:  # fmt: skip
    """Of the last slot of ``given``; without nodes of their own there are two with 8 cores."""
    kinds = {"Node": [ready(cpu_node("np-1")), ready(cpu_node("np-2"))], **kinds}
    api, slot = api or Objects(**kinds), given.slots[-1].name
    return room_of(api, given, slot, servers or {}, NOW, stepwise)


def on_gpus(**more: Any) -> Rendering:
    """One pod of a model server with a GPU of pool a100, in blue."""
    return rendering(vllm_release(HF), given=gpu_settings(**more))


ONE_GPU = [ready(gpu_node("a100-1", "a100", 1)), ready(cpu_node("np-1"))]
CPU: Release = release()


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

    assert room(on_gpus(), servers, Node=ONE_GPU, Pod=[old]).verdict == verdict


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


def quota(hard: Mapping[str, str], used: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A ResourceQuota team."""
    status = {"hard": hard, "used": used}
    return there(kind="ResourceQuota", name="team", spec={"hard": hard, **spec}, status=status)


OF_A_SLOT_AND_ITS_SERVER = {
    "pods": 3, "count/pods": 3, "services": 2, "count/services": 2, "configmaps": 1,
    "count/configmaps": 1, "count/deployments.apps": 2, "count/replicasets.apps": 2,
    "count/horizontalpodautoscalers.autoscaling": 1, "count/poddisruptionbudgets.policy": 2,
    "count/endpoints": 2, "count/endpointslices.discovery.k8s.io": 2,
}  # fmt: skip


@pytest.mark.parametrize(("name", "new"), OF_A_SLOT_AND_ITS_SERVER.items())
def test_S04_objects_that_a_quota_counts_are_counted_before_they_are_made(
    name: str, new: int
) -> None:
    """Pods at their starting size, and what controllers make as well; the number is told."""
    given, used = rendering(CPU), {name: "4"}

    enough = room(given, ResourceQuota=[quota({name: str(4 + new)}, used)])
    short = room(given, ResourceQuota=[quota({name: str(3 + new)}, used)])

    assert enough.verdict == "enough"
    assert (short.verdict, short.missing) == (
        "wait", (f"1 {name} (ResourceQuota team: {new - 1} of {3 + new} are left)",)
    )  # fmt: skip


def test_objects_that_are_there_are_not_made_again() -> None:
    """Those of a start that was cut."""
    given, full = rendering(CPU), quota({"services": "2"}, {"services": "2"})
    services = [there(kind="Service", name=name)
                for name in ("assist-blue", given.slots[0].server_name)]  # fmt: skip

    assert room(given, ResourceQuota=[full]).verdict == "wait"
    assert room(given, ResourceQuota=[full], Service=services).verdict == "enough"


def test_a_shared_model_server_takes_no_object_either() -> None:
    """One Service more, for the slot alone."""
    given = rendering(CPU, release("Be kind."))
    server = given.slots[0].server_name
    services = [there(kind="Service", name=name) for name in ("assist-blue", server)]
    full = quota({"services": "3"}, {"services": "2"})

    found = room(given, {"blue": server}, ResourceQuota=[full], Service=services,
                 Deployment=[deployment(server), deployment("assist-blue")])  # fmt: skip

    assert found.verdict == "enough"


def test_objects_that_go_first_make_room() -> None:
    """Those of a model server that only the slot's last release asked."""
    given, full = rendering(CPU), quota({"services": "2"}, {"services": "2"})
    services = [there(kind="Service", name=name) for name in ("assist-blue", "model-old")]

    found = room(given, {"blue": "model-old"}, ResourceQuota=[full], Service=services)

    assert found.verdict == "enough"


@pytest.mark.parametrize(("hard", "verdict"), [("2", "outage"), ("1", "wait")])
def test_S04_in_an_outage_the_old_releases_objects_are_gone(hard: str, verdict: str) -> None:
    """They have room where what was there had it."""
    given = rendering(release(context=1024), CPU, given=settings(whenFull="outage"))
    full = quota({"services": hard}, {"services": hard})
    names = ("assist-blue", given.slots[0].server_name)
    services = [there(kind="Service", name=name) for name in names]

    found = room(given, {"blue": names[1]}, ResourceQuota=[full], Service=services,
                 Deployment=[*map(deployment, names)])  # fmt: skip

    assert found.verdict == verdict


def test_S04_in_an_outage_a_model_server_of_both_old_releases_goes() -> None:
    """Nobody asks it any more: its GPU is free."""
    given = gpu_settings().model_copy(update={"when_full": "outage"})
    old = placed({"greenlight.dev/server": "model-old"})
    both = {"blue": "model-old", "green": "model-old"}

    found = room(rendering(vllm_release(HF), given=given), both, Node=ONE_GPU, Pod=[old])

    assert found.verdict == "outage"


@pytest.mark.parametrize(
    ("name", "hard", "missing"),
    [
        ("persistentvolumeclaims", "1", "1 persistentvolumeclaims"),
        ("count/persistentvolumeclaims", "1", "1 count/persistentvolumeclaims"),
        ("requests.storage", "100Gi", "100Gi requests.storage"),
    ],
)
def test_S04_a_pods_own_claims_are_counted(name: str, hard: str, missing: str) -> None:
    """One for each pod of a model server with a cache."""
    given = on_gpus(cache="100Gi", replicas=2)
    nodes = [ready(gpu_node("a100-1", "a100", 2)), ready(cpu_node("np-1"))]

    (told,) = room(given, Node=nodes, ResourceQuota=[quota({name: hard}, {})]).missing

    assert told.startswith(f"{missing} (ResourceQuota team: ")


def of_class(operator: str, *values: str) -> dict[str, Any]:
    """A selector by priority class."""
    one: dict[str, Any] = {"scopeName": "PriorityClass", "operator": operator}
    expressions = [one | ({"values": list(values)} if values else {})]
    return {"scopeSelector": {"matchExpressions": expressions}}


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        (of_class("In", "greenlight-serving", "high"), True),
        (of_class("In", "high"), False),
        (of_class("NotIn", "high"), True),
        (of_class("NotIn", "greenlight-serving"), False),
        (of_class("Exists"), True),
        (of_class("DoesNotExist"), False),
        ({"scopes": ["NotBestEffort"]}, True),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, True),
        ({"scopes": ["NotBestEffort", "Terminating"]}, False),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
    ],
)
def test_S04_a_quota_with_a_scope_counts_the_pods_that_it_covers(
    spec: dict[str, Any], counts: bool
) -> None:
    """Those of both of its kinds, or none."""
    found = room(rendering(CPU), ResourceQuota=[quota({"pods": "2"}, {}, **spec)])

    assert (found.verdict == "wait") == counts
    assert found.notes == ()


def test_a_scope_that_nobody_knows_is_told() -> None:
    """Where something is missing: it may be missing there as well."""
    odd = quota({"pods": "0"}, {}, scopes=["OnTuesdays"])

    found = room(rendering(CPU), ResourceQuota=[odd], Node=[])

    assert found.notes == ("ResourceQuota team has the scope OnTuesdays and is not counted",)


def test_a_quota_that_is_overrun_by_others_refuses_nothing_that_is_not_asked_for() -> None:
    """Kubernetes refuses what makes it more."""
    over = quota({"count/jobs.batch": "2", "requests.nvidia.com/gpu": "0"},
                 {"count/jobs.batch": "5", "requests.nvidia.com/gpu": "2"})  # fmt: skip

    assert room(rendering(CPU), ResourceQuota=[over]).verdict == "enough"


LIMITED = {"limits.cpu": "100"}


def test_S04_a_quota_of_what_no_container_says_refuses_every_pod() -> None:
    """Kubernetes: must specify limits.cpu. A LimitRange with a default says it for them."""
    told = room(rendering(CPU), ResourceQuota=[quota(LIMITED, {})])
    default = limit_range(default={"cpu": "4"}, defaultRequest={"cpu": "1"})

    assert told.verdict == "refused"
    assert told.missing[0] == (
        "limits.cpu of container application of assist-blue (ResourceQuota team counts it: "
        "a LimitRange with a default or a patch says it)"
    )
    given: dict[str, Any] = {"ResourceQuota": [quota(LIMITED, {})], "LimitRange": [default]}
    assert room(rendering(CPU), **given).verdict == "enough"
    given["ResourceQuota"] = [quota({"limits.cpu": "11"}, {})]
    assert room(rendering(CPU), **given).missing == (
        "1 limits.cpu (ResourceQuota team: 11 of 11 are left)",
    )


def limit_range(of: str = "Container", **line: Any) -> dict[str, Any]:
    """A LimitRange bounds."""
    return there(kind="LimitRange", name="bounds", spec={"limits": [{"type": of, **line}]})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (limit_range(default={"cpu": "1"}),
         "container model asks for 2 cpu and is limited by LimitRange bounds to 1"),
        (limit_range(max={"memory": "2Gi"}),
         "container model has a limit of 4Gi of memory, LimitRange bounds wants at most 2Gi"),
        (limit_range(max={"cpu": "1"}),
         "container application has a limit that is missing of cpu, LimitRange bounds wants "
         "at most 1"),
        (limit_range(min={"memory": "1Gi"}),
         "container application asks for 512Mi memory, LimitRange bounds wants at least 1Gi"),
        (limit_range("Pod", max={"memory": "1Gi"}),
         "a pod has a limit of 4Gi of memory, LimitRange bounds wants at most 1Gi"),
        (limit_range(default={"cpu": "4"}, maxLimitRequestRatio={"cpu": "8"}),
         "container application may use 4 cpu and asks for 0.25, LimitRange bounds wants at most "
         "8 times as much"),
    ],
)  # fmt: skip
def test_S04_what_a_limit_range_refuses_is_told_before_it_is_made(
    given: dict[str, Any], says: str
) -> None:
    """By the container and by the range's name."""
    found = room(rendering(CPU), LimitRange=[given])

    assert found.verdict == "refused"
    assert any(one.endswith(says) for one in found.missing), found.missing


@pytest.mark.parametrize(
    "given",
    [
        limit_range(default={"cpu": "4"}, defaultRequest={"cpu": "1"}),
        limit_range(min={"cpu": "100m"}, max={"memory": "4Gi"}),
        limit_range("Pod", max={"memory": "4Gi"}, maxLimitRequestRatio={"memory": "1"}),
        limit_range("PersistentVolumeClaim", max={"storage": "1Gi"}),
    ],
)
def test_what_a_limit_range_takes_has_room(given: dict[str, Any]) -> None:
    """On its bounds, too."""
    assert room(rendering(CPU), LimitRange=[given]).verdict == "enough"


def test_S04_what_a_limit_range_asks_for_is_counted() -> None:
    """A container that says nothing of it gets the default."""
    bounds = limit_range(defaultRequest={"ephemeral-storage": "100Gi"})

    (*_, told) = room(rendering(CPU), LimitRange=[bounds]).missing

    assert "1 of 2 pods of assist-blue have no room: 100Gi ephemeral-storage" in told


def test_S04_that_autoscalers_have_no_room_to_grow_is_told_and_holds_nothing_up() -> None:
    """By the number, for this slot and for the one beside it; the watcher's pods count first."""
    given = rendering(CPU, release("Be kind."), given=settings(scaling={"min": 2, "max": 20}))
    server = given.slots[0].server_name
    deployments = [deployment(server, 1), deployment("assist-blue", 3)]
    scaler = there(
        kind="HorizontalPodAutoscaler",
        name="assist-blue",
        spec={"maxReplicas": 20, "scaleTargetRef": {"kind": "Deployment", "name": "assist-blue"}},
    )
    beside = {"blue": server}

    found = room(given, beside, Deployment=deployments, HorizontalPodAutoscaler=[scaler],
                 Node=[ready(cpu_node("np-1"))])  # fmt: skip

    assert found.verdict == "enough"
    assert found.later == (
        "6 of 17 pods of assist-blue beyond its 3 have no room: 1.5 cpu (0.15 of 8 are free in "
        "pool np)",
    )
    assert str(found).endswith(f"; it starts, but later {found.later[0]}")


def test_what_autoscalers_may_grow_to_is_in_no_quota_either() -> None:
    """Eight pods more, of which five are allowed."""
    found = room(rendering(CPU), ResourceQuota=[quota({"pods": "8"}, {})])

    assert (found.verdict, found.later) == (
        "enough", ("3 pods (ResourceQuota team: 8 of 8 are left)",)
    )  # fmt: skip


def test_nothing_is_said_of_later_where_all_of_it_has_room() -> None:
    """As with any cluster that is large enough, or may grow so large."""
    found = room(rendering(CPU))

    assert (found.verdict, found.later, found.notes) == ("enough", (), ())
    assert "later" not in str(found)


def test_a_watcher_without_room_is_told() -> None:
    """Its pods and objects come after the slot's, where there is one."""
    given = rendering(CPU, release("Be kind."))
    server = given.slots[0].server_name
    full = quota({"count/deployments.apps": "3"}, {"count/deployments.apps": "2"})
    running = [deployment(server, 1), deployment("assist-blue")]
    watcher = deployment("assist-watcher")

    found = room(given, {"blue": server}, ResourceQuota=[full], Deployment=running)

    assert found.verdict == "enough"
    assert found.later == ("1 count/deployments.apps (ResourceQuota team: 1 of 3 are left)",)
    watched = room(given, {"blue": server}, ResourceQuota=[full], Deployment=[*running, watcher])
    assert watched.later == ()
    at_once = room(
        given, {"blue": server}, stepwise=False, ResourceQuota=[full], Deployment=running
    )
    assert at_once.later == ()


@pytest.mark.parametrize(
    ("environments", "opened", "stepwise"),
    [
        (("staging", "production"), "staging", False),
        (("staging", "production"), "production", True),
        (("production",), "production", True),
    ],
)
def test_no_watcher_is_counted_where_there_are_no_users_to_move(
    tmp_path: Path, environments: tuple[str, ...], opened: str, stepwise: bool
) -> None:
    """The first of several switches at once, so none is made there."""
    named = {
        name: {"target": "kubernetes", "kubernetes": {"image": IMAGE}} for name in environments
    }
    target = open_kubernetes(
        spec(environments=named), opened, StateFolder(tmp_path), ModelCache(tmp_path, 1)
    )

    assert target.stepwise == stepwise


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
                 "Service")
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
