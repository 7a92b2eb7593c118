"""What pods ask for, and what a cluster has: the nouns that ``pipelines.capacity`` decides on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Amounts = Mapping[str, int]
"""By resource, in thousandths of its unit: of a core, of a byte, of a GPU, of a pod."""

UNIT = 1000

NAME = "metadata.name"
"""By which a node affinity asks for one node: daemons' pods are bound so."""

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
class Requirement:
    """One line of a node affinity: what a node's label ``key`` has to be (Kubernetes'
    ``NodeSelectorRequirement``). A key of ``NAME`` is the node's name.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """For a node with ``labels``; what is not a number is neither more nor less than one."""
        found = labels.get(self.key)
        if found is None or self.operator in ("Exists", "DoesNotExist"):
            absent = self.operator in ("NotIn", "DoesNotExist")
            return absent == (found is None)
        if self.operator in ("Gt", "Lt"):
            numbers = [int(one) for one in (found, *self.values) if one.isdecimal()]
            rises = numbers == sorted(numbers, reverse=self.operator == "Gt")
            return rises and len({*numbers}) == 2
        return (found in self.values) == (self.operator == "In")


Terms = tuple[tuple[Requirement, ...], ...]
"""A node has to meet each of the requirements of one of them."""


@dataclass(frozen=True)
class Pods:
    """``count`` pods that are alike: those of the Deployment ``name``.

    ``makes``: what else each of them takes of a quota, by the quota's names: its own claims.
    ``unsaid``: containers that ask for nothing, or have no limit, by the name that a quota has for
    it, such as ``limits.cpu``. ``scopes`` and ``priority`` are what quotas go by. ``wrong``: why
    none of them would be taken at all. ``fixed``: no fewer of them however small a release begins.
    """

    name: str
    count: int
    requests: Amounts
    limits: Amounts = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    terms: Terms = ()
    makes: Amounts = field(default_factory=dict)
    unsaid: Mapping[str, str] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()
    priority: str = ""
    wrong: tuple[str, ...] = ()
    fixed: bool = False

    def takes(self, name: str) -> int:
        """What one of them takes of a quota's ``name``; nothing of what pods do not take."""
        if name in ("pods", "count/pods"):
            return UNIT
        kind, dot, resource = name.partition(".")
        if dot and kind == "limits":
            return self.limits.get(resource, 0)
        asked = resource if dot and kind == "requests" else name
        return self.requests.get(asked, 0) + self.makes.get(name, 0)


@dataclass(frozen=True)
class Needs:
    """What is to be started: pods, and by a quota's names the ``objects`` that are not there."""

    pods: tuple[Pods, ...] = ()
    objects: Amounts = field(default_factory=dict)

    def __add__(self, other: Needs) -> Needs:
        both = Counter(self.objects)
        both.update(other.objects)
        return Needs((*self.pods, *other.pods), both)


@dataclass(frozen=True)
class Node:
    """One node. ``free`` is what no pod on it has asked for, ``offers`` what it has in all.

    ``ready_seconds``: for how long it is ready; None: it is not. ``open``: it takes new pods.
    ``daemons`` is what daemons ask for on it, and so on each node like it.
    """

    name: str
    offers: Amounts
    free: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready_seconds: float | None = UNSILENT_SECONDS
    open: bool = True
    daemons: Amounts = field(default_factory=dict)

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
        known = {**self.labels, NAME: self.name}
        meant = not pods.terms or any(all(r.holds(known) for r in term) for term in pods.terms)
        tolerated = all(any(t.allows(one) for t in pods.tolerations) for one in hard)
        return chosen and meant and tolerated

    def is_meant_for(self, resource: str, pods: Pods) -> bool:
        """Whether ``pods`` would look for ``resource`` here: its pool or its marks say so."""
        marked = any(self.labels.get(one, "false") != "false" for one in GPU_LABELS)
        tainted = any(one.key == resource or one.value == "gpu" for one in self.taints)
        return self.takes(pods) and (marked or tainted or bool(pods.selector or pods.terms))


@dataclass(frozen=True)
class Pool:
    """``more`` nodes like ``node`` that an autoscaler may add."""

    name: str
    more: int
    node: Node


@dataclass(frozen=True)
class Scope:
    """Which pods a quota counts: by what they are, or with ``PriorityClass`` by their class."""

    name: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()

    def covers(self, pods: Pods) -> bool:
        """Whether ``pods`` are among them."""
        if self.name != "PriorityClass":
            return self.name in pods.scopes
        known = {self.name: pods.priority} if pods.priority else {}
        return Requirement(self.name, self.operator, self.values).holds(known)


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota of the namespace, by its own names, such as ``requests.cpu``. With
    ``scopes`` it is for the pods that all of them cover, and for no other objects.
    """

    name: str
    hard: Amounts
    used: Amounts
    scopes: tuple[Scope, ...] = ()

    def takes(self, name: str, needs: Needs) -> int:
        """What ``needs`` take of its ``name``."""
        asked = sum(one.takes(name) * one.count for one in needs.pods if self.covers(one))
        return asked + (0 if self.scopes else needs.objects.get(name, 0))

    def covers(self, pods: Pods) -> bool:
        """Whether ``pods`` count."""
        return all(one.covers(pods) for one in self.scopes)


@dataclass(frozen=True)
class Cluster:
    """What there is. ``ahead`` are others' pods that have no node yet. ``notes``: what could not
    be counted, and why. ``known``: whether the nodes may be looked at. ``unseen``: what may not.
    """

    nodes: tuple[Node, ...]
    quotas: tuple[Quota, ...] = ()
    pools: tuple[Pool, ...] = ()
    ahead: tuple[Pods, ...] = ()
    notes: tuple[str, ...] = ()
    known: bool = True
    unseen: tuple[str, ...] = ()


def is_device(resource: str) -> bool:
    """Whether a device plugin offers it: such names have a domain."""
    return "/" in resource


def devices(amounts: Amounts) -> int:
    """How many devices ``amounts`` have, in thousandths."""
    return sum(amount for name, amount in amounts.items() if is_device(name))


def shown(name: str, amount: int) -> str:
    """``amount`` thousandths as people write it: cores, Gi, GPUs."""
    if name.endswith(("memory", "storage")):
        size = amount / UNIT
        return f"{size / 2**30:.3g}Gi" if size >= 2**30 else f"{size / 2**20:.3g}Mi"
    return f"{amount / UNIT:g}"
