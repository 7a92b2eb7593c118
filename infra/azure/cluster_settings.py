"""The settings of a stack's AKS cluster: its pools, its upgrades, and what it follows in Git."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from infra.azure.settings_base import Cidr, Setting, Size, repeated
from policies.limits.tables import table
from release.complaints import placed

Group = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]
Zone = Literal["1", "2", "3"]
Taint = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9][\w./-]*=[\w.-]*:(NoSchedule|PreferNoSchedule|NoExecute)$"
    ),
]

OF_AZURES = re.compile(r"^([\w-]+\.)*(kubernetes\.io|k8s\.io|kubernetes\.azure\.com)/")
"""Labels and taints that Kubernetes and AKS keep for themselves:
https://learn.microsoft.com/azure/aks/use-labels#reserved-system-labels"""


def _require_order(least: int, most: int) -> None:
    if least > most:
        raise placed(f"at most maxCount, {most}", least, "minCount")


class GpuPool(Setting):
    """A pool of GPU nodes in the cluster."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,11}$")] = Field(
        description="at most 12 characters: AKS's limit for Linux pools"
    )
    size: Size = Field(description="of its machines; another one needs another pool")
    min_count: int = Field(0, ge=0, le=1000, description="nodes; from zero, because idle GPUs cost")
    max_count: int = Field(ge=1, le=1000, description="nodes; both slots have to fit")
    spot: bool = Field(False, description="machines that Azure may take back at any time")
    zones: tuple[Zone, ...] = Field((), description="availability zones")
    os: Literal["Ubuntu", "AzureLinux"] = Field(
        "Ubuntu", description="Azure Linux supports some GPU sizes only: docs/limits.md says which"
    )
    mig_profile: Literal["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"] | None = Field(
        None, description="cuts each GPU into instances"
    )
    driver: Literal["install", "none"] = Field(
        "install", description="none where NVIDIA's GPU operator brings its own"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="on each node")
    taints: tuple[Taint, ...] = Field(
        (), description="besides sku=gpu:NoSchedule, which keeps other pods away and always is"
    )
    os_disk_gib: int = Field(256, ge=64, le=2048, description="GiB; images and weights have to fit")

    @model_validator(mode="after")
    def _can_offer_its_gpus(self) -> GpuPool:
        known = table().sizes.get(self.size.lower())  # others are told of by the check of limits
        if known and not known.gpus:
            raise placed("a size with GPUs: what needs none runs in `work`", self.size, "size")
        if known and self.os == "AzureLinux" and known.azure_linux is None:
            expected = f"Ubuntu for {self.size}: Azure Linux does not support its GPUs"
            raise placed(expected, self.os, "os")
        if known and self.mig_profile and not (known.gpu and known.gpu.mig):
            expected = f"no migProfile: the GPUs of {self.size} cannot be cut"
            raise placed(expected, self.mig_profile, "migProfile")
        _require_order(self.min_count, self.max_count)
        return self

    @model_validator(mode="after")
    def _leaves_the_clusters_names_alone(self) -> GpuPool:
        for key in self.labels:
            if OF_AZURES.match(key):
                raise placed("a label that neither Kubernetes nor AKS keeps", key, "labels", key)
        for index, taint in enumerate(self.taints):
            if OF_AZURES.match(taint):
                raise placed(
                    "a taint that neither Kubernetes nor AKS keeps", taint, "taints", index
                )
        return self


class SystemPool(Setting):
    """The pool that the cluster's own services run in."""

    size: Size = Field(
        "Standard_D4ds_v5", description="of its machines; with a local disk, which nodes start from"
    )
    min_count: int = Field(3, ge=1, le=100, description="nodes; one a zone")
    max_count: int = Field(6, ge=1, le=100, description="nodes")
    zones: tuple[Zone, ...] = Field(("1", "2", "3"), description="availability zones")

    @model_validator(mode="after")
    def _grows(self) -> SystemPool:
        _require_order(self.min_count, self.max_count)
        return self


class WorkPool(SystemPool):
    """The pool of all that needs no GPU: gateways, chains, watchers, the GitOps controllers."""

    min_count: int = Field(2, ge=1, le=100, description="nodes; one may fail")
    max_count: int = Field(10, ge=1, le=100, description="nodes")


class Maintenance(Setting):
    """When the cluster may be upgraded."""

    day: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] = (
        Field("Sunday", description="of the week")
    )
    start: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = Field(
        "02:00", description="time of day, UTC"
    )
    hours: int = Field(6, ge=4, le=24, description="hours; fewer than 4 Azure does not take")


class Flux(Setting):
    """What the cluster's Flux follows."""

    url: Annotated[str, StringConstraints(pattern=r"^(https|ssh)://\S+$")] = Field(
        description="of the Git repository"
    )
    branch: str = Field("main", description="that is followed")
    path: str = Field("./", description="in the repository, of the rendered manifests")
    interval_seconds: int = Field(300, ge=30, le=3600, description="seconds between looks")


class Cluster(Setting):
    """The AKS cluster."""

    kubernetes_version: Annotated[str, StringConstraints(pattern=r"^1\.\d{2}$")] = Field(
        "1.34", description="minor version; patches come by themselves"
    )
    private: bool = Field(True, description="its API server has no public address")
    authorized_ranges: tuple[Cidr, ...] = Field(
        (), max_length=200, description="of a public API server: addresses that may reach it"
    )
    admin_groups: tuple[Group, ...] = Field(
        min_length=1, description="object ids of the Entra groups that administer it"
    )
    tier: Literal["Free", "Standard", "Premium"] = Field(
        "Standard", description="Standard has an uptime agreement"
    )
    system: SystemPool = Field(SystemPool(), description="the system pool")
    work: WorkPool = Field(WorkPool(), description="the pool of all that needs no GPU")
    gpu_pools: tuple[GpuPool, ...] = Field((), max_length=20, description="pools of GPU nodes")
    grafana_admin_groups: tuple[Group, ...] | None = Field(
        None,
        description="object ids of the Entra groups that administer the dashboards; null: "
        "adminGroups; empty: nobody, and nobody can let others in",
    )
    flux: Flux | None = Field(None, description="GitOps from a repository")
    ml_domain: Annotated[str, StringConstraints(pattern=r"^(([a-z0-9-]+\.)+[a-z]+)?$")] = Field(
        "",
        description="DNS name that Kubernetes endpoints answer at, as in the certificate of the "
        "secret greenlight-inference-tls in the namespace azureml; your own, so there is no "
        "default: `preview` takes a reserved name such as inference.example.com, `up` does not",
    )
    maintenance: Maintenance = Field(Maintenance(), description="when it may be upgraded")
    defender: bool = Field(
        True, description="Defender's sensor on each node; billed by core where the plan is on"
    )
    encryption_at_host: bool = Field(
        True,
        description="temporary disks and caches are encrypted; the subscription needs the feature "
        "Microsoft.Compute/EncryptionAtHost",
    )

    @model_validator(mode="after")
    def _pools_have_names_of_their_own(self) -> Cluster:
        names = ["npsystem", "system", "work", *(pool.name for pool in self.gpu_pools)]
        if (again := repeated(names)) is not None:
            expected = "a name of its own, neither system nor work"
            raise placed(expected, names[again], "gpuPools", again - 3, "name")
        if self.private and self.authorized_ranges:
            expected = "no authorizedRanges: a private API server has no public address"
            raise placed(expected, self.authorized_ranges, "authorizedRanges")
        return self
