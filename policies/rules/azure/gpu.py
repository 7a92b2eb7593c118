"""GPU pools: paid for only when used, offered to those who ask, and really there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, of_type, part_of, pools, pools_of, refers
from policies.rules.azure.values import (
    Check,
    differs,
    equals,
    is_true,
    items_at,
    said,
    value_at,
    where,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

TAINT = "sku=gpu:NoSchedule"
GPU_SIZE = re.compile(r"standard_n[cdv]", re.I)
"""Sizes with GPUs: the N family's NC, ND and NV series."""

LARGE_GPU = re.compile(r"a100|h100|h200|gb?200|mi300|asr_v4", re.I)
"""Sizes of the Ampere generation and newer; ND96asr_v4 does not name its A100."""

DIVISIBLE = re.compile(r"a100|h100|h200|asr_v4", re.I)
"""Sizes that AKS cuts into instances.
https://learn.microsoft.com/azure/aks/gpu-multi-instance (2026-05-22)"""

ON_AZURE_LINUX = re.compile(r"_nc\d+ad(?:i?s)_(?:a100_v4|h100_v5)$|_nd96am?sr_(?:a100_)?v4$", re.I)
"""Large sizes that Azure Linux 3 supports. Older versions, under other names, support none.
https://learn.microsoft.com/azure/azure-linux/intro-azure-linux"""

AZURE_LINUX = ("AzureLinux", "AzureLinux3")
MARINER = ("CBLMariner", "Mariner")
POOLS = (kinds.CLUSTER, kinds.POOL)
"""Pools by themselves, and those that are written within their cluster."""

POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_demand(), *_trust(bounds), *_hardware(), *_names())


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-GPU-009",
            title="A GPU node offers its GPU",
            expected="driver Install, or a Flux kustomization gpu-operator that brings the driver",
            remedy="Set gpuProfile.driver to Install, or deliver the operator with the cluster.",
            source=f"{LEARN}/aks/nvidia-gpu-operator",
            check=_without_driver,
        ),
        PlanRule(
            id="GL-AZ-GPU-010",
            title="Something brings the device plugin",
            expected="a Flux configuration on the cluster of a GPU pool",
            remedy="Deliver NVIDIA's device plugin with it: AKS installs the driver alone, and a "
            "node without the plugin registers but never offers its GPU.",
            source=f"{LEARN}/aks/use-nvidia-gpu",
            check=_without_plugin,
            severity="warn",
        ),
    )


def _demand() -> tuple[Rule, ...]:
    return (
        _rule(
            "GL-AZ-GPU-001",
            "GPU nodes take only what asks for them",
            f"the taint {TAINT}",
            "Add it when the pool is made; it cannot be changed.",
            "aks/use-nvidia-gpu",
            _untainted,
        ),
        _rule(
            "GL-AZ-GPU-002",
            "GPU pools scale by themselves",
            "enableAutoScaling: true",
            "Set it, with minCount and maxCount.",
            "aks/cluster-autoscaler",
            is_true("properties.enableAutoScaling"),
        ),
        _rule(
            "GL-AZ-GPU-003",
            "Idle GPUs cost nothing",
            "minCount: 0",
            "Set it, or keep it with the reason that a start takes too long.",
            "aks/scale-cluster",
            equals("properties.minCount", 0),
            warn=True,
        ),
    )


def _trust(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-GPU-004",
            title="No spot machines in production",
            types=POOLS,
            expected="scaleSetPriority: Regular, with GPUs or without",
            remedy="Remove it: Azure takes spot machines back at any time.",
            source=f"{LEARN}/aks/spot-node-pool",
            check=_each_pool(
                where(
                    lambda _: bounds.production,
                    differs("properties.scaleSetPriority", "Spot", default="Regular"),
                )
            ),
        ),
        _rule(
            "GL-AZ-GPU-005",
            "GPU pools are not for the cluster's own services",
            "mode: User",
            "Set it: a system pool never goes to zero.",
            "aks/use-system-pools",
            equals("properties.mode", "User", default="User"),
        ),
    )


def _hardware() -> tuple[Rule, ...]:
    return (
        _rule(
            "GL-AZ-GPU-006",
            "Large GPUs run on an operating system that supports them",
            "Ubuntu; on Azure Linux a size that its page lists",
            "Remove osSKU or set it to Ubuntu.",
            "azure-linux/intro-azure-linux",
            where(_large, _unsupported),
        ),
        _rule(
            "GL-AZ-GPU-007",
            "Only GPUs that can be are cut into instances",
            "gpuInstanceProfile on an A100, H100 or H200",
            "Remove it, or take a size that has MIG.",
            "aks/gpu-multi-instance",
            where(lambda one: not _divisible(one), _absent("properties.gpuInstanceProfile")),
        ),
    )


def _names() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-GPU-008",
            title="Pools have names that AKS takes",
            types=POOLS,
            expected="a letter, then at most 11 letters and digits, all lower case",
            remedy="Shorten the name; 12 is AKS's limit for Linux pools.",
            source=f"{LEARN}/aks/create-node-pools",
            check=_each_pool(_bad_name),
        ),
        Rule(
            id="GL-AZ-GPU-011",
            title="Only spot pools say how they are evicted",
            types=POOLS,
            expected="scaleSetEvictionPolicy with scaleSetPriority Spot only",
            remedy="Remove scaleSetEvictionPolicy: Azure refuses it on a regular pool.",
            source=f"{LEARN}/aks/spot-node-pool",
            check=_each_pool(where(_regular, _absent("properties.scaleSetEvictionPolicy"))),
        ),
    )


def _rule(
    name: str,
    title: str,
    expected: str,
    remedy: str,
    page: str,
    check: Check,
    warn: bool = False,
) -> Rule:
    """A rule over pools with GPUs alone."""
    return Rule(
        id=name,
        title=title,
        types=POOLS,
        expected=expected,
        remedy=remedy,
        source=f"{LEARN}/{page}",
        check=_each_pool(_on_gpus(check)),
        severity="warn" if warn else "refuse",
    )


def _each_pool(check: Check) -> Check:
    """``check`` over a pool, or over each of those within a cluster."""
    return lambda one: next((found for pool in pools_of(one) if (found := check(pool))), None)


def _on_gpus(check: Check) -> Check:
    """``check`` where there is a GPU; a size that is not known is found, for it may have one."""

    def judge(pool: ArmResource) -> str | None:
        size = value_at(pool, "properties.vmSize", "")
        if size == UNKNOWN:
            return said("vmSize", size)
        return check(pool) if has_gpu(pool) else None

    return judge


def has_gpu(pool: ArmResource) -> bool:
    """Whether a pool's machines have GPUs, as far as it is known."""
    return bool(GPU_SIZE.match(str(value_at(pool, "properties.vmSize", ""))))


def _regular(pool: ArmResource) -> bool:
    return str(value_at(pool, "properties.scaleSetPriority", "")).lower() != "spot"


def _large(pool: ArmResource) -> bool:
    return bool(LARGE_GPU.search(str(value_at(pool, "properties.vmSize", ""))))


def _divisible(pool: ArmResource) -> bool:
    return bool(DIVISIBLE.search(str(value_at(pool, "properties.vmSize", ""))))


def _unsupported(pool: ArmResource) -> str | None:
    listed = ON_AZURE_LINUX.search(str(value_at(pool, "properties.vmSize", "")))
    systems = MARINER if listed else (*AZURE_LINUX, *MARINER)
    return differs("properties.osSKU", *systems, default="Ubuntu")(pool)


def _untainted(pool: ArmResource) -> str | None:
    taints = items_at(pool, "properties.nodeTaints")
    return None if TAINT in taints else f"nodeTaints: {', '.join(map(str, taints)) or 'none'}"


def _absent(path: str) -> Check:
    def check(resource: ArmResource) -> str | None:
        value = value_at(resource, path)
        return None if value is None else said(path, value)

    return check


def _bad_name(pool: ArmResource) -> str | None:
    name = pool.name.rpartition("/")[2]
    windows = value_at(pool, "properties.osType", "Linux") == "Windows"
    fits = POOL_NAME.fullmatch(name) and not (windows and len(name) > 6)
    return None if fits else f"'{name}', {len(name)} characters"


def _pools(plan: Plan, driver: Callable[[Any], bool]) -> list[ArmResource]:
    return [
        one
        for one in pools(plan)
        if has_gpu(one) and driver(value_at(one, "properties.gpuProfile.driver", "Install"))
    ]


def _flux(plan: Plan, pool: ArmResource) -> list[ArmResource]:
    """The Flux configurations of the pool's cluster."""
    clusters = [one for one in of_type(plan, kinds.CLUSTER) if part_of(pool, one)]
    configurations = of_type(plan, kinds.FLUX)
    return [f for f in configurations if any(refers(f, f.scope or UNKNOWN, c) for c in clusters)]


def _without_driver(plan: Plan) -> Missing:
    for pool in _pools(plan, lambda driver: driver != "Install"):
        brought = [
            name
            for one in _flux(plan, pool)
            for name in (value_at(one, "properties.kustomizations", {}) or {})
        ]
        if "gpu-operator" not in brought:
            driver = value_at(pool, "properties.gpuProfile.driver")
            yield pool, f"driver {driver}, and no Flux kustomization gpu-operator"


def _without_plugin(plan: Plan) -> Missing:
    for pool in _pools(plan, lambda driver: driver == "Install"):
        if not _flux(plan, pool):
            yield pool, "no Flux configuration on its cluster"
