"""What happened can be read afterwards: logs go somewhere, and are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, of_type, refers
from policies.rules.azure.values import (
    items_at,
    said,
    value_at,
    value_in,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

LOGGED = (
    kinds.VAULT, kinds.REGISTRY, kinds.WORKSPACE, kinds.ONLINE, kinds.CLUSTER, kinds.ACCOUNT,
    kinds.EVENTS, kinds.BLOBS,
)  # fmt: skip
"""Types that say in logs who did what, or what failed."""

DESTINATIONS = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId")
RETENTION_DAYS = 30
"""Days that Azure keeps logs without further cost, and its default."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        Rule(
            id="GL-AZ-DGN-001",
            title="Diagnostics go somewhere",
            types=(kinds.DIAGNOSTICS,),
            expected="workspaceId, storageAccountId or eventHubAuthorizationRuleId",
            remedy="Name the stack's Log Analytics workspace.",
            source=f"{LEARN}/azure-monitor/platform/diagnostic-settings",
            check=_nowhere,
        ),
        Rule(
            id="GL-AZ-DGN-002",
            title="Diagnostics have logs on",
            types=(kinds.DIAGNOSTICS,),
            expected="at least one entry of logs with enabled: true",
            remedy="Enable the category group `audit` or `allLogs`.",
            source=f"{LEARN}/azure-monitor/platform/diagnostic-settings",
            check=_no_logs,
        ),
        Rule(
            id="GL-AZ-DGN-003",
            title="Logs are kept for a while",
            types=(kinds.LOGS,),
            expected=f"retentionInDays: {RETENTION_DAYS} or more",
            remedy="Remove it or set it to what your auditors ask for.",
            source=f"{LEARN}/azure-monitor/logs/data-retention-configure",
            check=_short_retention,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-DGN-004",
            title="What is used is logged",
            expected="a diagnostic setting for each resource that says who did what",
            remedy="Add one that sends its logs to the stack's workspace.",
            source=f"{LEARN}/azure-monitor/platform/diagnostic-settings",
            check=_unlogged,
        ),
    )


def _nowhere(resource: ArmResource) -> str | None:
    # An id that is not known before the plan runs is a destination: there will be one.
    properties = value_at(resource, "properties", {})
    known = isinstance(properties, Mapping)
    named = known and any(value_in(properties, name) for name in DESTINATIONS)
    return None if named else "no destination"


def _no_logs(resource: ArmResource) -> str | None:
    logs: list[Any] = items_at(resource, "properties.logs")
    on = any(value_in(one, "enabled") is True for one in logs)
    return None if on else f"{len(logs)} entries of logs, none of them enabled"


def _short_retention(resource: ArmResource) -> str | None:
    days = value_at(resource, "properties.retentionInDays", RETENTION_DAYS)
    enough = isinstance(days, int | float) and days >= RETENTION_DAYS
    return None if enough else said("retentionInDays", days)


def _unlogged(plan: Plan) -> Missing:
    settings = list(of_type(plan, kinds.DIAGNOSTICS))
    for resource in of_type(plan, *LOGGED):
        if not any(refers(one, one.scope or UNKNOWN, resource) for one in settings):
            yield resource, "no diagnostic setting in the plan that hangs on it"
