"""What it costs is known and somebody's: a budget that tells, tags that say whose it is."""

from __future__ import annotations

from collections.abc import Mapping

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, of_type
from policies.rules.azure.values import value_at, value_in
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

TAGS = ("environment", "owner", "cost-centre", "data-classification", "managed-by")

CONTACTS = ("contactEmails", "contactGroups", "contactRoles")


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        Rule(
            id="GL-AZ-TAG-001",
            title="Everything says whose it is",
            types=kinds.TAGGED,
            expected=f"the tags {', '.join(TAGS)}, none of them empty",
            remedy="Give the resource the stack's tags.",
            source=f"{LEARN}/cloud-adoption-framework/ready/azure-best-practices/resource-tagging",
            check=_untagged,
        ),
        Rule(
            id="GL-AZ-TAG-002",
            title="Everything says where it belongs",
            types=kinds.TAGGED,
            expected=f"the tag environment: {' or '.join(bounds.environments)}",
            remedy="Give the resource the stack's tags.",
            source=f"{LEARN}/cloud-adoption-framework/ready/azure-best-practices/resource-tagging",
            check=lambda resource: _elsewhere(resource, bounds.environments),
        ),
        Rule(
            id="GL-AZ-CST-001",
            title="A budget tells somebody",
            types=(kinds.BUDGET,),
            expected="a notification that is enabled and has contacts",
            remedy="Add one with contactEmails, contactGroups or contactRoles.",
            source=f"{LEARN}/cost-management-billing/costs/tutorial-acm-create-budgets",
            check=_quiet_budget,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-CST-002",
            title="There is a budget",
            expected="a budget in every plan that makes a resource group",
            remedy="Add one; `budget` in the stack's settings says how much.",
            source=f"{LEARN}/cost-management-billing/costs/tutorial-acm-create-budgets",
            check=_no_budget,
        ),
    )


def _tags(resource: ArmResource) -> str:
    """Where its tags are: a pool's lie with its properties, to be handed on to the machines."""
    return "properties.tags" if resource.type == kinds.POOL else "tags"


def _untagged(resource: ArmResource) -> str | None:
    tags = value_at(resource, _tags(resource), {})
    if not isinstance(tags, Mapping):
        return "tags that are not known yet"
    missing = [name for name in TAGS if value_in(tags, name) in (None, "", UNKNOWN)]
    return f"no {', '.join(missing)}" if missing else None


def _elsewhere(resource: ArmResource, environments: tuple[str, ...]) -> str | None:
    found = value_at(resource, f"{_tags(resource)}.environment", "")
    return None if found in environments else f"environment: {shown(str(found)) or 'none'}"


def _quiet_budget(budget: ArmResource) -> str | None:
    notifications = value_at(budget, "properties.notifications", {})
    if notifications == UNKNOWN or not isinstance(notifications, Mapping):
        return "notifications that are not known yet"
    heard = any(
        value_in(one, "enabled") is True
        and any(isinstance(value_in(one, who), list) and value_in(one, who) for who in CONTACTS)
        for one in notifications.values()
    )
    return None if heard else f"{len(notifications)} notifications, none that tells somebody"


def _no_budget(plan: Plan) -> Missing:
    groups = list(of_type(plan, kinds.GROUP))
    if groups and not any(of_type(plan, kinds.BUDGET)):
        yield min(groups, key=lambda one: one.name), "no budget in the plan"
