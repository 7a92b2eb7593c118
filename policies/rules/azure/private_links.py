"""What is closed to the internet can still be reached: each way in is there, and has its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.arm.resource import ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, of_type, refers
from policies.rules.azure.network import is_project
from policies.rules.azure.values import is_unknown, items_at, value_at, value_in
from policies.rules.azure.zones import BATCHES, GROUPS, ZONES
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

_BY_LOWER = {group.lower(): zones for group, zones in ZONES.items()}


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module: none."""
    return ()


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-NET-011",
            title="What is private has its private endpoints",
            expected="for each resource that data goes in and out of, a private endpoint for each "
            "of its group ids: of a storage account blob and file, and beside a batch endpoint "
            "queue and table",
            remedy="Add the one that is missing: with public access off, nothing else reaches it.",
            source=f"{LEARN}/private-link/private-endpoint-overview",
            check=_without_endpoint,
            severity=bounds.when_private,
        ),
        PlanRule(
            id="GL-AZ-NET-012",
            title="A private endpoint has its name in DNS",
            expected="a privateDnsZoneGroup for each private endpoint, with the zones of its "
            "group ids",
            remedy="Add them: without, the public name still leads to the public address.",
            source=f"{LEARN}/private-link/private-endpoint-dns",
            check=_without_dns,
            severity=bounds.when_private,
        ),
    )


def _without_endpoint(plan: Plan) -> Missing:
    there = [
        (one, target, group)
        for one in of_type(plan, kinds.PRIVATE)
        for target, group in _links(one)
    ]
    batches = BATCHES if any(of_type(plan, kinds.BATCH)) else ()
    for resource in of_type(plan, *GROUPS):
        reached = {group for one, target, group in there if refers(one, target, resource)}
        needed = (*GROUPS[resource.type], *(batches if resource.type == kinds.STORAGE else ()))
        missing = [group for group in needed if group not in reached]
        if missing and not is_project(resource):
            yield resource, f"no private endpoint in the plan for its {', '.join(missing)}"


def _links(endpoint: ArmResource) -> Iterator[tuple[Any, str]]:
    """What an endpoint leads to, and the group id there, in lower case."""
    for link in items_at(endpoint, "properties.privateLinkServiceConnections"):
        groups = value_in(link, "properties.groupIds", [])
        for group in groups if isinstance(groups, list | tuple) else ():
            yield value_in(link, "properties.privateLinkServiceId", ""), str(group).lower()


def _without_dns(plan: Plan) -> Missing:
    groups = {one.name.rpartition("/")[0].lower(): one for one in of_type(plan, kinds.DNS_GROUP)}
    zones = list(of_type(plan, kinds.ZONE))
    for endpoint in of_type(plan, kinds.PRIVATE):
        group = groups.get(endpoint.name.lower())
        if group is None:
            yield endpoint, "no privateDnsZoneGroup in the plan that belongs to it"
        elif found := _misnamed(endpoint, group, zones):
            yield endpoint, found


def _misnamed(endpoint: ArmResource, group: ArmResource, zones: list[ArmResource]) -> str | None:
    """What is wrong with the zones of an endpoint's group, if anything."""
    linked = {name for _, name in _links(endpoint)}
    strangers = sorted(linked - set(_BY_LOWER))
    if strangers or not linked:
        return f"groupIds: {shown(', '.join(strangers)) or 'none'}, which have no known zones"
    region = str(value_at(endpoint, "location", "")).replace(" ", "").lower()
    needed = {zone.format(region=region) for name in linked for zone in _BY_LOWER[name]}
    missing = sorted(zone for zone in needed if not _names(group, zone, zones))
    return f"no zone {missing[0]} in its privateDnsZoneGroup" if missing else None


def _names(group: ArmResource, wanted: str, zones: list[ArmResource]) -> bool:
    """Whether a zone group names the zone ``wanted``, by its id or as the engine knows it."""
    ids = [
        value_in(one, "properties.privateDnsZoneId", "")
        for one in items_at(group, "properties.privateDnsZoneConfigs")
    ]
    known = [str(one).rpartition("/")[2].lower() for one in ids if not is_unknown(one)]
    made = (one for one in zones if one.name.lower() == wanted)
    return wanted in known or any(refers(group, ref, zone) for zone in made for ref in ids)
