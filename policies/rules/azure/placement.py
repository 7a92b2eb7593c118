"""Where it runs: in regions that data may be in, and nothing that the rules have never met."""

from __future__ import annotations

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.values import (
    differs,
    equals,
    items_at,
    said,
    value_at,
    value_in,
    where,
)
from policies.rules.findings import shown
from policies.rules.rule import EVERY, PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

TRAVELLING = ("GlobalStandard", "GlobalProvisionedManaged", "GlobalBatch")
"""Kinds of deployments whose requests any region may answer."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_regions(bounds), *_prompts(), *_events(), *_types())


def _regions(bounds: Bounds) -> tuple[Rule, ...]:
    allowed = ", ".join(bounds.regions)
    return (
        Rule(
            id="GL-AZ-LOC-001",
            title="Everything is in an allowed region",
            types=kinds.REGIONAL,
            expected=f"location: {allowed}",
            remedy="Move it, or have the region added to allowedLocations.",
            source=f"{LEARN}/cloud-adoption-framework/ready/azure-setup-guide/regions",
            check=lambda resource: _outside(resource, bounds.regions),
        ),
        Rule(
            id="GL-AZ-LOC-002",
            title="A model registry copies to allowed regions only",
            types=(kinds.MODELS,),
            expected=f"regionDetails in {allowed}",
            remedy="Remove the region, or have it added to allowedLocations.",
            source=f"{LEARN}/machine-learning/how-to-manage-registries",
            check=lambda resource: _copied_outside(resource, bounds.regions),
        ),
    )


def _prompts() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-LOC-003",
            title="Prompts stay in the region",
            types=(kinds.OPENAI_DEPLOYMENT,),
            expected="a deployment type whose requests stay in the region or the data zone",
            remedy="Take Standard, or keep it with the reason that these data may travel.",
            source=f"{LEARN}/ai-foundry/openai/how-to/deployment-types",
            check=differs("sku.name", *TRAVELLING, default="Standard"),
            severity="warn",
        ),
    )


def _events() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-EVT-001",
            title="Event Hubs can be private",
            types=(kinds.EVENTS,),
            expected="sku.name: Standard or Premium",
            remedy="Set it: Basic has no private endpoints and one consumer group.",
            source=f"{LEARN}/event-hubs/compare-tiers",
            check=equals("sku.name", "Standard", "Premium", default="Basic"),
        ),
        Rule(
            id="GL-AZ-EVT-002",
            title="Event Hubs grows before it throttles",
            types=(kinds.EVENTS,),
            expected="isAutoInflateEnabled: true on Standard",
            remedy="Set it with maximumThroughputUnits, or take Premium.",
            source=f"{LEARN}/event-hubs/event-hubs-auto-inflate",
            check=where(
                lambda one: str(value_at(one, "sku.name", "")).lower() != "premium",
                equals("properties.isAutoInflateEnabled", True, default=False),
            ),
            severity="warn",
        ),
    )


def _types() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-GEN-001",
            title="The rules know every type",
            types=EVERY,
            expected="types that are in policies/rules/azure/kinds.py",
            remedy="Add the type there, and the rules that it needs: nothing goes by unjudged.",
            source=f"{LEARN}/templates/",
            check=_stranger,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _outside(resource: ArmResource, regions: tuple[str, ...]) -> str | None:
    location = value_at(resource, "location", "")
    near = str(location).replace(" ", "").lower()
    return None if near in regions else said("location", location or "none")


def _copied_outside(resource: ArmResource, regions: tuple[str, ...]) -> str | None:
    for one in items_at(resource, "properties.regionDetails"):
        location = value_in(one, "location", UNKNOWN)
        if str(location).replace(" ", "").lower() not in regions:
            return said("regionDetails.location", location)
    return None


def _stranger(resource: ArmResource) -> str | None:
    return None if resource.type in kinds.KNOWN else f"the type {shown(resource.type)}"
