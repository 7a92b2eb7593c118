"""Whether a model fits where it is to run: GPU memory, or RAM where there is no GPU, and disk.

A model that does not fit is found out after the node was paid for, the image pulled and the
weights loaded for minutes. Both sums need only sizes that are known before.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from policies.limits.facts import Size
from policies.limits.plan import Pool
from policies.limits.request import Model

Verdict = Literal["pass", "fail", "unknown"]

MEMORY_FACTOR = 1.2
"""Memory that serving takes, by the memory of the weights (EleutherAI, Transformer Math 101)."""

DISK_SHARE = 0.85
"""Of a disk, before the kubelet evicts: ``imagefs.available<15%`` (Kubernetes, node-pressure
eviction)."""

MIG_MEMORY = {
    "MIG1g": Fraction(1, 8),
    "MIG2g": Fraction(2, 8),
    "MIG3g": Fraction(4, 8),
    "MIG4g": Fraction(4, 8),
    "MIG7g": Fraction(1),
}
"""Share of a GPU's memory that one instance of a profile has (AKS, gpu-multi-instance)."""


@dataclass(frozen=True)
class Fit:
    """What is needed and what is there, in GiB; ``there`` is None where that is not known."""

    needed: float
    there: float | None

    @property
    def verdict(self) -> Verdict:
        if self.there is None:
            return "unknown"
        return "pass" if self.needed <= self.there else "fail"


def memory_fit(model: Model, size: Size, mig: str = "") -> Fit:
    """Whether ``model`` fits into the memory of ``size``.

    Needed are 1.2 times its weights: the weights and what a forward pass adds (MEMORY_FACTOR);
    the cache of keys and values lives in what is left, so more is better. Tensor parallelism
    spreads one copy evenly over ``model.gpus`` GPUs of a node, all of them when it is None. An
    instance of a GPU divided by MIG holds a copy alone: instances cannot share one. DBRX, 132
    billion weights of 2 bytes, is 246 GiB and needs 295: 4 GPUs of 80 GB, or 8 of 40.
    """
    needed = model.gib * MEMORY_FACTOR
    if not size.gpus:
        return Fit(needed, size.memory_gib)
    whole = size.gpu_memory_gib
    if whole is None or (mig and not (size.gpu and size.gpu.mig and mig in MIG_MEMORY)):
        return Fit(needed, None)
    each = whole / float(size.gpus)
    if mig:
        return Fit(needed, each * float(MIG_MEMORY[mig]))
    if model.gpus is None:
        return Fit(needed, whole)
    return Fit(needed, each * model.gpus if model.gpus <= size.gpus else 0.0)


def disk_fit(model: Model, disk_gib: float | None, image_gib: float = 0.0) -> Fit:
    """Whether weights and images fit on a disk of ``disk_gib``, of which DISK_SHARE is usable."""
    usable = None if disk_gib is None else disk_gib * DISK_SHARE
    return Fit(model.gib + image_gib, usable)


def pool_disk(pool: Pool, size: Size) -> float | None:
    """The OS disk of a pool's node in GiB, where images and emptyDir volumes lie.

    What the pool says, else AKS's default (concepts-storage, "Default OS disk sizing"): the
    temporary disk if the OS disk can lie on it and it has 128 GiB, else a managed disk by vCPUs.
    """
    said = pool.at("osDiskSizeGB", 0)
    if not isinstance(said, int):
        return None
    if said:
        return float(said)
    if str(pool.at("osDiskType", "")).lower() != "managed":
        if size.ephemeral_os is None or (size.ephemeral_os and size.temp_gib is None):
            return None
        if size.ephemeral_os and (size.temp_gib or 0) >= 128:
            return size.temp_gib
    return next(disk for vcpus, disk in _MANAGED if size.vcpus >= vcpus)


def deployment_disk(size: Size, model: Model, image_gib: float) -> float | None:
    """The disk of a managed deployment's node in GiB, None where it is not known to suffice.

    The service does not document which disk holds the model. A temporary disk that suffices is
    taken for it; one that does not says nothing.
    """
    fits = disk_fit(model, size.temp_gib, image_gib).verdict == "pass"
    return size.temp_gib if fits else None


_MANAGED = ((64, 1024.0), (16, 512.0), (8, 256.0), (0, 128.0))
"""vCPUs from which on a managed OS disk has so many GiB by default; same page."""
