"""What a namespace's quotas have left for a slot: objects, claims, and what a scope covers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.nodes import cpu_node, gpu_node
from tests.manifests.making import release, rendering, settings
from tests.pipelines.rooms import CPU, deployment, limit_range, on_gpus, quota, ready, room, there

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

    found = room(given, {"blue": "model-old"}, ResourceQuota=[full], Service=services,
                 Deployment=[deployment("model-old")])  # fmt: skip

    assert found.verdict == "enough"


def test_a_prompt_that_a_cut_deploy_has_left_makes_room() -> None:
    """It goes before the next one is made."""
    full, left = quota({"configmaps": "1"}, {"configmaps": "1"}), "prompt-0123456789ab"
    maps = [there(kind="ConfigMap", name=left)]

    assert room(rendering(CPU), ResourceQuota=[full], ConfigMap=maps).verdict == "enough"


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
