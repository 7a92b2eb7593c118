"""Names that Azure would refuse: their letters, their length, and whether somebody has them.

Azure checks an endpoint's name only while it creates the endpoint, minutes into a deployment
(S16). Its letters can be told before; that it is free in the region only Azure can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.facts import AzureFacts
from policies.limits.found import about
from policies.limits.plan import flattened, last
from policies.limits.tables import NameRule, name_rules
from policies.rules.findings import Finding

WIDE = frozenset({"global", "region"})
"""Scopes that are shared with strangers, where a name can be taken by somebody unseen."""


def name_findings(
    plan: Sequence[ArmResource], facts: AzureFacts, state: Sequence[ArmResource] = ()
) -> Iterator[Finding]:
    """What is wrong with the names of ``plan``. Names in ``state`` are ours, and not asked for."""
    ours = {_key(resource) for resource in flattened(state)}
    for resource in flattened(plan):
        rule = name_rules().get(resource.type.lower())
        if rule is None:
            continue
        wrong = shape(resource, rule)
        if wrong:
            yield wrong
        elif rule.scope in WIDE and _key(resource) not in ours:
            yield from uniqueness(resource, rule, facts)


def names_to_ask(
    plan: Sequence[ArmResource], state: Sequence[ArmResource] = ()
) -> tuple[tuple[str, str], ...]:
    """Type and name of what is new in ``plan`` and has to be unique among strangers."""
    ours = {_key(resource) for resource in flattened(state)}
    return tuple(
        (resource.type, last(resource.name))
        for resource in plan
        if _key(resource) not in ours
        and (rule := name_rules().get(resource.type.lower())) is not None
        and rule.scope in WIDE
        and shape(resource, rule) is None
    )


def shape(resource: ArmResource, rule: NameRule) -> Finding | None:
    """What is wrong with the letters of a name."""
    name = last(resource.name)
    if UNKNOWN in name or not name:
        return about(
            resource,
            "GL-NAME-004",
            "a name that the plan knows",
            "a name that is known only after the deployment",
            "Name it in the program, so that it can be checked before",
            guideline=rule.source,
        )
    if rule.shortest <= len(name) <= rule.longest and rule.pattern.fullmatch(name):
        return None
    return about(
        resource,
        "GL-NAME-001",
        f"{rule.shortest} to {rule.longest} characters: {rule.words}",
        f"'{name}', {len(name)} characters",
        "Change the name, or the setting that it is made of",
        guideline=rule.source,
    )


def uniqueness(resource: ArmResource, rule: NameRule, facts: AzureFacts) -> Iterator[Finding]:
    """Whether a name that has to be unique among strangers is."""
    name = last(resource.name)
    free = facts.names.get((resource.type.lower(), name.lower()))
    where = "in the whole of Azure" if rule.scope == "global" else "in the region"
    if free == "taken":
        yield about(
            resource,
            "GL-NAME-003",
            f"a name that nobody has {where}",
            f"'{name}', which is taken ({facts.origin})",
            "Choose another name",
            guideline=rule.source,
        )
    elif free is None:
        yield about(
            resource,
            "GL-NAME-002",
            f"a name that nobody has {where}",
            f"'{name}', unknown whether it is free ({facts.origin})",
            _how_to_know(rule),
            guideline=rule.source,
        )


def _how_to_know(rule: NameRule) -> str:
    if rule.availability:
        return "Run the preview with Azure credentials: it asks Azure"
    return "Azure has no question for it and tells when it creates it: choose a rare name"


def _key(resource: ArmResource) -> tuple[str, str]:
    return resource.type.lower(), resource.name.lower()
