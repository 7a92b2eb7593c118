"""Pools of GPU nodes: from zero, because idle GPUs cost, and kept free of all that needs none.

A pool's size and taints are fixed when it is made. One with ``driver: install`` gets NVIDIA's
driver from AKS and still needs a device plugin in the cluster, or its nodes never offer a GPU;
one with ``driver: none`` needs NVIDIA's GPU operator, which brings both. The label says which, for
the objects in the cluster to select by, and an alert (prometheus_rules.py) finds nodes that offer
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import containerservice as aks

from infra.azure.cluster import MAX_PODS
from infra.azure.cluster_settings import Cluster as ClusterSettings
from infra.azure.cluster_settings import GpuPool as Settings
from infra.azure.context import Context

GPU_TAINT = "sku=gpu:NoSchedule"
GPU_LABEL = "greenlight.dev/gpu"
DRIVER_LABEL = "greenlight.dev/gpu-driver"
DEVICE_PLUGIN = {"install": "nvidia-device-plugin", "none": "gpu-operator"}
"""What offers the GPUs to pods, by the pool's driver setting."""


@dataclass(frozen=True)
class GpuPoolsArgs:
    """``cluster``: the cluster's name; ``nodes``: the id of the subnet."""

    settings: ClusterSettings
    cluster: pulumi.Input[str]
    nodes: pulumi.Input[str]


class GpuPools(pulumi.ComponentResource):
    """The GPU pools of a cluster, by name."""

    pools: Mapping[str, aks.AgentPool]

    def __init__(
        self,
        name: str,
        context: Context,
        args: GpuPoolsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:GpuPools", name, None, opts)
        self.pools = {
            pool.name: self._pool(pool, context, args) for pool in args.settings.gpu_pools
        }
        self.register_outputs({"pools": list(self.pools)})

    def _pool(self, pool: Settings, context: Context, args: GpuPoolsArgs) -> aks.AgentPool:
        return aks.AgentPool(
            pool.name,
            agent_pool_name=pool.name,
            resource_name_=args.cluster,
            resource_group_name=context.group,
            mode=aks.AgentPoolMode.USER,
            type=aks.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            vm_size=pool.size,
            os_type=aks.OSType.LINUX,
            os_sku=aks.OSSKU.UBUNTU if pool.os == "Ubuntu" else aks.OSSKU.AZURE_LINUX,
            os_disk_type=aks.OSDiskType.MANAGED,
            os_disk_size_gb=pool.os_disk_gib,
            enable_auto_scaling=True,
            count=pool.min_count,
            min_count=pool.min_count,
            max_count=pool.max_count,
            availability_zones=list(pool.zones) or None,
            max_pods=MAX_PODS,
            gpu_instance_profile=pool.mig_profile,
            gpu_profile=_driver(pool),
            node_labels=labels(pool),
            node_taints=taints(pool),
            vnet_subnet_id=args.nodes,
            enable_encryption_at_host=args.settings.encryption_at_host,
            enable_node_public_ip=False,
            upgrade_settings=_upgrade(),
            tags=context.tags,
            **_priority(pool),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["count"]),
        )


def labels(pool: Settings) -> dict[str, str]:
    """The nodes' labels; the pool's own never hide which driver it has."""
    return {**pool.labels, GPU_LABEL: "true", DRIVER_LABEL: pool.driver}


def taints(pool: Settings) -> list[str]:
    """The GPU taint first, always; then the pool's own, each once."""
    return list(dict.fromkeys((GPU_TAINT, *pool.taints)))


def _driver(pool: Settings) -> aks.GPUProfileArgs:
    installed = pool.driver == "install"
    return aks.GPUProfileArgs(driver=aks.GPUDriver.INSTALL if installed else aks.GPUDriver.NONE)


def _priority(pool: Settings) -> dict[str, Any]:
    """Spot machines are deleted when Azure takes them; only they have an eviction policy."""
    if not pool.spot:
        return {"scale_set_priority": aks.ScaleSetPriority.REGULAR}
    return {
        "scale_set_priority": aks.ScaleSetPriority.SPOT,
        "scale_set_eviction_policy": aks.ScaleSetEvictionPolicy.DELETE,
        "spot_max_price": -1.0,  # up to the regular price: never evicted for the price alone
    }


def _upgrade() -> aks.AgentPoolUpgradeSettingsArgs:
    """Node by node in place: there is rarely quota for one GPU machine more."""
    return aks.AgentPoolUpgradeSettingsArgs(
        max_surge="0", max_unavailable="1", drain_timeout_in_minutes=60
    )
