"""Fields that cannot be changed, against the resources as they are now (S18).

A preview shows such a change as an update or a replacement; Azure refuses the update only when
it runs, and a replacement takes all with it that the resource holds. So both are said before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.facts import region_key
from policies.limits.found import about
from policies.limits.plan import flattened
from policies.limits.tables import FixedRule, fixed_rules
from policies.rules.azure.values import SECRET
from policies.rules.findings import Finding, shown


def immutable_changes(
    before: Sequence[ArmResource], after: Sequence[ArmResource]
) -> tuple[Finding, ...]:
    """What of the way from ``before`` to ``after`` Azure refuses or does by replacing.

    Resources are the same where type and name are, or the URN. A field that one side does not
    state is inconclusive: Azure's default may or may not be what the other side says.
    """
    known = {_key(resource): resource for resource in flattened(before)}
    by_urn = {resource.urn: resource for resource in before if resource.urn}
    found: list[Finding] = []
    for resource in flattened(after):
        old = known.get(_key(resource))
        if old is not None:
            found += _changes(old, resource)
        elif resource.urn in by_urn and by_urn[resource.urn].type == resource.type:
            found += _renamed(by_urn[resource.urn], resource)
    return tuple(found)


def _changes(old: ArmResource, new: ArmResource) -> Iterator[Finding]:
    for rule in fixed_rules():
        if rule.type in ("*", new.type) or rule.type.lower() == new.type.lower():
            for path in rule.paths:
                yield from _change(old, new, rule, path)


def _change(old: ArmResource, new: ArmResource, rule: FixedRule, path: str) -> Iterator[Finding]:
    was, will = _plain(path, old.at(path)), _plain(path, new.at(path))
    hidden = UNKNOWN in (was, will) or SECRET in (was, will)
    if (was == will and not hidden) or (was, will) in rule.unless:
        return
    if was is None or will is None or hidden:
        yield _not_stated(new, rule, path, was, will)
        return
    disputed = rule.effect == "conflicting"
    yield about(
        new,
        "GL-FIXED-001",
        f"{path} to stay {_said(was)}",
        f"{_said(will)}; {_consequence(rule)}",
        rule.do,
        guideline=rule.source,
        severity="warn" if disputed else "refuse",
    )


def _consequence(rule: FixedRule) -> str:
    if rule.effect == "conflicting":
        return "pages of Azure's documentation disagree on whether it can be changed"
    lost = f", and with it goes {rule.dear}" if rule.dear else ""
    return f"Azure refuses the change, and a tool that replaces the resource deletes it{lost}"


def _not_stated(resource: ArmResource, rule: FixedRule, path: str, was: Any, will: Any) -> Finding:
    return about(
        resource,
        "GL-FIXED-003",
        f"{path} to be stated as before, since it cannot be changed",
        f"{_said(was)} before and {_said(will)} now, so unknown whether it changes",
        f"State the value that the resource has. If it differs: {rule.do}",
        guideline=rule.source,
    )


def _renamed(old: ArmResource, new: ArmResource) -> Iterator[Finding]:
    if UNKNOWN in new.name:
        return  # the rules for names say so
    yield about(
        new,
        "GL-FIXED-002",
        f"the name to stay '{old.name}'",
        f"'{new.name}': Azure renames nothing, so the resource is replaced",
        "Keep the name, or declare the new resource beside the old one and move to it",
        guideline="https://learn.microsoft.com/azure/azure-resource-manager/management/overview",
    )


def _plain(path: str, value: Any) -> Any:
    """``value`` as it compares: regions in one spelling, lists whatever their order."""
    if path == "location" and isinstance(value, str) and value != UNKNOWN:
        return region_key(value)
    return sorted(map(str, value)) if isinstance(value, list) else value


def _said(value: Any) -> str:
    return "not stated" if value is None else f"'{shown(str(value))}'"


def _key(resource: ArmResource) -> tuple[str, str]:
    return resource.type.lower(), resource.name.lower()
