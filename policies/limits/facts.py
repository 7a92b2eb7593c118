"""What is known of an Azure subscription and region, and where it is known from.

One shape for what Azure answered a minute ago and for the tables in this repository, so that a
limit is written once and its output can say which of the two it rests on. What is not known is
None or absent, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Service = Literal["compute", "ml"]
"""Whose quota: virtual machines (AKS) and Azure Machine Learning have one each."""

Free = Literal["free", "taken"]

TOTAL = "total"
"""Stands for a family where a quota holds for all families of a region together."""

SPOT = "spot"
"""Stands for a family in the quota that all spot nodes of a region share."""

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """One whole GPU. ``memory_gb`` is decimal GB, as makers print it."""

    model: str
    memory_gb: float
    mig: bool


@dataclass(frozen=True)
class Size:
    """A virtual machine size. ``gpus`` may be a share of one. Memory and disks in GiB.

    ``azure_linux`` is the oldest major version that supports it, None where no list has it.
    ``endpoints`` says whether managed online endpoints take it, ``reserve`` whether they keep
    20 % more of it for upgrades. None: not known.
    """

    name: str
    family: str
    vcpus: int
    gpus: Fraction
    memory_gib: float | None = None
    temp_gib: float | None = None
    gpu: Gpu | None = None
    architecture: str = ""
    ephemeral_os: bool | None = None
    azure_linux: int | None = None
    endpoints: bool | None = None
    reserve: bool | None = None

    @property
    def gpu_memory_gib(self) -> float | None:
        """Memory of all its GPUs together in GiB; None where that is not known."""
        if not self.gpus:
            return 0.0
        return None if self.gpu is None else float(self.gpus) * self.gpu.memory_gb * 1e9 / GIB


@dataclass(frozen=True)
class Offer:
    """A size in a region. ``restricted``: not for this subscription. None: zones not known."""

    restricted: bool = False
    zones: frozenset[str] | None = None


@dataclass(frozen=True)
class Quota:
    """Cores of a family in a region: how many a subscription may have, and has."""

    limit: int
    used: int


@dataclass(frozen=True)
class EndpointLimits:
    """Limits of Azure ML endpoints; ``reserve`` is the factor on instances of a deployment."""

    endpoints: int
    deployments: int
    deployments_per_endpoint: int
    instances: int
    requests_per_second: int
    megabytes_per_second: int
    timeout_seconds: int
    kubernetes_timeout_seconds: int
    kubernetes_name_min: int
    kubernetes_name_max: int
    reserve: Fraction
    default_size: str


@dataclass(frozen=True)
class AzureFacts:
    """All of it. Sizes by name in small letters, offers by size and region, quota by region.

    ``origin`` says where it comes from, such as ``live, 2026-11-22T10:00:00Z``. ``whole`` holds
    sizes whose regions are all known and regions whose sizes are all known: what is missing
    there is not offered; missing elsewhere, it is unknown. ``names`` tells of (type, name) in
    small letters whether it is free.
    """

    origin: str
    live: bool
    sizes: Mapping[str, Size]
    regions: frozenset[str]
    endpoints: EndpointLimits
    offers: Mapping[tuple[str, str], Offer] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    quotas: Mapping[tuple[str, Service, str], Quota] = field(default_factory=dict)
    names: Mapping[tuple[str, str], Free] = field(default_factory=dict)

    def size(self, name: str) -> Size | None:
        """The size called ``name``, in whatever letters; None where it is not known."""
        return self.sizes.get(name.lower())

    def offer(self, size: str, region: str) -> Offer | Literal["absent", "unknown"]:
        """Whether ``region`` offers ``size``."""
        known = self.offers.get((size.lower(), region))
        if known is not None:
            return known
        return "absent" if self.whole & {size.lower(), region} else "unknown"

    def quota(self, region: str, service: Service, family: str) -> Quota | None:
        """The quota of a family; None where it is not known."""
        return self.quotas.get((region, service, family_key(family)))


def region_key(name: str) -> str:
    """A region as ARM writes it: ``West Europe`` and ``WestEurope`` are ``westeurope``."""
    return name.replace(" ", "").lower()


def family_key(name: str) -> str:
    """A family under one spelling: Azure's own lists differ in blanks, dashes and letters."""
    return name.replace(" ", "").replace("_", "").lower()
