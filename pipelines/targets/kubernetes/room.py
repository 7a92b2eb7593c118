"""Objects of a cluster → what ``pipelines.capacity`` decides on. Reads, and changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from manifests.model import Rendering
from pipelines.capacity import Room, find_room
from pipelines.cluster import Cluster, Needs, Node, Taint
from pipelines.targets.kubernetes.coming import Coming, Names
from pipelines.targets.kubernetes.facts import APPLICATION, Live, name_of
from pipelines.targets.kubernetes.pods import Thing, amounts, pods_of
from pipelines.targets.kubernetes.pools import AUTOSCALER, autoscaler, pools_of
from pipelines.targets.kubernetes.quotas import Lists, counted, read_quotas, without
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shared import Changed
from release.kubernetes_section import Capacity

OVER = ("Succeeded", "Failed")
"""Phases of pods that hold nothing any more."""


@dataclass(frozen=True)
class Allowed:
    """``api`` for who may not read everything: what is ``denied`` is as if it were not there.

    ``denied`` are kinds and namespaces, an empty one for all of them.
    """

    api: Lists
    denied: set[tuple[str, str]] = field(default_factory=set)

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The objects of a kind that may be read."""
        try:
            return self.api.list(kind, namespace, labels)
        except DeniedError:
            self.denied.add((kind, namespace))
            return []


@dataclass(frozen=True)
class Without:
    """Pods that are looked past: those of ``application`` in ``namespace`` with one of ``labels``.
    What a slot has started already is no reason why it has no room. ``names`` are the objects that
    go with them, by kind.
    """

    namespace: str
    application: str
    labels: Names = frozenset()
    names: Names = frozenset()

    def covers(self, pod: Thing) -> bool:
        """Whether ``pod`` is one of them."""
        meta = pod["metadata"]
        found = {*(meta.get("labels") or {}).items()}
        ours = meta.get("namespace") == self.namespace and (APPLICATION, self.application) in found
        return ours and bool(self.labels & found)

    def and_also(self, labels: Names, names: Names) -> Without:
        """More of them."""
        return replace(self, labels=self.labels | labels, names=self.names | names)


def room_of(
    api: Lists, rendering: Rendering, slot: str, live: Live, now: datetime, stepwise: bool = True,
    changed: tuple[Changed, ...] = (),
) -> Room:  # fmt: skip
    """Whether what ``slot`` of ``rendering`` needs has room beside the other slots that are
    ``live``; what is in ``slot`` goes. ``stepwise``: with a watcher, since traffic is moved step by
    step. ``changed``: what it changes of what the others run on.
    """
    allowed, settings, namespace = Allowed(api), rendering.settings, rendering.namespace
    coming = Coming(allowed, rendering, slot, live, stepwise, changed)
    past = Without(namespace, rendering.application, coming.past, coming.going)
    gpu = settings.server.gpu.resource if settings.server.gpu else ""

    def cluster(without: Without) -> Cluster:
        return _as_seen(read_cluster(allowed, without, settings.capacity, gpu, now), allowed)

    there, emptied = cluster(past), None
    if settings.when_full == "outage":
        emptied = cluster(past.and_also(coming.past_everywhere, coming.going_everywhere))
    names = {name for quota in there.quotas for name in quota.hard}
    needs, later, alone = (
        Needs(pods, counted(allowed, namespace, objects, names, there=False))
        for pods, objects in (
            (coming.pods, coming.objects), (coming.later, coming.watcher),
            (coming.pods_alone, coming.objects),
        )
    )  # fmt: skip
    load_seconds = settings.server.load_seconds
    found = find_room(needs, there, settings.when_full, emptied, load_seconds, later, alone)
    return replace(found, notes=(*found.notes, *map(str, changed)))


def _as_seen(cluster: Cluster, allowed: Allowed) -> Cluster:
    """``cluster``, of which some may not be read. That of an autoscaler matters where it would be
    needed, and is told there alone.
    """
    told = {one: f"{one[0]}s of {one[1] or 'the cluster'}" for one in sorted(allowed.denied)}
    system = [f"{text} may not be read" for one, text in told.items() if one[1] == AUTOSCALER[0]]
    return replace(
        cluster,
        known=not allowed.denied & {("Node", ""), ("Pod", "")},
        unseen=tuple(text for one, text in told.items() if one[1] != AUTOSCALER[0]),
        notes=(*cluster.notes, *system),
    )


def read_cluster(api: Lists, past: Without, settings: Capacity, gpu: str, now: datetime) -> Cluster:
    """What there is for pods in ``past.namespace``, as if the pods of ``past`` were gone.

    ``gpu`` is the resource of which ``settings`` says how many a pool's nodes have.
    """
    found = api.list("Pod") or api.list("Pod", past.namespace)
    pods = [one for one in found if (one.get("status") or {}).get("phase") not in OVER]
    gone = [one for one in pods if past.covers(one)]
    stay = [one for one in pods if not past.covers(one)]
    nodes = tuple(_nodes(api.list("Node"), stay, now))
    quotas, scoped = read_quotas(api.list("ResourceQuota", past.namespace), gone)
    objects = [{"kind": kind, "metadata": {"name": name}} for kind, name in sorted(past.names)]
    names = {name for quota in quotas for name in quota.hard}
    going = Needs((), counted(api, past.namespace, objects, names, there=True))
    quotas = tuple(without(one, going) for one in quotas)
    status = autoscaler(api.list("ConfigMap", AUTOSCALER[0]))
    pools, unknown = pools_of(status, nodes, settings, gpu)
    ahead = tuple(pods_of(name_of(one), one["spec"], 1) for one in stay if _waits(one))
    return Cluster(nodes, quotas, pools, ahead, (*scoped, *unknown))


def _waits(pod: Thing) -> bool:
    """Whether it has no node yet and would take one."""
    spec, goes = pod["spec"], "deletionTimestamp" in pod["metadata"]
    return not (goes or spec.get("nodeName") or spec.get("schedulingGates"))


def _nodes(nodes: Iterable[Thing], pods: Sequence[Thing], now: datetime) -> Iterator[Node]:
    used, daemons = _asked_by_node(pods), _asked_by_node(filter(_is_daemon, pods))
    for one in nodes:
        name, spec = name_of(one), one.get("spec") or {}
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
            daemons=daemons.get(name, {}),
        )


def _asked_by_node(pods: Iterable[Thing]) -> dict[str, Counter[str]]:
    used: dict[str, Counter[str]] = {}
    for pod in pods:
        requests = pods_of("", pod["spec"], 1).requests
        used.setdefault(pod["spec"].get("nodeName") or "", Counter()).update(requests)
    return used


def _is_daemon(pod: Thing) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(one["kind"] == "DaemonSet" for one in owners)


def _taint(given: Thing) -> Taint:
    return Taint(given["key"], given.get("value") or "", given["effect"])


def _ready(node: Thing, now: datetime) -> float | None:
    for one in node["status"].get("conditions") or ():
        if one["type"] == "Ready" and one["status"] == "True":
            since = datetime.fromisoformat(one["lastTransitionTime"])
            return max(0.0, (now - since).total_seconds())
    return None
