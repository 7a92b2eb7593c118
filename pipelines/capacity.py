"""Whether a release finds room in a cluster, decided before anything of it is started.

A rollout that finds out half-way that the old release holds the GPU waits for ever (S04). So what
the new pods ask for is held against what the nodes have left, what the namespace may still ask for
and what the autoscaler may still add; and what is missing is told as a number. Pure.

The packing is first-fit decreasing: the largest pod first, each onto the first node that takes it
whole. That is an estimate: the scheduler spreads pods where this packs them, so on a cluster with
hardly any room left a pod may stay pending all the same. What is not looked at: affinity to other
pods, volumes that are tied to a zone, and preemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.cluster import (
    UNSILENT_SECONDS,
    Amounts,
    Cluster,
    Needs,
    Node,
    Pods,
    Pool,
    Quota,
    devices,
    is_device,
    shown,
)

WhenFull = Literal["wait", "smaller", "outage"]
Verdict = Literal["enough", "grows", "smaller", "outage", "wait", "refused"]

ALL = 100
NOTHING = Needs()


@dataclass(frozen=True)
class Room:
    """Whether there is room. ``asks`` is what for and what is free, ``missing`` what is not there.

    ``enough``: at once. ``grows``: the autoscaler may add what is missing; starting takes longer.
    ``smaller``: with at most ``scale`` pods of each kind, which are ``share`` per cent of those
    that it is to have; it may answer no larger share of the requests until it has the rest.
    ``outage``: once the old release is stopped, for about ``seconds``. ``wait``: not now.
    ``refused``: the namespace takes no such pods, however much room there is.
    ``later``: what has no room of that which may come after the start. That holds nothing up.
    """

    verdict: Verdict
    asks: str = ""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scale: int | None = None
    share: int = ALL
    seconds: int = 0
    later: tuple[str, ...] = ()

    @property
    def why_not(self) -> str:
        """What is missing, and which node is the reason, as one clause."""
        return "; ".join((*self.missing, *self.notes))

    def __str__(self) -> str:
        how = {
            "enough": "; ".join(self.notes),
            "grows": f"the autoscaler may add it: {self.why_not}",
            "smaller": f"with {self.share} % of its pods for now: {self.why_not}",
            "outage": f"only without the old release: {self.why_not}",
            "wait": self.why_not,
            "refused": self.why_not,
        }
        later = f"it starts, but later {'; '.join(self.later)}" if self.later else ""
        return "; ".join(filter(None, (self.asks, how[self.verdict], later)))


def find_room(
    needs: Needs,
    cluster: Cluster,
    when_full: WhenFull = "wait",
    emptied: Cluster | None = None,
    load_seconds: int = 0,
    later: Needs = NOTHING,
    alone: Needs | None = None,
) -> Room:
    """Whether ``needs`` fit into ``cluster``, and what else can be done.

    ``emptied`` is the cluster without the old release, and ``alone`` what is needed there, None:
    the same; ``load_seconds`` until a model answers.
    The autoscaler comes before ``when_full``: what it adds costs no user anything. ``later`` is
    what may be added once ``needs`` are there: no reason to wait, and told.
    """
    asks = _asks(needs.pods, cluster)
    if refused := (*_refused(needs.pods, cluster.quotas),):
        return Room("refused", asks, refused)
    missing = _missing(needs, cluster)
    grown, unseen = _grown(cluster), _unseen(cluster)
    if not missing:
        return Room("enough", asks, notes=unseen, later=_missing(needs, grown, later))
    notes = (*_silent(needs.pods, cluster), *cluster.notes, *unseen)
    if not _missing(needs, grown):
        notes = (*notes, *_said_of(cluster.pools))
        return Room("grows", asks, missing, notes, later=_missing(needs, grown, later))
    scale = _largest(needs, cluster) if when_full == "smaller" else None
    if scale:
        return Room("smaller", asks, missing, notes, scale, _share(needs.pods, scale))
    if when_full == "outage" and emptied is not None and not _missing(alone or needs, emptied):
        return Room("outage", asks, missing, notes, seconds=load_seconds)
    return Room("wait", asks, missing, notes)


def _unseen(cluster: Cluster) -> tuple[str, ...]:
    """What nobody could look at is told where there seems to be enough, too."""
    if not cluster.unseen:
        return ()
    return (f"not counted, since it may not be read: {', '.join(cluster.unseen)}",)


def _grown(cluster: Cluster) -> Cluster:
    """With every node that the autoscaler may add."""
    new = (replace(p.node, name=f"{p.name} {n}") for p in cluster.pools for n in range(p.more))
    return replace(cluster, nodes=(*cluster.nodes, *new))


def _said_of(pools: Sequence[Pool]) -> Iterator[str]:
    for one in pools:
        if one.more:
            yield f"pool {one.name} may grow by {one.more} node{'s' * (one.more > 1)}"


def _largest(needs: Needs, cluster: Cluster) -> int | None:
    """The most pods of each kind, fewer than asked for, that fit; None: not even one of each."""
    most = max((one.count for one in needs.pods if not one.fixed), default=0)
    fits = (n for n in range(most - 1, 0, -1) if not _missing(_at_most(needs, n), cluster))
    return next(fits, None)


def _at_most(needs: Needs, scale: int) -> Needs:
    fewer = (one if one.fixed else replace(one, count=min(one.count, scale)) for one in needs.pods)
    return replace(needs, pods=tuple(fewer))


def _share(needs: Sequence[Pods], scale: int) -> int:
    """Per cent of the pods of whichever kind has the fewest of what it is to have."""
    own = (one for one in needs if one.count and not one.fixed)
    return min(ALL * min(one.count, scale) // one.count for one in own)


def _missing(needs: Needs, cluster: Cluster, later: Needs = NOTHING) -> tuple[str, ...]:
    """What ``needs`` lack, and once they are there ``later``; empty: all of it fits."""
    told = _without_node((needs.pods, later.pods), cluster) if cluster.known else []
    both = needs + later
    refused = _refused(both.pods, cluster.quotas)
    return (*told, *_over_quota(both, cluster.quotas), *refused)


def _refused(needs: Sequence[Pods], quotas: Sequence[Quota]) -> Iterator[str]:
    """Why pods are not taken at all: no room for them would turn that."""
    for quota in quotas:
        yield from _unsaid(needs, quota)
    for pods in needs:
        yield from (f"{pods.name}: {why}" for why in pods.wrong)


def _without_node(batches: Iterable[Sequence[Pods]], cluster: Cluster) -> list[str]:
    """Which pods have no node, batch after batch; first come those who wait already."""
    nodes = [one for one in cluster.nodes if one.usable]
    free = {one.name: Counter(one.free) for one in nodes}
    _pack(cluster.ahead, nodes, free)
    return [
        _lack(pods, count, nodes, free)
        for batch in batches
        for pods, count in _pack(batch, nodes, free)
    ]


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
    return devices(pods.requests), pods.requests.get("memory", 0), pods.requests.get("cpu", 0)


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


def _over_quota(needs: Needs, quotas: Sequence[Quota]) -> Iterator[str]:
    for quota in quotas:
        for name, hard in sorted(quota.hard.items()):
            asked, left = quota.takes(name, needs), hard - quota.used.get(name, 0)
            if asked and asked > left:
                used = f"{shown(name, max(0, left))} of {shown(name, hard)} are left"
                yield f"{shown(name, asked - left)} {name} (ResourceQuota {quota.name}: {used})"


def _unsaid(needs: Sequence[Pods], quota: Quota) -> Iterator[str]:
    """A quota of cores or memory takes no pod with a container that does not say how much."""
    for pods in needs:
        for name in sorted({*pods.unsaid} & {*quota.hard}) if quota.covers(pods) else ():
            remedy = "a LimitRange with a default or a patch says it"
            yield (
                f"{name} of container {pods.unsaid[name]} of {pods.name} "
                f"(ResourceQuota {quota.name} counts it: {remedy})"
            )


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
    free = {name: _free(name, needs, cluster) for name in names} if cluster.known else {}
    parts = [
        f"{shown(name, total[name])} {name}" + (f", {shown(name, free[name])} free" if free else "")
        for name in names
    ]
    return f"needs {'; '.join(parts)}" if names else "needs nothing new"


def _free(name: str, needs: Sequence[Pods], cluster: Cluster) -> int:
    asking = [pods for pods in needs if pods.requests.get(name)]
    homes = (n for n in cluster.nodes if n.usable and any(n.takes(one) for one in asking))
    return sum(max(0, node.free.get(name, 0)) for node in homes)


def _listed(amounts: Amounts) -> str:
    return ", ".join(f"{shown(name, n)} {name}" for name, n in amounts.items() if name != "pods")
