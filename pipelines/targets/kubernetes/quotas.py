"""ResourceQuotas of a namespace, and what objects take of them beside what their pods ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pipelines.cluster import UNIT, Needs, Quota, Scope
from pipelines.targets.kubernetes.facts import name_of
from pipelines.targets.kubernetes.kinds import kind_of
from pipelines.targets.kubernetes.pods import Thing, amounts, claimed, pods_of

SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
          "CrossNamespacePodAffinity")  # fmt: skip
"""Those of pods, as of Kubernetes 1.36."""

BY_NAME = ("services", "configmaps", "secrets")
"""Kinds that quotas also know by their plural alone; claims are another (``claimed``)."""

FOLLOWS = {
    "Deployment": ("count/replicasets.apps",),
    "Service": ("count/endpoints", "count/endpointslices.discovery.k8s.io"),
    "ScaledObject": ("count/horizontalpodautoscalers.autoscaling",),
}
"""What controllers make for each object of a kind."""


class Lists(Protocol):
    """What can list objects; an empty namespace: of all, or of none."""

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """The objects of a kind."""


def taken_by(one: Thing) -> dict[str, int]:
    """What an object takes of quotas, by their names; its pods apart."""
    kind = kind_of(one["kind"])
    group = kind.version.rpartition("/")[0]
    name = f"count/{kind.plural}" + (f".{group}" if group else "")
    total = {name: UNIT, **dict.fromkeys(FOLLOWS.get(one["kind"], ()), UNIT)}
    if kind.plural in BY_NAME:
        total[kind.plural] = UNIT
    if one["kind"] == "PersistentVolumeClaim":
        total |= claimed(one.get("spec") or {})
    if one["kind"] == "Service":
        total |= _of_service(one.get("spec") or {})
    return total


def _of_service(spec: Thing) -> dict[str, int]:
    """What is outside of the cluster, too."""
    kind, ports = spec.get("type"), len(spec.get("ports") or ()) * UNIT
    balanced = {"services.loadbalancers": UNIT} if kind == "LoadBalancer" else {}
    opened = kind == "NodePort" or (balanced and spec.get("allocateLoadBalancerNodePorts", True))
    return {**balanced, **({"services.nodeports": ports} if opened else {})}


def counted(
    api: Lists, namespace: str, objects: Iterable[Thing], names: Iterable[str], there: bool
) -> Counter[str]:
    """What ``objects`` take of the quotas' ``names``: of those that are there, or that are not.

    Only kinds that some quota counts are listed.
    """
    wanted, total = {*names}, Counter[str]()
    found: dict[str, set[str]] = {}
    for one in objects:
        kind, takes = one["kind"], {n: x for n, x in taken_by(one).items() if n in wanted}
        if takes and kind not in found:
            found[kind] = {name_of(each) for each in api.list(kind, namespace)}
        if takes and (name_of(one) in found[kind]) == there:
            total.update(takes)
    return total


def read_quotas(
    given: Sequence[Thing], past: Iterable[Thing]
) -> tuple[tuple[Quota, ...], tuple[str, ...]]:
    """Quotas without what ``past`` pods use; and of those that cannot be counted, that they are
    not.
    """
    gone = Needs(tuple(pods_of(name_of(pod), pod["spec"], 1) for pod in past))
    quotas, notes = [], []
    for one in given:
        scopes = tuple(_scopes(one["spec"]))
        unknown = [scope.name for scope in scopes if scope.name not in SCOPES]
        if unknown:
            scope = ", ".join(unknown)
            notes.append(f"ResourceQuota {name_of(one)} has the scope {scope} and is not counted")
        else:
            quotas.append(without(_quota(one, scopes), gone))
    return tuple(quotas), tuple(notes)


def _quota(one: Thing, scopes: tuple[Scope, ...]) -> Quota:
    status = one.get("status") or {}
    hard = amounts(status.get("hard") or one["spec"].get("hard"))
    return Quota(name_of(one), hard, amounts(status.get("used")), scopes)


def without(quota: Quota, gone: Needs) -> Quota:
    """``quota`` when ``gone`` is gone. What it has not counted yet does not make room twice."""
    used = {name: max(0, one - quota.takes(name, gone)) for name, one in quota.used.items()}
    return Quota(quota.name, quota.hard, used, quota.scopes)


def _scopes(spec: Thing) -> Iterator[Scope]:
    for name in spec.get("scopes") or ():
        yield Scope(name)
    for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield Scope(one["scopeName"], one["operator"], tuple(one.get("values") or ()))
