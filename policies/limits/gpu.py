"""Node pools that would come up without a GPU to offer, or not at all (S20).

AKS takes most of these settings without a word. The node registers, is paid for, and no pod is
ever scheduled on it: the driver, the device plugin or the operating system does not go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies.arm.resource import UNKNOWN
from policies.limits.facts import Size
from policies.limits.found import about
from policies.limits.model import MIG_MEMORY
from policies.limits.plan import Pool
from policies.limits.request import Request
from policies.rules.findings import Finding, Severity

AKS = "https://learn.microsoft.com/azure/aks"
AZURE_LINUX_3_FROM = (1, 32)
"""Kubernetes from which on the OS SKU AzureLinux means version 3 (AKS, upgrade-os-version)."""


def pool_findings(pool: Pool, size: Size, request: Request) -> Iterator[Finding]:
    """What is wrong with how ``pool`` uses ``size``."""
    yield from _spot(pool)
    yield from _scaling(pool)
    if size.gpus:
        yield from _operating_system(pool, size)
        yield from _mig(pool, size)
        yield from _software(pool, request)


def _operating_system(pool: Pool, size: Size) -> Iterator[Finding]:
    sku = str(pool.at("osSKU", ""))
    if sku.lower() in ("flatcar", "azurelinuxosguard"):
        yield _against(pool)(
            "GL-GPU-001",
            "an operating system that AKS supports with NVIDIA GPUs",
            sku,
            "Use Ubuntu",
            f"{AKS}/use-nvidia-gpu",
        )
    elif sku.lower() in ("azurelinux", "azurelinux3", "cblmariner"):
        version = _azure_linux(pool, sku)
        if size.azure_linux is None or version < size.azure_linux:
            yield _against(pool)(
                "GL-GPU-001",
                f"an operating system that supports {size.name}",
                f"{sku}, {_why_not(size, version)}",
                "Use Ubuntu" + _or_azure_linux(size),
                "https://learn.microsoft.com/azure/azure-linux/intro-azure-linux",
            )


def _azure_linux(pool: Pool, sku: str) -> int:
    """The major version of Azure Linux; 2 where the Kubernetes version does not say more."""
    if sku.lower() == "azurelinux3":
        return 3
    cluster = pool.cluster.at("properties.kubernetesVersion") if pool.cluster else None
    parts = str(pool.at("orchestratorVersion") or cluster or "").split(".")
    known = [int(part) for part in parts[:2] if part.isdigit()]
    return 3 if sku.lower() == "azurelinux" and tuple(known) >= AZURE_LINUX_3_FROM else 2


def _why_not(size: Size, version: int) -> str:
    if size.azure_linux is None:
        return "whose list of GPU sizes does not have it"
    return f"version {version} of Azure Linux as far as is known, which does not"


def _or_azure_linux(size: Size) -> str:
    if size.azure_linux is None:
        return ""
    return (
        f", or OS SKU AzureLinux{size.azure_linux}" if size.azure_linux > 2 else ", or AzureLinux"
    )


def _mig(pool: Pool, size: Size) -> Iterator[Finding]:
    profile = pool.at("gpuInstanceProfile", "")
    if not profile:
        return
    against = _against(pool)
    guide = f"{AKS}/gpu-multi-instance"
    if profile == UNKNOWN or size.gpu is None:
        expected = f"a size that is known to be divisible by MIG for {profile}"
        remedy = "Use a size of the A100, H100 or H200 series"
        yield against("GL-MODEL-003", expected, f"{size.name}, unknown", remedy, guide)
    elif not size.gpu.mig:
        expected = "an A100, H100 or H200 for a MIG profile"
        remedy = "Leave gpuInstanceProfile out, or use another size"
        found = f"{profile} on {size.name} ({size.gpu.model})"
        yield against("GL-GPU-002", expected, found, remedy, guide)
    elif profile not in MIG_MEMORY:
        expected = f"one of {', '.join(MIG_MEMORY)}"
        yield against("GL-GPU-002", expected, str(profile), "Correct the profile", guide)


def _software(pool: Pool, request: Request) -> Iterator[Finding]:
    """Driver, device plugin, operator: whether the node will ever offer its GPU."""
    against = _against(pool)
    driver = str(pool.at("gpuProfile.driver", "Install")).lower()
    mode = str(pool.at("gpuProfile.nvidia.managementMode", "Unmanaged")).lower()
    if mode == "managed":
        if pool.at("enableAutoScaling", False):
            expected = "no autoscaler on a pool whose GPU software AKS manages"
            remedy = "Set a count, or leave managementMode out and install the device plugin"
            guide = f"{AKS}/aks-managed-gpu-nodes"
            yield against("GL-GPU-005", expected, "enableAutoScaling", remedy, guide)
        return
    if driver == "none" and not request.gpu_operator:
        expected = "a GPU operator where AKS installs no driver"
        remedy = "Install the NVIDIA GPU operator, or leave gpuProfile.driver out"
        guide = f"{AKS}/nvidia-gpu-operator"
        yield against("GL-GPU-003", expected, "driver None and no operator", remedy, guide)
    elif not request.device_plugin and not request.gpu_operator:
        expected = "a device plugin, without which no node offers its GPU"
        remedy = "Install the NVIDIA device plugin or the GPU operator into the cluster"
        found = "neither a device plugin nor an operator"
        yield against("GL-GPU-004", expected, found, remedy, f"{AKS}/use-nvidia-gpu")


def _spot(pool: Pool) -> Iterator[Finding]:
    against = _against(pool)
    guide = f"{AKS}/spot-node-pool"
    policy = pool.at("scaleSetEvictionPolicy", "")
    if pool.spot and not policy:
        expected = "an eviction policy on a spot pool, since it cannot be set later"
        remedy = "Set scaleSetEvictionPolicy to Delete or Deallocate"
        yield against("GL-POOL-001", expected, "none", remedy, guide)
    if not pool.spot and (policy or pool.at("spotMaxPrice") is not None):
        expected = "eviction policy and highest price on spot pools only"
        remedy = "Leave both out, or set scaleSetPriority to Spot"
        yield against("GL-POOL-002", expected, "a pool that is not spot", remedy, guide)
    if pool.spot and str(pool.at("mode", "User")).lower() == "system":
        expected = "regular nodes in a system pool"
        yield against("GL-POOL-003", expected, "spot nodes", "Make it a user pool", guide)


def _scaling(pool: Pool) -> Iterator[Finding]:
    against = _against(pool)
    guide = f"{AKS}/cluster-autoscaler"
    least, count, most = (pool.at(name) for name in ("minCount", "count", "maxCount"))
    scaled = pool.at("enableAutoScaling", False)
    system = str(pool.at("mode", "User")).lower() == "system"
    if scaled and not (_number(least) and _number(most)):
        expected = "minCount and maxCount where the autoscaler is on"
        yield against("GL-POOL-004", expected, f"{least} and {most}", "Set both", guide)
    elif scaled and not (least <= (count if _number(count) else least) <= most):
        expected = "minCount <= count <= maxCount"
        found = f"{least}, {count}, {most}"
        remedy = "From zero, count and minCount have to be 0"
        yield against("GL-POOL-004", expected, found, remedy, guide)
    elif not scaled and count == 0:
        expected = "an autoscaler on a pool that starts from zero"
        remedy = "Set enableAutoScaling with minCount 0, or a count"
        yield against("GL-POOL-005", expected, "0 nodes for ever", remedy, guide, "warn")
    if system and 0 in (least, count):
        expected = "at least 1 node in a system pool"
        remedy = "Raise the count, or make it a user pool"
        yield against("GL-POOL-006", expected, "0", remedy, f"{AKS}/create-node-pools")


def _number(value: Any) -> bool:
    return isinstance(value, int)


def _against(pool: Pool) -> Callable[..., Finding]:
    def found(
        rule: str,
        expected: str,
        found: str,
        remedy: str,
        guide: str,
        severity: Severity | None = None,
    ) -> Finding:
        return about(
            pool.resource, rule, expected, found, remedy, guideline=guide, severity=severity
        )

    return found
