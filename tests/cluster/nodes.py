"""The nodes of the tests' cluster, as AKS would register them: data that kwok keeps alive.

Labels and taint are those that ``infra/azure/gpu_pools.py`` gives its pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GPU = "nvidia.com/gpu"
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
ZONES = ("germanywestcentral-1", "germanywestcentral-2")


def cpu_node(name: str, pool: str = "np", zone: str = ZONES[0]) -> dict[str, Any]:
    """A node with 8 cores and 32 GiB, for anyone."""
    return _node(name, pool, zone, {"cpu": "8", "memory": "32Gi"})


def gpu_node(name: str, pool: str, gpus: int, zone: str = ZONES[0]) -> dict[str, Any]:
    """A node of a GPU pool. With 0 GPUs it is registered and ready, and never offers one (S20)."""
    offers = {"cpu": "24", "memory": "220Gi"} | ({GPU: str(gpus)} if gpus else {})
    labels = {"greenlight.dev/gpu": "true", "greenlight.dev/gpu-driver": "install"}
    return _node(name, pool, zone, offers, labels, taints=[GPU_TAINT])


def _node(
    name: str,
    pool: str,
    zone: str,
    offers: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    resources = {"pods": "110", "ephemeral-storage": "120Gi", **offers}
    standard = {
        "agentpool": pool,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": zone.rpartition("-")[0],
        "topology.kubernetes.io/zone": zone,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**standard, **(labels or {})}},
        "spec": spec,
        "status": {"capacity": resources, "allocatable": resources},
    }


NODES = (
    cpu_node("np-1"),
    cpu_node("np-2", zone=ZONES[1]),
    gpu_node("a100-1", "a100", 1),
    gpu_node("a100x4-1", "a100x4", 4, zone=ZONES[1]),
    gpu_node("broken-1", "broken", 0),
)
"""What every test finds. A test that counts what is free adds a pool of its own: others run."""
