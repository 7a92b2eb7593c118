"""The cluster stays up, stays patched, and keeps its pods apart."""

from __future__ import annotations

from typing import Any

from policies.arm.resource import UNKNOWN
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.network import for_pools
from policies.rules.azure.values import (
    equals,
    is_true,
    said,
    value_in,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

SYSTEM_NODES = 2
"""Nodes that the cluster's own services need at least to outlive one of them."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_policy(), *_upgrades(), *_metrics(), *_system_pool(bounds), *_control_plane(bounds))


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _policy() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AKS-001",
            title="A network policy keeps pods apart",
            types=(kinds.CLUSTER,),
            expected="networkProfile.networkPolicy: cilium, calico or azure",
            remedy="Set it; without one every pod reaches every other.",
            source=f"{LEARN}/aks/use-network-policies",
            check=equals(
                "properties.networkProfile.networkPolicy",
                "cilium",
                "calico",
                "azure",
                default="none",
            ),
        ),
    )


def _upgrades() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AKS-002",
            title="Kubernetes is upgraded by itself",
            types=(kinds.CLUSTER,),
            expected="autoUpgradeProfile.upgradeChannel: patch, stable, rapid or node-image",
            remedy="Set it to patch: minor versions stay in the settings.",
            source=f"{LEARN}/aks/auto-upgrade-cluster",
            check=equals(
                "properties.autoUpgradeProfile.upgradeChannel",
                "patch",
                "stable",
                "rapid",
                "node-image",
                default="none",
            ),
        ),
        Rule(
            id="GL-AZ-AKS-003",
            title="Nodes are patched by themselves",
            types=(kinds.CLUSTER,),
            expected="autoUpgradeProfile.nodeOSUpgradeChannel: NodeImage or SecurityPatch",
            remedy="Remove it or set it to NodeImage.",
            source=f"{LEARN}/aks/auto-upgrade-node-os-image",
            check=equals(
                "properties.autoUpgradeProfile.nodeOSUpgradeChannel",
                "NodeImage",
                "SecurityPatch",
                default="NodeImage",
            ),
        ),
    )


def _metrics() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AKS-004",
            title="Azure Monitor collects the cluster's metrics",
            types=(kinds.CLUSTER,),
            expected="azureMonitorProfile.metrics.enabled: true",
            remedy="Set it: alerts on GPUs and on the model server read from there.",
            source=f"{LEARN}/azure-monitor/containers/kubernetes-monitoring-enable",
            check=is_true("properties.azureMonitorProfile.metrics.enabled"),
        ),
    )


def _system_pool(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AKS-005",
            title="The system pool spans zones",
            types=(kinds.CLUSTER, kinds.POOL),
            expected="two or more availabilityZones in a pool of mode System",
            remedy="Set them when the pool is made; they cannot be changed.",
            source=f"{LEARN}/aks/reliability-availability-zones-configure",
            check=for_pools(_one_zone),
            severity=bounds.when_production,
        ),
        Rule(
            id="GL-AZ-AKS-006",
            title="The system pool outlives a node",
            types=(kinds.CLUSTER, kinds.POOL),
            expected=f"a count, or minCount, of {SYSTEM_NODES} or more in a pool of mode System",
            remedy="Set it: one node that is drained takes DNS with it.",
            source=f"{LEARN}/aks/use-system-pools",
            check=for_pools(_few_nodes),
            severity=bounds.when_production,
        ),
    )


def _control_plane(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-AKS-007",
            title="The API server has an uptime agreement",
            types=(kinds.CLUSTER,),
            expected="sku.tier: Standard or Premium",
            remedy="Set it.",
            source=f"{LEARN}/aks/free-standard-pricing-tiers",
            check=equals("sku.tier", "Standard", "Premium", default="Free"),
            severity=bounds.when_production,
        ),
        Rule(
            id="GL-AZ-AKS-008",
            title="The cluster has no service principal",
            types=(kinds.CLUSTER,),
            expected="no servicePrincipalProfile of its own",
            remedy="Remove it, and give the cluster a user-assigned identity.",
            source=f"{LEARN}/aks/managed-identity-overview",
            check=equals("properties.servicePrincipalProfile.clientId", "msi", default="msi"),
        ),
    )


def _system(pool: Any) -> bool:
    return value_in(pool, "mode", "User") in ("System", UNKNOWN)


def _one_zone(pool: Any) -> str | None:
    zones = value_in(pool, "availabilityZones", [])
    listed = zones if isinstance(zones, list | tuple) else ()
    several = len({one for one in listed if isinstance(one, str | int)}) > 1
    return None if several or not _system(pool) else said("availabilityZones", zones)


def _few_nodes(pool: Any) -> str | None:
    name = "minCount" if value_in(pool, "enableAutoScaling", False) is True else "count"
    count = value_in(pool, name, 1)
    enough = isinstance(count, int | float) and count >= SYSTEM_NODES
    return None if enough or not _system(pool) else said(name, count)
