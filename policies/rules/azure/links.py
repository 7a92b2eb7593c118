"""Which resource of a plan refers to which: by its id, or by the engine where ids are unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.values import is_unknown, items_at, value_in

Plan = Sequence[ArmResource]
Missing = Iterator[tuple[ArmResource | None, str]]


def of_type(plan: Plan, *types: str) -> Iterator[ArmResource]:
    """The resources of the plan that are of one of ``types``."""
    return (one for one in plan if one.type in types)


def id_tail(resource: ArmResource) -> str:
    """The end of its Azure id, in lower case: ``/microsoft.x/accounts/a/deployments/b``."""
    provider, *kinds = resource.type.split("/")
    names = resource.name.split("/")
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=False))
    return f"/{provider}/{pairs}".lower()


def refers(source: ArmResource, reference: Any, target: ArmResource) -> bool:
    """Whether ``reference``, a value of ``source``, is ``target``'s id, or the end of it.

    One that is not known yet counts when the engine says that ``source`` depends on ``target``.
    """
    if not isinstance(reference, str):
        return False
    if is_unknown(reference) or UNKNOWN in (*reference.split("/"), *target.name.split("/")):
        return bool(target.urn) and target.urn in source.depends_on
    return f"/{reference}".lower().endswith(id_tail(target))


def part_of(part: ArmResource, whole: ArmResource) -> bool:
    """Whether ``part`` carries ``whole``'s name before its own; as ``refers`` where unknown."""
    parent = part.name.rpartition("/")[0]
    if UNKNOWN in parent.split("/") or UNKNOWN in whole.name.split("/"):
        return bool(whole.urn) and whole.urn in part.depends_on
    return parent.lower() == whole.name.lower()


def pools_of(resource: ArmResource) -> tuple[ArmResource, ...]:
    """A pool as it is; of a cluster, each of its ``agentPoolProfiles`` as if it were a pool.

    Such a pool keeps the cluster's URN and line, so that a finding leads to where it is written.
    """
    if resource.type == kinds.POOL:
        return (resource,)
    return tuple(
        replace(
            resource,
            type=kinds.POOL,
            name=f"{resource.name}/{value_in(profile, 'name', UNKNOWN)}",
            body={"properties": profile},
            depends_on=(*resource.depends_on, resource.urn),
        )
        for profile in items_at(resource, "properties.agentPoolProfiles")
    )


def pools(plan: Plan) -> Iterator[ArmResource]:
    """Every pool of the plan, those that are written within their cluster too."""
    return (pool for one in of_type(plan, kinds.POOL, kinds.CLUSTER) for pool in pools_of(one))


def depends(plan: Plan, resource: ArmResource) -> frozenset[str]:
    """The URNs that ``resource`` waits for, over any number of steps."""
    waits = {one.urn: one.depends_on for one in plan if one.urn}
    seen: set[str] = set()
    ahead = list(resource.depends_on)
    while ahead:
        urn = ahead.pop()
        if urn not in seen:
            seen.add(urn)
            ahead.extend(waits.get(urn, ()))
    return frozenset(seen)
