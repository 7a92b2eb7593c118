"""Which resource of a plan refers to which: by its id, or by the engine where ids are unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from policies.arm.resource import ArmResource
from policies.rules.azure.values import is_unknown

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
    """Whether ``reference``, a value of ``source``, is ``target``'s id.

    One that is not known yet counts when the engine says that ``source`` depends on ``target``.
    """
    if is_unknown(reference):
        return bool(target.urn) and target.urn in source.depends_on
    return isinstance(reference, str) and reference.lower().endswith(id_tail(target))


def parent_of(plan: Plan, resource: ArmResource, kind: str) -> ArmResource | None:
    """The resource of type ``kind`` that ``resource`` is a part of, where the plan has it."""
    name = resource.name.rpartition("/")[0].lower()
    return next((one for one in of_type(plan, kind) if one.name.lower() == name), None)


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
