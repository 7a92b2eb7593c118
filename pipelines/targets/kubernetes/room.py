"""Objects of a cluster → what ``pipelines.capacity`` decides on. Reads, and changes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Protocol

import yaml

from manifests.model import Rendering, own
from manifests.render import render_slot
from pipelines.capacity import (
    POOL_LABELS,
    UNIT,
    Cluster,
    Node,
    Pods,
    Pool,
    Quota,
    Room,
    Taint,
    Toleration,
    find_room,
    taken_of,
)
from release.errors import GreenlightError
from release.kubernetes_section import Capacity

Thing = Mapping[str, Any]
"""An object, as the API gives it."""

AUTOSCALER = ("kube-system", "cluster-autoscaler-status")
"""Namespace and name of the ConfigMap in which the cluster autoscaler says what it may do."""

OVER = ("Succeeded", "Failed")
"""Phases of pods that hold nothing any more."""

_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {f"{one}i": 1024**n for n, one in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([A-Za-z]{0,2}))")
_GROUP = re.compile(
    r"^\s*Name:\s+(?P<name>\S+)\s*\n\s*Health:.*?cloudProviderTarget=(?P<target>\d+)"
    r" \(minSize=\d+, maxSize=(?P<most>\d+)\)",
    re.MULTILINE,
)
"""A group in the text that autoscalers before 1.30 write; from then on it is YAML."""

_BACKOFF = re.compile(r"^\s*ScaleUp:\s+Backoff", re.MULTILINE)


class Lists(Protocol):
    """What can list objects; an empty namespace: of all, or of none."""

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The objects of a kind."""


@dataclass(frozen=True)
class Without:
    """Pods that are looked past: those in ``namespace`` with one of ``labels``. What a slot has
    started already is no reason why it has no room.
    """

    namespace: str
    labels: frozenset[tuple[str, str]] = frozenset()

    def covers(self, pod: Thing) -> bool:
        """Whether ``pod`` is one of them."""
        meta = pod["metadata"]
        return meta.get("namespace") == self.namespace and bool(
            self.labels & set((meta.get("labels") or {}).items())
        )


def room_of(
    api: Lists, rendering: Rendering, slot: str, beside: Mapping[str, str], now: datetime
) -> Room:
    """Whether what ``slot`` of ``rendering`` needs has room ``beside`` the other slots, each with
    the name of its model server.

    A model server that another slot has already needs nothing new.
    """
    settings = rendering.settings
    gpu = settings.server.gpu.resource if settings.server.gpu else ""
    deployments = [one.object for one in render_slot(rendering, slot) if one.kind == "Deployment"]
    needs = needs_of(deployments, settings.scaling.min, frozenset(beside.values()))

    def cluster(gone: frozenset[tuple[str, str]]) -> Cluster:
        without = Without(rendering.namespace, gone)
        return read_cluster(api, without, settings.capacity, gpu, now)

    mine = frozenset({(own("slot"), slot), *((own("server"), one.name) for one in needs)})
    names = {
        one["metadata"]["name"] for one in deployments
    }  # a shared one is there before and after
    old = {(own("slot"), one) for one in beside}
    old |= {(own("server"), one) for one in beside.values() if one not in names}
    emptied = cluster(mine | old) if settings.when_full == "outage" else None
    return find_room(
        needs, cluster(mine), settings.when_full, emptied, settings.server.load_seconds
    )


def quantity(text: str) -> int:
    """``500m``, ``2Gi``, ``1e3`` in thousandths, rounded up; GreenlightError for anything else."""
    found = _QUANTITY.fullmatch(str(text))
    unit = (found[3] or "") if found else "?"
    if found is None or (unit not in _POWERS and unit not in _BINARY):
        raise GreenlightError(f"expected a quantity such as 500m or 2Gi, found {text!r}")
    factor = Fraction(10) ** int(found[2] or _POWERS.get(unit, 0)) * _BINARY.get(unit, 1)
    return -int(-(Fraction(found[1]) * factor * UNIT) // 1)


def amounts(given: Mapping[str, str] | None) -> dict[str, int]:
    """A list of resources."""
    return {name: quantity(text) for name, text in (given or {}).items()}


def needs_of(
    deployments: Iterable[Thing], replicas: int, there: frozenset[str] = frozenset()
) -> tuple[Pods, ...]:
    """The pods of rendered Deployments; ``replicas`` where an autoscaler says how many. Those in
    ``there``, by name, serve the slot beside already and need nothing new.
    """
    return tuple(
        _pods(one["metadata"]["name"], one["spec"]["template"]["spec"],
              one["spec"].get("replicas", replicas))
        for one in deployments
        if one["metadata"]["name"] not in there
    )  # fmt: skip


def _pods(name: str, spec: Thing, count: int) -> Pods:
    return Pods(
        name=name,
        count=count,
        requests={**_asked(spec, "requests"), "pods": UNIT},
        limits=_asked(spec, "limits"),
        selector=spec.get("nodeSelector") or {},
        tolerations=tuple(map(_toleration, spec.get("tolerations") or ())),
    )


def _toleration(given: Thing) -> Toleration:
    wanted = {key: given.get(key) or "" for key in ("key", "value", "effect")}
    return Toleration(operator=given.get("operator") or "Equal", **wanted)


def _asked(spec: Thing, which: str) -> dict[str, int]:
    """What a pod asks for as the scheduler counts it: containers together, or the largest of what
    runs before them if that is more; what is set for the pod as a whole counts instead.
    """
    together: Counter[str] = Counter()
    largest: dict[str, int] = {}
    for one in spec.get("initContainers") or ():
        own = _of_container(one, which)
        if one.get("restartPolicy") == "Always":  # a sidecar: it stays
            together.update(own)
        before = own if one.get("restartPolicy") != "Always" else {}
        largest = {k: max(largest.get(k, 0), together[k] + before.get(k, 0)) for k in
                   {*largest, *together, *before}}  # fmt: skip
    for one in spec.get("containers") or ():
        together.update(_of_container(one, which))
    asked = {k: max(together[k], largest.get(k, 0)) for k in {*together, *largest}}
    asked |= amounts((spec.get("resources") or {}).get(which))
    extra = amounts(spec.get("overhead"))
    return {k: asked.get(k, 0) + extra.get(k, 0) for k in {*asked, *extra}}


def _of_container(container: Thing, which: str) -> dict[str, int]:
    """A limit without a request is the request too."""
    given = container.get("resources") or {}
    limits = amounts(given.get("limits"))
    return {**limits, **amounts(given.get("requests"))} if which == "requests" else limits


def read_cluster(
    api: Lists, without: Without, settings: Capacity, gpu: str, now: datetime
) -> Cluster:
    """What there is for pods in ``without.namespace``, as if the pods of ``without`` were gone.

    ``gpu`` is the resource of which ``settings`` says how many a pool's nodes have.
    """
    pods = [one for one in api.list("Pod") if (one.get("status") or {}).get("phase") not in OVER]
    past = [one for one in pods if without.covers(one)]
    counted = [one for one in pods if not without.covers(one)]
    nodes = tuple(_nodes(api.list("Node"), counted, now))
    quotas, scoped = _quotas(api.list("ResourceQuota", without.namespace), past)
    status = _autoscaler(api.list("ConfigMap", AUTOSCALER[0]))
    pools, unknown = _pools(status, nodes, settings, gpu)
    ahead = tuple(_pods(_name(one), one["spec"], 1) for one in counted if _waits(one))
    return Cluster(nodes, quotas, pools, ahead, (*scoped, *unknown))


def _name(one: Thing) -> str:
    return str(one["metadata"]["name"])


def _waits(pod: Thing) -> bool:
    """Whether it has no node yet and would take one."""
    spec = pod["spec"]
    return not (spec.get("nodeName") or spec.get("schedulingGates"))


def _nodes(nodes: Iterable[Thing], pods: Sequence[Thing], now: datetime) -> Iterator[Node]:
    used: dict[str, Counter[str]] = {}
    for pod in pods:
        asked = _pods("", pod["spec"], 1).requests
        used.setdefault(pod["spec"].get("nodeName") or "", Counter()).update(asked)
    for one in nodes:
        name, spec = _name(one), one.get("spec") or {}
        offers = amounts(one["status"].get("allocatable"))
        taken = used.get(name, Counter())
        yield Node(
            name=name,
            offers=offers,
            free={key: amount - taken[key] for key, amount in offers.items()},
            labels=one["metadata"].get("labels") or {},
            taints=tuple(_taint(given) for given in spec.get("taints") or ()),
            ready_seconds=_ready(one, now),
            open=not (spec.get("unschedulable") or one["metadata"].get("deletionTimestamp")),
        )


def _taint(given: Thing) -> Taint:
    return Taint(given["key"], given.get("value") or "", given["effect"])


def _ready(node: Thing, now: datetime) -> float | None:
    for one in node["status"].get("conditions") or ():
        if one["type"] == "Ready" and one["status"] == "True":
            since = datetime.fromisoformat(one["lastTransitionTime"])
            return max(0.0, (now - since).total_seconds())
    return None


def _quotas(
    given: Iterable[Thing], past: Sequence[Thing]
) -> tuple[tuple[Quota, ...], tuple[str, ...]]:
    """Those that count for every pod, without what ``past`` pods use; of the others that they are
    not counted.
    """
    quotas, notes = [], []
    for one in given:
        if one["spec"].get("scopes") or one["spec"].get("scopeSelector"):
            notes.append(f"ResourceQuota {_name(one)} has a scope and is not counted")
            continue
        status = one.get("status") or {}
        hard = amounts(status.get("hard") or one["spec"].get("hard"))
        used = Counter(amounts(status.get("used")))
        for pod in past:
            asked = _pods("", pod["spec"], 1)
            used.subtract({name: taken_of(name, asked) for name in hard})
        quotas.append(Quota(_name(one), hard, used))
    return tuple(quotas), tuple(notes)


@dataclass(frozen=True)
class Group:
    """What the autoscaler says of a group of nodes: it may have ``more`` of them."""

    name: str
    more: int


def _autoscaler(found: Iterable[Thing]) -> tuple[Group, ...]:
    for one in found:
        if _name(one) == AUTOSCALER[1]:
            return groups((one.get("data") or {}).get("status") or "")
    return ()


def groups(status: str) -> tuple[Group, ...]:
    """The groups in an autoscaler's status. One that has just failed to grow may not for now."""
    if status.lstrip().startswith("Cluster-autoscaler status at"):
        return tuple(_groups_in_text(status))
    try:
        found = yaml.safe_load(status) or {}
        return tuple(_group(one) for one in found.get("nodeGroups") or ())
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise GreenlightError(
            f"the status of the cluster autoscaler ({'/'.join(AUTOSCALER)}) cannot be read: {error}"
        ) from None


def _group(one: Thing) -> Group:
    health, failed = one["health"], (one.get("scaleUp") or {}).get("status") == "Backoff"
    more = int(health["maxSize"]) - int(health["cloudProviderTarget"])
    return Group(str(one["name"]), 0 if failed else max(0, more))


def _groups_in_text(status: str) -> Iterator[Group]:
    found = [*_GROUP.finditer(status)]
    ends = [one.start() for one in found[1:]] + [len(status)]
    for one, end in zip(found, ends, strict=True):
        failed = _BACKOFF.search(status, one.end(), end)
        more = 0 if failed else int(one["most"]) - int(one["target"])
        yield Group(one["name"], max(0, more))


def _pools(
    status: Sequence[Group], nodes: Sequence[Node], settings: Capacity, gpu: str
) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    """What may be added. What the team wrote of a pool comes before what the autoscaler says of
    it; of a group without a node it is not known what its nodes would be.
    """
    pools = [_told(one, nodes, gpu) for one in settings.pools]
    notes = []
    for one in status:
        like = [node for node in nodes if one.name in _names_of(node) or _is_in(node, one)]
        if any(pool.name == like_pool for pool in pools for like_pool in _pool_names(like, one)):
            continue
        if like:
            pools.append(Pool(one.name, one.more, _empty(like[0])))
        elif one.more:
            notes.append(f"group {one.name} may grow by {one.more}: say in capacity.pools "
                         "what its nodes have")  # fmt: skip
    return tuple(pools), tuple(notes)


def _names_of(node: Node) -> set[str]:
    return {node.labels[one] for one in POOL_LABELS if one in node.labels}


def _is_in(node: Node, group: Group) -> bool:
    """AKS calls a node after its scale set, and the autoscaler the group: aks-a100-12345678-vmss,
    with six digits after it.
    """
    return re.fullmatch(re.escape(group.name) + r"-?[0-9a-z]{4,6}", node.name) is not None


def _pool_names(like: Sequence[Node], group: Group) -> set[str]:
    return {group.name, *(node.pool for node in like)}


def _empty(node: Node) -> Node:
    """A new one like it: with all that it offers, and no name of its own."""
    kept = {k: v for k, v in node.labels.items() if k != "kubernetes.io/hostname"}
    taints = tuple(one for one in node.taints if not one.key.startswith("node.kubernetes.io/"))
    return replace(node, free=node.offers, labels=kept, taints=taints, ready_seconds=0, open=True)


def _told(given: Any, nodes: Sequence[Node], gpu: str) -> Pool:
    """A pool of ``capacity.pools``, of which ``nodes`` are there already."""
    like = [node for node in nodes if given.name in _names_of(node)]
    offers = {"cpu": quantity(given.cpu), "memory": quantity(given.memory), "pods": 110 * UNIT}
    offers |= {gpu: given.gpus * UNIT} if given.gpus else {}
    known = _empty(like[0]) if like else Node("", {}, {}, dict.fromkeys(POOL_LABELS, given.name))
    taints = known.taints if like else (Taint("sku", "gpu"),) * bool(given.gpus)
    node = replace(known, offers=offers, free=offers, taints=taints)
    return Pool(given.name, max(0, given.max - len(like)), node)
