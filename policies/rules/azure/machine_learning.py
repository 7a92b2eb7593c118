"""Azure ML: a network of its own, and endpoints whose traffic belongs to the pipeline."""

from __future__ import annotations

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, of_type
from policies.rules.azure.network import is_project
from policies.rules.azure.values import (
    equals,
    is_false,
    said,
    value_at,
    where,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

ISOLATED = ("AllowOnlyApprovedOutbound", "AllowInternetOutbound")


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_managed_network(bounds), *_ways_around(bounds), *_endpoints())


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-AML-006",
            title="One network decides what a deployment reaches",
            expected="no egressPublicNetworkAccess below a workspace with a managed network",
            remedy="Remove it: Azure refuses the two together, after minutes.",
            source=f"{LEARN}/machine-learning/concept-secure-online-endpoint",
            check=_two_networks,
        ),
    )


def _managed_network(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AML-001",
            title="The workspace has a managed network",
            types=(kinds.WORKSPACE,),
            expected="managedNetwork.isolationMode: AllowOnlyApprovedOutbound, or "
            "AllowInternetOutbound",
            remedy="Set it; it cannot be taken back.",
            source=f"{LEARN}/machine-learning/how-to-managed-network",
            check=where(
                lambda one: not is_project(one),
                equals("properties.managedNetwork.isolationMode", *ISOLATED, default="Disabled"),
            ),
            severity=bounds.when_private,
        ),
        Rule(
            id="GL-AZ-AML-002",
            title="Only approved destinations are reached",
            types=(kinds.WORKSPACE,),
            expected="managedNetwork.isolationMode: AllowOnlyApprovedOutbound",
            remedy="Set it, and name the hosts that are needed as outbound rules.",
            source=f"{LEARN}/machine-learning/how-to-managed-network",
            check=where(
                lambda one: not is_project(one),
                equals("properties.managedNetwork.isolationMode", ISOLATED[0], default="Disabled"),
            ),
            severity="warn",
        ),
    )


def _ways_around(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AML-003",
            title="The workspace's own API is behind its network too",
            types=(kinds.WORKSPACE,),
            expected="v1LegacyMode: false",
            remedy="Remove it: it keeps new operations outside the network's rules.",
            source=f"{LEARN}/machine-learning/how-to-configure-network-isolation-with-v2",
            check=is_false("properties.v1LegacyMode"),
        ),
        Rule(
            id="GL-AZ-AML-004",
            title="A workspace in a network stays there",
            types=(kinds.WORKSPACE,),
            expected="allowPublicAccessWhenBehindVnet: false",
            remedy="Remove it: it opens the workspace past its private endpoint.",
            source=f"{LEARN}/machine-learning/how-to-configure-private-link",
            check=is_false("properties.allowPublicAccessWhenBehindVnet"),
            severity=bounds.when_private,
        ),
    )


def _endpoints() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AML-005",
            title="A plan never moves traffic",
            types=(kinds.ONLINE,),
            expected="no traffic and no mirrorTraffic in the endpoint's shell",
            remedy="Remove both: they belong to the pipeline, and an update would erase them.",
            source=f"{LEARN}/machine-learning/how-to-safely-rollout-online-endpoints",
            check=_traffic,
        ),
        Rule(
            id="GL-AZ-AML-007",
            title="A serverless endpoint filters its content",
            types=(kinds.SERVERLESS,),
            expected="contentSafety.contentSafetyStatus: Enabled",
            remedy="Remove it or set it to Enabled.",
            source=f"{LEARN}/machine-learning/concept-endpoint-serverless-availability",
            check=equals(
                "properties.contentSafety.contentSafetyStatus", "Enabled", default="Enabled"
            ),
        ),
    )


def _traffic(resource: ArmResource) -> str | None:
    for name in ("traffic", "mirrorTraffic"):
        value = value_at(resource, f"properties.{name}", {})
        if value:
            return said(name, value)
    return None


def _two_networks(plan: Plan) -> Missing:
    workspaces = {one.name.lower(): one for one in of_type(plan, kinds.WORKSPACE)}
    for deployment in of_type(plan, kinds.DEPLOYMENT):
        egress = value_at(deployment, "properties.egressPublicNetworkAccess")
        workspace = workspaces.get(deployment.name.partition("/")[0].lower())
        mode = _isolation(workspace)
        if egress is not None and mode != "Disabled":
            yield deployment, f"egressPublicNetworkAccess {egress}, isolationMode {mode}"


def _isolation(workspace: ArmResource | None) -> str:
    if workspace is None or is_project(workspace):
        return UNKNOWN
    return str(value_at(workspace, "properties.managedNetwork.isolationMode", "Disabled"))
