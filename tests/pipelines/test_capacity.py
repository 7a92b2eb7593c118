"""Pods and nodes in, room out: by cases, and by what holds for any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.capacity import Room, find_room
from pipelines.cluster import (
    UNIT,
    Cluster,
    Needs,
    Node,
    Pods,
    Pool,
    Quota,
    Requirement,
    Taint,
    Toleration,
    shown,
)

GPU = "nvidia.com/gpu"
FOR_GPUS = Taint("sku", "gpu")
TOLERATES = (Toleration("sku", "Equal", "gpu", "NoSchedule"),)
GI = 2**30 * UNIT


def amounts(cpu: float = 0, gpus: int = 0, memory: int = 0) -> dict[str, int]:
    """Cores, GPUs, GiB."""
    found = {"cpu": int(cpu * UNIT), GPU: gpus * UNIT, "memory": memory * GI}
    return {name: one for name, one in found.items() if one}


def gpu_node(name: str, free: int, of: int | None = None, **changes: Any) -> Node:
    """A node of pool a100."""
    return Node(
        name, amounts(24, free if of is None else of), amounts(24, free),
        {"agentpool": "a100"}, (FOR_GPUS,), **changes,
    )  # fmt: skip


def cpu_node(name: str, cores: float) -> Node:
    return Node(name, amounts(8), amounts(cores), {"agentpool": "np"})


def servers(count: int = 1, gpus: int = 1, **changes: Any) -> Pods:
    """Pods of a model server in pool a100."""
    given: dict[str, Any] = {"selector": {"agentpool": "a100"}, "tolerations": TOLERATES}
    return Pods("model-1", count, amounts(2, gpus), **(given | changes))


APPLICATION = Pods("bot-green", 2, amounts(0.25))
TWO_NODES = (gpu_node("a100-1", 0, 4), gpu_node("a100-2", 2, 4), cpu_node("np-1", 4))


def room(*needs: Pods, nodes: Sequence[Node] = TWO_NODES, **given: Any) -> Room:
    """What is found; what is not about the cluster goes on to ``find_room``."""
    keys = ("quotas", "pools", "ahead", "known", "unseen")
    of_cluster = {key: given.pop(key) for key in keys if key in given}
    asked = Needs(needs, given.pop("objects", {}))
    return find_room(asked, Cluster(tuple(nodes), **of_cluster), **given)


def test_what_fits_is_told_with_what_is_free() -> None:
    """GPUs where any are asked for, cores and memory where none are."""
    assert room(servers(), APPLICATION) == Room("enough", f"needs 1 {GPU}, 2 free")
    assert str(room(APPLICATION)) == "needs 0.5 cpu, 4 free"


def test_what_is_missing_is_a_number_with_its_unit_and_its_pool() -> None:
    """Of what is asked for, and how much of how much is free."""
    assert room(servers(3)).missing == (
        f"1 of 3 pods of model-1 have no room: 1 {GPU} (0 of 8 are free in pool a100)",
    )


def test_a_pod_is_whole_on_one_node() -> None:
    """Two GPUs on each of two nodes are no four."""
    halves = (gpu_node("a100-1", 2, 4), gpu_node("a100-2", 2, 4))

    (missing,) = room(servers(gpus=4), nodes=halves).missing

    assert missing.endswith(f"4 {GPU} (4 of 8 are free in pool a100, at most 2 on one node)")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"selector": {"agentpool": "h100"}}, "none is ready with agentpool=h100"),
        ({"tolerations": ()}, "none is ready with agentpool=a100"),
        ({"selector": {}, "tolerations": ()}, "no room: 1 nvidia.com/gpu"),
    ],
)
def test_a_node_that_pods_may_not_be_on_is_no_room(changes: dict[str, Any], why: str) -> None:
    """Neither one of another pool nor one with a taint that they do not tolerate."""
    found = room(servers(**changes))

    assert found.verdict == "wait"
    assert why in found.missing[0]


@pytest.mark.parametrize("changes", [{"open": False}, {"ready_seconds": None}])
def test_a_node_that_is_cordoned_or_not_ready_is_no_room(changes: dict[str, Any]) -> None:
    """Whatever it has."""
    assert room(servers(), nodes=[gpu_node("a100-1", 4, **changes)]).verdict == "wait"


def test_pods_that_wait_already_come_first() -> None:
    """The last GPU is theirs."""
    ahead = (replace(servers(), name="other"),)

    assert room(servers(2), ahead=ahead).verdict == "wait"


def test_S20_a_node_that_never_offers_its_gpu_is_told_by_name() -> None:
    """It is no room, and it is the reason why there is none."""
    broken = Node("a100-3", amounts(24), amounts(24), {"agentpool": "a100"}, (FOR_GPUS,))

    found = room(servers(), nodes=(gpu_node("a100-1", 0, 1), broken))

    assert found.verdict == "wait"
    assert found.notes == (
        f"node a100-3 is Ready and offers no {GPU}: "
        "the device plugin or the driver does not run on it",
    )


def test_S20_a_node_that_is_new_is_given_time() -> None:
    """Drivers take some minutes; until then it is said how long it is there."""
    young = Node(
        "a100-3", amounts(24), amounts(24), {"agentpool": "a100"}, (FOR_GPUS,), ready_seconds=42
    )

    assert room(servers(), nodes=[young]).notes == (
        f"node a100-3 is ready for 42 s and offers no {GPU} yet",
    )


def test_S20_a_node_without_a_gpu_that_was_never_to_have_one_is_not_told() -> None:
    """Nobody looks for a GPU on a node for anyone."""
    assert room(servers(selector={}), nodes=[cpu_node("np-1", 8)]).notes == ()


def test_what_the_autoscaler_may_add_is_waited_for() -> None:
    """No more nodes than it may add, each as large as those that there are."""
    pool = Pool("a100", 1, gpu_node("", 4))

    assert room(servers(6), pools=[pool]).verdict == "grows"
    assert room(servers(7), pools=[pool]).verdict == "wait"
    assert "pool a100 may grow by 1 node" in str(room(servers(6), pools=[pool]))


@pytest.mark.parametrize(
    ("hard", "verdict"),
    [
        ({"requests.nvidia.com/gpu": 1}, "enough"),
        ({"requests.nvidia.com/gpu": 0}, "wait"),
        ({"requests.cpu": 2}, "wait"),
        ({"cpu": 2}, "wait"),
        ({"limits.memory": 1}, "enough"),
        ({"pods": 3}, "enough"),
        ({"pods": 2}, "wait"),
        ({"services": 0}, "enough"),
    ],
)
def test_the_namespace_may_ask_for_no_more_than_its_quota(
    hard: dict[str, int], verdict: str
) -> None:
    """Whatever the nodes have."""
    quota = Quota("team", {name: one * UNIT for name, one in hard.items()}, {})

    found = room(servers(), APPLICATION, quotas=[quota])

    assert found.verdict == verdict
    assert ("ResourceQuota team" in found.why_not) == (verdict == "wait")


@given(
    count=st.integers(1, 5), claims=st.integers(0, 3), objects=st.integers(0, 5),
    used=st.integers(0, 9), hard=st.integers(0, 40),
)  # fmt: skip
def test_a_quota_has_room_for_what_is_left_of_it_and_for_no_more(
    count: int, claims: int, objects: int, used: int, hard: int
) -> None:
    """Claims come with each pod, objects once; nothing is refused that takes nothing."""
    name, asked = "persistentvolumeclaims", claims * count + objects
    quota = Quota("team", {name: hard * UNIT}, {name: used * UNIT})
    pods = replace(APPLICATION, count=count, makes={name: claims * UNIT})

    found = room(pods, objects={name: objects * UNIT}, quotas=[quota])

    assert (found.verdict == "enough") == (not asked or used + asked <= hard)


@pytest.mark.parametrize(
    ("key", "operator", "values", "holds"),
    [
        ("pool", "In", ("a", "b"), True), ("pool", "In", ("b",), False),
        ("pool", "NotIn", ("b",), True), ("pool", "NotIn", ("a",), False),
        ("pool", "Exists", (), True), ("pool", "DoesNotExist", (), False),
        ("none", "In", ("a",), False), ("none", "NotIn", ("a",), True),
        ("none", "Exists", (), False), ("none", "DoesNotExist", (), True),
        ("cores", "Gt", ("8",), True), ("cores", "Gt", ("16",), False),
        ("cores", "Lt", ("17",), True), ("cores", "Lt", ("9",), False),
        ("pool", "Gt", ("1",), False), ("none", "Lt", ("1",), False),
    ],
)  # fmt: skip
def test_an_affinity_is_read_as_the_scheduler_reads_it(
    key: str, operator: str, values: tuple[str, ...], holds: bool
) -> None:
    """A node with pool a and 16 cores; a label that is not there is in no list."""
    wanted = Requirement(key, operator, values)

    assert wanted.holds({"pool": "a", "cores": "16"}) == holds


def test_no_autoscaler_helps_against_a_quota() -> None:
    """More nodes are not more of what one may ask for."""
    quota = Quota("team", {"requests.nvidia.com/gpu": 2 * UNIT}, {})

    assert room(servers(4), quotas=[quota], pools=[Pool("a", 9, gpu_node("", 4))]).verdict == "wait"


def test_a_smaller_one_has_the_most_pods_that_fit() -> None:
    """Its share is that of the kind of pod that has the fewest of its own."""
    found = room(servers(3), APPLICATION, when_full="smaller")

    assert (found.verdict, found.scale, found.share) == ("smaller", 2, 66)
    assert room(servers(1, 4), APPLICATION, when_full="smaller").verdict == "wait"


def test_an_outage_is_only_where_it_helps() -> None:
    """The room of the old release is enough, or it is not stopped for nothing."""
    emptied = Cluster((gpu_node("a100-1", 4), gpu_node("a100-2", 2)))

    found = room(servers(4), when_full="outage", emptied=emptied, load_seconds=300)

    assert (found.verdict, found.seconds) == ("outage", 300)
    assert room(servers(7), when_full="outage", emptied=emptied).verdict == "wait"


def test_nobody_is_made_smaller_where_there_is_room_or_will_be() -> None:
    """The policy is for what neither the cluster nor its autoscaler can do."""
    pool = Pool("a100", 1, gpu_node("", 4))

    assert room(servers(), when_full="smaller").verdict == "enough"
    assert room(servers(6), when_full="smaller", pools=[pool]).verdict == "grows"


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpu", 250, "0.25"),
        ("memory", 3 * GI, "3Gi"),
        ("memory", GI // 2, "512Mi"),
        (GPU, 2000, "2"),
    ],
)
def test_numbers_are_written_as_people_write_them(name: str, amount: int, text: str) -> None:
    assert shown(name, amount) == text


COUNTS = st.integers(0, 6)
NODES = st.lists(COUNTS, max_size=5).map(
    lambda all_free: [gpu_node(f"n{i}", free, 8) for i, free in enumerate(all_free)]
)


@given(nodes=NODES, count=st.integers(1, 6), gpus=st.integers(1, 4))
def test_what_fits_fits_by_counting(nodes: list[Node], count: int, gpus: int) -> None:
    """Pods that are alike fit where the nodes together hold so many of them, and only there."""
    slots = sum(node.free.get(GPU, 0) // UNIT // gpus for node in nodes)

    assert (room(servers(count, gpus), nodes=nodes).verdict == "enough") == (count <= slots)


@given(nodes=NODES, count=st.integers(1, 6), gpus=st.integers(1, 4), more=COUNTS)
def test_more_room_is_never_worse(nodes: list[Node], count: int, gpus: int, more: int) -> None:
    """Another node takes nothing away."""
    asked = servers(count, gpus)
    order = ("wait", "smaller", "enough")
    less = room(asked, nodes=nodes, when_full="smaller")
    there = room(asked, nodes=[*nodes, gpu_node("new", more)], when_full="smaller")

    assert order.index(there.verdict) >= order.index(less.verdict)
    assert there.share >= less.share or less.verdict == "wait"
