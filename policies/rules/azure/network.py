"""Who can reach it: nothing is open to the internet, and what is private can be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.addresses import anybody, as_range
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import pools_of
from policies.rules.azure.values import (
    all_of,
    differs,
    equals,
    is_false,
    is_true,
    is_unknown,
    items_at,
    said,
    value_at,
    value_in,
    where,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

_API_SERVER = "properties.apiServerAccessProfile"

CLOSED = ("Disabled", "SecuredByPerimeter")
"""Values of publicNetworkAccess that let nobody in from the internet."""

PRIVATE = (
    kinds.STORAGE, kinds.VAULT, kinds.REGISTRY, kinds.WORKSPACE, kinds.MODELS, kinds.ACCOUNT,
    kinds.EVENTS,
)  # fmt: skip
"""Types that data or models go in and out of, and that take private endpoints."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        *_data(bounds),
        *_operators(),
        *_network_rules(bounds),
        *_anonymous(),
        *_api_server(bounds),
        *_nodes(bounds),
    )


def _data(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-001",
            title="No access from public networks",
            types=PRIVATE,
            expected="publicNetworkAccess: Disabled",
            remedy="Set it, and reach the resource through its private endpoint.",
            source=f"{LEARN}/private-link/private-endpoint-overview",
            check=where(
                lambda one: not _as_its_hub(one),
                equals("properties.publicNetworkAccess", *CLOSED, default="Enabled"),
            ),
            severity=bounds.when_private,
        ),
        Rule(
            id="GL-AZ-NET-002",
            title="No scoring from public networks",
            types=(kinds.ONLINE,),
            expected="publicNetworkAccess: Disabled on a managed online endpoint",
            remedy="Set it: requests then come through the workspace's private endpoint.",
            source=f"{LEARN}/machine-learning/concept-secure-online-endpoint",
            check=where(
                is_managed,
                equals("properties.publicNetworkAccess", "Disabled", default="Enabled"),
            ),
            severity=bounds.when_private,
        ),
    )


def _operators() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-003",
            title="Dashboards and metrics are not read over public networks",
            types=(kinds.GRAFANA, kinds.MONITOR),
            expected="publicNetworkAccess: Disabled",
            remedy="Set it where operators have a way into the network.",
            source=f"{LEARN}/managed-grafana/how-to-set-up-private-access",
            check=equals("properties.publicNetworkAccess", "Disabled", default="Enabled"),
            severity="warn",
        ),
    )


def _network_rules(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-004",
            title="Network rules deny what they do not name",
            types=(kinds.STORAGE, kinds.VAULT, kinds.ACCOUNT),
            expected="networkAcls.defaultAction: Deny",
            remedy="Set it: it still holds when somebody opens the public door for an hour.",
            source=f"{LEARN}/storage/common/storage-network-security",
            check=equals("properties.networkAcls.defaultAction", "Deny", default="Allow"),
            severity=bounds.when_private,
        ),
    )


def _anonymous() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-005",
            title="Blobs are never public",
            types=(kinds.STORAGE,),
            expected="allowBlobPublicAccess: false",
            remedy="Remove it or set it to false.",
            source=f"{LEARN}/storage/blobs/anonymous-read-access-prevent",
            check=is_false("properties.allowBlobPublicAccess"),
        ),
        Rule(
            id="GL-AZ-NET-006",
            title="No inbound rule for the whole internet",
            types=(kinds.FIREWALL,),
            expected="inbound rules that allow named sources only",
            remedy="Name the addresses or the service tag that has to come in.",
            source=f"{LEARN}/security/fundamentals/network-best-practices",
            check=_open_to_all,
        ),
    )


def _api_server(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-007",
            title="The cluster's API server is private",
            types=(kinds.CLUSTER,),
            expected="apiServerAccessProfile.enablePrivateCluster: true",
            remedy="Set it; it cannot be changed on a cluster that exists.",
            source=f"{LEARN}/aks/private-clusters",
            check=is_true("properties.apiServerAccessProfile.enablePrivateCluster"),
            severity=bounds.when_private,
        ),
        Rule(
            id="GL-AZ-NET-013",
            title="The cluster's API server is not for everybody",
            types=(kinds.CLUSTER,),
            expected="a private API server, or authorizedIPRanges that somebody holds: none wider "
            "than a /8",
            remedy="Set enablePrivateCluster, or name the ranges of those who operate it.",
            source=f"{LEARN}/aks/api-server-authorized-ip-ranges",
            check=_for_everybody,
        ),
        Rule(
            id="GL-AZ-NET-008",
            title="No way around the private API server",
            types=(kinds.CLUSTER,),
            expected="apiServerAccessProfile.disableRunCommand: true",
            remedy="Set it: `az aks command invoke` reaches a private cluster from anywhere.",
            source=f"{LEARN}/aks/access-private-cluster",
            check=is_true("properties.apiServerAccessProfile.disableRunCommand"),
            severity=bounds.when_private,
        ),
    )


def _nodes(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-NET-009",
            title="Nodes have no public addresses",
            types=(kinds.CLUSTER, kinds.POOL),
            expected="enableNodePublicIP: false",
            remedy="Remove it or set it to false.",
            source=f"{LEARN}/aks/use-node-public-ips",
            check=for_pools(_public_node),
        ),
        Rule(
            id="GL-AZ-NET-010",
            title="Azure ML's machines have no public addresses",
            types=(kinds.COMPUTE,),
            expected="enableNodePublicIp: false and remoteLoginPortPublicAccess: Disabled",
            remedy="Set both on clusters and instances.",
            source=f"{LEARN}/machine-learning/how-to-secure-training-vnet",
            check=where(
                _has_machines,
                all_of(
                    is_false("properties.properties.enableNodePublicIp", default=True),
                    differs("properties.properties.remoteLoginPortPublicAccess", "Enabled"),
                ),
            ),
            severity=bounds.when_private,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def is_managed(resource: ArmResource) -> bool:
    """Whether an online endpoint runs on Azure's machines; a ``compute`` makes it the cluster's."""
    return value_at(resource, "properties.compute", "") in ("", UNKNOWN)


def _as_its_hub(resource: ArmResource) -> bool:
    """Whether it says nothing of its own about who reaches it, and so is reached as its hub is."""
    silent = value_at(resource, "properties.publicNetworkAccess") is None
    return is_project(resource) and silent


def is_project(resource: ArmResource) -> bool:
    """Whether a workspace is a project, which has its hub's network, storage and keys."""
    return str(value_at(resource, "kind", "")).lower() == "project"


def for_pools(check: Callable[[Any], str | None]) -> Callable[[ArmResource], str | None]:
    """``check`` over a pool's properties, or over those of each pool within a cluster."""

    def judge(resource: ArmResource) -> str | None:
        pools = (value_at(one, "properties", {}) for one in pools_of(resource))
        return next((found for pool in pools if (found := check(pool))), None)

    return judge


def _public_node(pool: Any) -> str | None:
    value = value_in(pool, "enableNodePublicIP", False)
    return None if value is False else said("enableNodePublicIP", value)


def _has_machines(resource: ArmResource) -> bool:
    kind = value_at(resource, "properties.computeType", UNKNOWN)
    return kind in ("AmlCompute", "ComputeInstance", UNKNOWN)


def _open_to_all(resource: ArmResource) -> str | None:
    allowed: list[str] = []
    for rule in items_at(resource, "properties.securityRules"):
        body = value_in(rule, "properties", {})
        if is_unknown(rule) or is_unknown(body):
            return "a rule that is not known yet"
        sources = _let_in(body)
        if any(is_unknown(one) for one in sources) or anybody(sources):
            return f"{value_in(rule, 'name', 'a rule')}, which lets everybody in"
        allowed += sources
    return "rules that together let everybody in" if anybody(allowed) else None


def _let_in(rule: Any) -> list[str]:
    """The sources that a rule lets in: none where it denies, or is about the way out."""
    outbound = str(value_in(rule, "direction", "")).lower() == "outbound"
    denies = str(value_in(rule, "access", "")).lower() == "deny"
    many = value_in(rule, "sourceAddressPrefixes", [])
    sources = [
        value_in(rule, "sourceAddressPrefix", ""),
        *(many if isinstance(many, list) else "*"),
    ]
    return [] if outbound or denies else [str(one) for one in sources]


def _for_everybody(cluster: ArmResource) -> str | None:
    if value_at(cluster, f"{_API_SERVER}.enablePrivateCluster", False) is True:
        return None
    ranges = [str(one) for one in items_at(cluster, f"{_API_SERVER}.authorizedIPRanges")]
    if not ranges:
        return "neither a private API server nor authorizedIPRanges"
    strange = [one for one in ranges if as_range(one) is None]
    if strange:
        return said("authorizedIPRanges", UNKNOWN if is_unknown(strange[0]) else strange[0])
    return f"authorizedIPRanges of everybody: {', '.join(ranges)}" if anybody(ranges) else None
