"""Whether a release finds room in a cluster, decided before anything of it is started.

A rollout that finds out half-way that the old release holds the GPU waits for ever (S04). So what
the new pods ask for is held against what the nodes have left, what the namespace may still ask for
and what the autoscaler may still add; and what is missing is told as a number. Pure.

The packing is first-fit decreasing: the largest pod first, each onto the first node that takes it
whole. That is an estimate: the scheduler spreads pods where this packs them, so on a cluster with
hardly any room left a pod may stay pending all the same. What is not looked at: affinity, volumes
that are tied to a zone, preemption, and what daemons take on a node that does not exist yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Amounts = Mapping[str, int]
"""By resource, in thousandths of its unit: of a core, of a byte, of a GPU, of a pod."""

WhenFull = Literal["wait", "smaller", "outage"]
Verdict = Literal["enough", "grows", "smaller", "outage", "wait"]

UNIT = 1000
ALL = 100

UNSILENT_SECONDS = 600.0
"""How long a node may be ready without its GPUs: drivers and device plugin take some minutes."""

GPU_LABELS = ("greenlight.dev/gpu", "kubernetes.azure.com/accelerator", "nvidia.com/gpu.present")
"""Labels of nodes that are meant to have GPUs, whether they offer any or not."""

POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool", "eks.amazonaws.com/nodegroup",
               "cloud.google.com/gke-nodepool")  # fmt: skip
"""Labels by which clouds say which pool a node is of; the first that is there counts."""


@dataclass(frozen=True)
class Taint:
    """What keeps pods away from a node."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class Toleration:
    """What lets a pod onto a tainted node. An empty key or effect: any."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def allows(self, taint: Taint) -> bool:
        """Whether ``taint`` does not keep the pod away."""
        anyone = self.operator == "Exists"
        return (
            self.effect in ("", taint.effect)
            and (self.key == taint.key or (anyone and not self.key))
            and (anyone or self.value == taint.value)
        )


@dataclass(frozen=True)
class Pods:
    """``count`` pods that are alike: those of the Deployment ``name``."""

    name: str
    count: int
    requests: Amounts
    limits: Amounts = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True)
class Node:
    """One node. ``free`` is what no pod on it has asked for, ``offers`` what it has in all.

    ``ready_seconds``: for how long it is ready; None: it is not. ``open``: it takes new pods.
    """

    name: str
    offers: Amounts
    free: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready_seconds: float | None = UNSILENT_SECONDS
    open: bool = True

    @property
    def pool(self) -> str:
        """The pool that it is of, or an empty string."""
        return next((self.labels[one] for one in POOL_LABELS if one in self.labels), "")

    @property
    def usable(self) -> bool:
        """Whether a pod may start on it now."""
        return self.open and self.ready_seconds is not None

    def takes(self, pods: Pods) -> bool:
        """Whether one of ``pods`` may be on it, were there enough left."""
        hard = (one for one in self.taints if one.effect != "PreferNoSchedule")
        chosen = all(self.labels.get(key) == value for key, value in pods.selector.items())
        return chosen and all(any(t.allows(one) for t in pods.tolerations) for one in hard)

    def is_meant_for(self, resource: str, pods: Pods) -> bool:
        """Whether ``pods`` would look for ``resource`` here: its pool or its marks say so."""
        marked = any(self.labels.get(one, "false") != "false" for one in GPU_LABELS)
        tainted = any(one.key == resource or one.value == "gpu" for one in self.taints)
        return self.takes(pods) and (marked or tainted or bool(pods.selector))


@dataclass(frozen=True)
class Pool:
    """``more`` nodes like ``node`` that an autoscaler may add."""

    name: str
    more: int
    node: Node


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota of the namespace, by its own names, such as ``requests.cpu``."""

    name: str
    hard: Amounts
    used: Amounts


@dataclass(frozen=True)
class Cluster:
    """What there is. ``ahead`` are others' pods that have no node yet. ``notes``: what could not
    be counted, and why.
    """

    nodes: tuple[Node, ...]
    quotas: tuple[Quota, ...] = ()
    pools: tuple[Pool, ...] = ()
    ahead: tuple[Pods, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room:
    """Whether there is room. ``asks`` is what for and what is free, ``missing`` what is not there.

    ``enough``: at once. ``grows``: the autoscaler may add what is missing; starting takes longer.
    ``smaller``: with at most ``scale`` pods of each kind, which are ``share`` per cent of those
    that it is to have; it may answer no larger share of the requests until it has the rest.
    ``outage``: once the old release is stopped, for about ``seconds``. ``wait``: not now.
    """

    verdict: Verdict
    asks: str = ""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scale: int | None = None
    share: int = ALL
    seconds: int = 0

    @property
    def why_not(self) -> str:
        """What is missing, and which node is the reason, as one clause."""
        return "; ".join((*self.missing, *self.notes))

    def __str__(self) -> str:
        if self.verdict == "enough":
            return self.asks
        how = {
            "grows": f"the autoscaler may add it: {self.why_not}",
            "smaller": f"with {self.share} % of its pods for now: {self.why_not}",
            "outage": f"only without the old release: {self.why_not}",
            "wait": self.why_not,
        }
        return f"{self.asks}; {how[self.verdict]}"


def find_room(
    needs: Sequence[Pods],
    cluster: Cluster,
    when_full: WhenFull = "wait",
    emptied: Cluster | None = None,
    load_seconds: int = 0,
) -> Room:
    """Whether ``needs`` fit into ``cluster``, and what else can be done.

    ``emptied`` is the cluster without the old release; ``load_seconds`` until a model answers.
    The autoscaler comes before ``when_full``: what it adds costs no user anything.
    """
    asks, missing = _asks(needs, cluster), _missing(needs, cluster)
    if not missing:
        return Room("enough", asks)
    notes = (*_silent(needs, cluster), *cluster.notes)
    if not _missing(needs, _grown(cluster)):
        return Room("grows", asks, missing, (*notes, *_said_of(cluster.pools)))
    scale = _largest(needs, cluster) if when_full == "smaller" else None
    if scale:
        return Room("smaller", asks, missing, notes, scale, _share(needs, scale))
    if when_full == "outage" and emptied is not None and not _missing(needs, emptied):
        return Room("outage", asks, missing, notes, seconds=load_seconds)
    return Room("wait", asks, missing, notes)


def _grown(cluster: Cluster) -> Cluster:
    """With every node that the autoscaler may add."""
    new = (replace(p.node, name=f"{p.name} {n}") for p in cluster.pools for n in range(p.more))
    return replace(cluster, nodes=(*cluster.nodes, *new))


def _said_of(pools: Sequence[Pool]) -> Iterator[str]:
    for one in pools:
        if one.more:
            yield f"pool {one.name} may grow by {one.more} node{'s' * (one.more > 1)}"


def _largest(needs: Sequence[Pods], cluster: Cluster) -> int | None:
    """The most pods of each kind, fewer than asked for, that fit; None: not even one of each."""
    most = max((one.count for one in needs), default=0)
    fits = (n for n in range(most - 1, 0, -1) if not _missing(_at_most(needs, n), cluster))
    return next(fits, None)


def _at_most(needs: Sequence[Pods], scale: int) -> list[Pods]:
    return [replace(one, count=min(one.count, scale)) for one in needs]


def _share(needs: Sequence[Pods], scale: int) -> int:
    """Per cent of the pods of whichever kind has the fewest of what it is to have."""
    return min(ALL * min(one.count, scale) // one.count for one in needs if one.count)


def _missing(needs: Sequence[Pods], cluster: Cluster) -> tuple[str, ...]:
    """What ``needs`` lack; empty: they fit."""
    nodes = [one for one in cluster.nodes if one.usable]
    free = {one.name: Counter(one.free) for one in nodes}
    _pack(cluster.ahead, nodes, free)
    left = _pack(needs, nodes, free)
    told = [_lack(pods, count, nodes, free) for pods, count in left]
    return (*told, *_over_quota(needs, cluster.quotas))


Free = dict[str, Counter[str]]
"""What is left on each node, by its name."""


def _pack(needs: Iterable[Pods], nodes: Sequence[Node], free: Free) -> list[tuple[Pods, int]]:
    """Take from ``free`` what fits; which pods have no node, and how many of them."""
    left = []
    for pods in sorted(needs, key=_size, reverse=True):
        homes = [one for one in nodes if one.takes(pods)]
        placed = sum(_place(pods, homes, free) for _ in range(pods.count))
        if placed < pods.count:
            left.append((pods, pods.count - placed))
    return left


def _place(pods: Pods, homes: Sequence[Node], free: Free) -> bool:
    for node in homes:
        if _fits(pods, free[node.name]):
            free[node.name].subtract(pods.requests)
            return True
    return False


def _fits(pods: Pods, free: Mapping[str, int]) -> bool:
    return all(free.get(name, 0) >= amount for name, amount in pods.requests.items())


def _size(pods: Pods) -> tuple[int, int, int]:
    """What is rare first: devices, then memory, then the processor."""
    devices = sum(amount for name, amount in pods.requests.items() if is_device(name))
    return devices, pods.requests.get("memory", 0), pods.requests.get("cpu", 0)


def is_device(resource: str) -> bool:
    """Whether a device plugin offers it: such names have a domain."""
    return "/" in resource


def _lack(pods: Pods, count: int, nodes: Sequence[Node], free: Free) -> str:
    """Why ``count`` of ``pods`` have no node, with the numbers."""
    homes = [one for one in nodes if one.takes(pods)]
    who = f"{count} of {pods.count} pods of {pods.name}"
    if not homes:
        return f"{who} have no node to be on: {_wanted(pods)}"
    short = [
        _short(name, amount, count, homes, free)
        for name, amount in sorted(pods.requests.items(), key=lambda one: not is_device(one[0]))
        if all(free[node.name][name] < amount for node in homes)
    ]
    whole = f"no one node has all of {_listed(pods.requests)} left"
    return f"{who} have no room: {', '.join(short) or whole}"


def _wanted(pods: Pods) -> str:
    """What a node would have to be."""
    marks = ", ".join(f"{key}={value}" for key, value in pods.selector.items())
    return f"none is ready with {marks}" if marks else "none that is ready takes them"


def _short(name: str, amount: int, count: int, homes: Sequence[Node], free: Free) -> str:
    """``1 nvidia.com/gpu; 2 of 4 are free in pool a100``."""
    left = sum(max(0, free[node.name][name]) for node in homes)
    offered = sum(node.offers.get(name, 0) for node in homes)
    most = max((free[node.name][name] for node in homes), default=0)
    pools = sorted({node.pool for node in homes if node.offers.get(name) and node.pool})
    where = f" in pool {', '.join(pools)}" if pools else ""
    one = f", at most {shown(name, most)} on one node" if left >= amount else ""
    free_of = f"{shown(name, left)} of {shown(name, offered)} are free{where}"
    return f"{shown(name, amount * count)} {name} ({free_of}{one})"


def _over_quota(needs: Sequence[Pods], quotas: Sequence[Quota]) -> Iterator[str]:
    for quota in quotas:
        for name, hard in sorted(quota.hard.items()):
            asked = sum(taken_of(name, pods) * pods.count for pods in needs)
            left = hard - quota.used.get(name, 0)
            if asked > left:
                used = f"{shown(name, max(0, left))} of {shown(name, hard)} are left"
                yield f"{shown(name, asked - left)} {name} (ResourceQuota {quota.name}: {used})"


def taken_of(name: str, pods: Pods) -> int:
    """What one of ``pods`` takes of a quota's ``name``; nothing of what pods do not take."""
    if name in ("pods", "count/pods"):
        return UNIT
    kind, dot, resource = name.partition(".")
    if dot and kind == "limits":
        return pods.limits.get(resource, 0)
    return pods.requests.get(resource if dot and kind == "requests" else name, 0)


def _silent(needs: Sequence[Pods], cluster: Cluster) -> Iterator[str]:
    """Nodes that are ready and do not offer what they are there for (S20)."""
    for node in cluster.nodes:
        asked = {name: pods for pods in needs for name in pods.requests if is_device(name)}
        for name, pods in asked.items():
            if node.usable and not node.offers.get(name) and node.is_meant_for(name, pods):
                yield _told_of(node, name)


def _told_of(node: Node, resource: str) -> str:
    since = node.ready_seconds or 0.0
    if since < UNSILENT_SECONDS:
        return f"node {node.name} is ready for {since:.0f} s and offers no {resource} yet"
    why = "the device plugin or the driver does not run on it"
    return f"node {node.name} is Ready and offers no {resource}: {why}"


def _asks(needs: Sequence[Pods], cluster: Cluster) -> str:
    """What all of ``needs`` ask for, and how much of it is free where they may be."""
    total: Counter[str] = Counter()
    for pods in needs:
        total.update({name: amount * pods.count for name, amount in pods.requests.items()})
    names = sorted(name for name in total if is_device(name)) or ["cpu", "memory"]
    names = [name for name in names if total[name]]
    parts = [f"{shown(n, total[n])} {n}, {shown(n, _free(n, needs, cluster))} free" for n in names]
    return f"needs {'; '.join(parts)}" if names else "needs nothing new"


def _free(name: str, needs: Sequence[Pods], cluster: Cluster) -> int:
    asking = [pods for pods in needs if pods.requests.get(name)]
    homes = (n for n in cluster.nodes if n.usable and any(n.takes(one) for one in asking))
    return sum(max(0, node.free.get(name, 0)) for node in homes)


def _listed(amounts: Amounts) -> str:
    return ", ".join(f"{shown(name, n)} {name}" for name, n in amounts.items() if name != "pods")


def shown(name: str, amount: int) -> str:
    """``amount`` thousandths as people write it: cores, Gi, GPUs."""
    if name.endswith(("memory", "storage")):
        size = amount / UNIT
        return f"{size / 2**30:.3g}Gi" if size >= 2**30 else f"{size / 2**20:.3g}Mi"
    return f"{amount / UNIT:g}"
