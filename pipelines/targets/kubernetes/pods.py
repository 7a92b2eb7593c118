"""Specs of pods, as the API gives or takes them → what they ask a cluster for. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from pipelines.cluster import UNIT, Pods, Requirement, Terms, Toleration
from release.errors import GreenlightError

Thing = Mapping[str, Any]
"""An object, as the API gives it."""

_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {f"{one}i": 1024**n for n, one in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([A-Za-z]{0,2}))")


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


def pods_of(name: str, spec: Thing, count: int, wrong: tuple[str, ...] = ()) -> Pods:
    """``count`` pods of ``spec``, as the scheduler and quotas count them."""
    return Pods(
        name=name,
        count=count,
        requests={**asked(spec, "requests"), "pods": UNIT},
        limits=asked(spec, "limits"),
        selector=spec.get("nodeSelector") or {},
        tolerations=tuple(map(_toleration, spec.get("tolerations") or ())),
        terms=_terms(spec),
        makes=_claims(spec),
        unsaid=dict(_unsaid(spec)),
        scopes=frozenset(_scopes(spec)),
        priority=spec.get("priorityClassName") or "",
        wrong=wrong,
    )


def _terms(spec: Thing) -> Terms:
    """What a node has to be."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return tuple(
        tuple(
            Requirement(one["key"], one["operator"], tuple(one.get("values") or ()))
            for part in ("matchExpressions", "matchFields")
            for one in term.get(part) or ()
        )
        for term in required.get("nodeSelectorTerms") or ()
    )


def _claims(spec: Thing) -> dict[str, int]:
    """The claims that each pod brings along, by the names that quotas have for them."""
    total: Counter[str] = Counter()
    for volume in spec.get("volumes") or ():
        if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
            total.update(claimed(template["spec"]))
    return dict(total)


def claimed(claim: Thing) -> dict[str, int]:
    """What a PersistentVolumeClaim takes of quotas; of its class's only where it names one."""
    size = quantity(((claim.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    mine = {"persistentvolumeclaims": UNIT, "requests.storage": size}
    kind = claim.get("storageClassName")
    classed = {f"{kind}.storageclass.storage.k8s.io/{name}": one for name, one in mine.items()}
    return {**mine, "count/persistentvolumeclaims": UNIT, **(classed if kind else {})}


def _unsaid(spec: Thing) -> Iterator[tuple[str, str]]:
    """What quotas of cores and memory want of each container, where one does not say it; the list
    is Kubernetes' own (pkg/quota/v1/evaluator/core/pods.go, ``validationSet``). A pod that says it
    for all of them is not asked.
    """
    if any((spec.get("resources") or {}).values()):
        return
    for one in containers(spec):
        for resource in ("cpu", "memory"):
            if resource not in of_container(one, "requests"):
                yield from ((name, one["name"]) for name in (resource, f"requests.{resource}"))
            if resource not in of_container(one, "limits"):
                yield f"limits.{resource}", one["name"]


def _scopes(spec: Thing) -> Iterator[str]:
    """The scopes of quotas that the pod is in, but for those that go by its priority."""
    yield "NotTerminating" if spec.get("activeDeadlineSeconds") is None else "Terminating"
    says = any(
        of_container(one, which).get(name)
        for one in (spec, *containers(spec)) for which in ("requests", "limits")
        for name in ("cpu", "memory")
    )  # fmt: skip
    yield "NotBestEffort" if says else "BestEffort"
    affinity = spec.get("affinity") or {}
    if any("namespaceSelector" in one or one.get("namespaces") for one in _pod_terms(affinity)):
        yield "CrossNamespacePodAffinity"


def _pod_terms(affinity: Thing) -> Iterator[Thing]:
    """Every term about other pods."""
    for which in ("podAffinity", "podAntiAffinity"):
        of_pods = affinity.get(which) or {}
        yield from of_pods.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for one in of_pods.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield one["podAffinityTerm"]


def containers(spec: Thing) -> Iterator[Thing]:
    """All of a pod's containers, those that run before the others too."""
    for which in ("initContainers", "containers"):
        yield from spec.get(which) or ()


def _toleration(given: Thing) -> Toleration:
    wanted = {key: given.get(key) or "" for key in ("key", "value", "effect")}
    return Toleration(operator=given.get("operator") or "Equal", **wanted)


def asked(spec: Thing, which: str) -> dict[str, int]:
    """What a pod asks for as the scheduler counts it: containers together, or the largest of what
    runs before them if that is more; what is set for the pod as a whole counts instead.
    """
    together: Counter[str] = Counter()
    largest: dict[str, int] = {}
    for one in spec.get("initContainers") or ():
        own = of_container(one, which)
        if one.get("restartPolicy") == "Always":  # a sidecar: it stays
            together.update(own)
        before = own if one.get("restartPolicy") != "Always" else {}
        largest = {k: max(largest.get(k, 0), together[k] + before.get(k, 0)) for k in
                   {*largest, *together, *before}}  # fmt: skip
    for one in spec.get("containers") or ():
        together.update(of_container(one, which))
    total = {k: max(together[k], largest.get(k, 0)) for k in {*together, *largest}}
    total |= amounts((spec.get("resources") or {}).get(which))
    extra = amounts(spec.get("overhead"))
    counted = {*total, *extra} if which == "requests" else {*total}
    return {k: total.get(k, 0) + extra.get(k, 0) for k in counted}


def of_container(container: Thing, which: str) -> dict[str, int]:
    """A limit without a request is the request too."""
    given = container.get("resources") or {}
    limits = amounts(given.get("limits"))
    return {**limits, **amounts(given.get("requests"))} if which == "requests" else limits
