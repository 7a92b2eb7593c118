"""Reads node pools and deployments out of a plan, wherever in it they are written.

AKS pools are resources of their own or profiles inside the cluster; both come out alike. Sizes
and counts that a preview does not know yet stay UNKNOWN for the limits to say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.facts import region_key

CLUSTER = "Microsoft.ContainerService/managedClusters"
POOL = f"{CLUSTER}/agentPools"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
ONLINE = f"{WORKSPACE}/onlineEndpoints"
BATCH = f"{WORKSPACE}/batchEndpoints"
SERVERLESS = f"{WORKSPACE}/serverlessEndpoints"
DEPLOYMENT = f"{ONLINE}/deployments"
COMPUTE = f"{WORKSPACE}/computes"


@dataclass(frozen=True)
class Pool:
    """A node pool: its ARM resource, its cluster where the plan has it, and its region."""

    resource: ArmResource
    cluster: ArmResource | None
    region: str

    def at(self, name: str, default: Any = None) -> Any:
        """A value among the pool's properties; ``default`` where it is absent or null."""
        value = self.resource.at(f"properties.{name}")
        return default if value is None else value

    @property
    def spot(self) -> bool:
        return str(self.at("scaleSetPriority", "")).lower() == "spot"

    @property
    def most(self) -> Any:
        """The most nodes it can have: what the autoscaler may go to, else its count."""
        scaled = self.at("enableAutoScaling", False)
        return self.at("maxCount", UNKNOWN) if scaled else self.at("count", 1)


def of_type(plan: Sequence[ArmResource], *types: str) -> Iterator[ArmResource]:
    """The resources of ``types``, in any spelling of theirs."""
    wanted = {type_.lower() for type_ in types}
    return (resource for resource in plan if resource.type.lower() in wanted)


def flattened(plan: Sequence[ArmResource]) -> Iterator[ArmResource]:
    """The plan with every pool that is a profile inside a cluster as a resource of its own."""
    for resource in plan:
        yield resource
        if resource.type.lower() == CLUSTER.lower():
            yield from _profiles(resource)


def pools(plan: Sequence[ArmResource], region: str) -> Iterator[Pool]:
    """Every node pool; ``region`` is where its cluster is, if the plan does not say so."""
    clusters = {cluster.name.lower(): cluster for cluster in of_type(plan, CLUSTER)}
    for resource in of_type(list(flattened(plan)), POOL):
        cluster = clusters.get(resource.name.rpartition("/")[0].lower())
        yield Pool(resource, cluster, region_of(cluster, region))


def region_of(resource: ArmResource | None, default: str) -> str:
    """The region of ``resource`` as ARM writes it, else ``default``."""
    location = resource.at("location") if resource else None
    return region_key(str(location or default)) if location != UNKNOWN else UNKNOWN


def managed(resource: ArmResource, plan: Sequence[ArmResource]) -> bool:
    """Whether an endpoint or deployment is Azure's to run, and not on a Kubernetes cluster."""
    kind = resource.at("properties.endpointComputeType") or resource.at("kind")
    if kind:
        return str(kind).lower() == "managed"
    endpoint = resource.name.rpartition("/")[0]
    above = (e for e in of_type(plan, ONLINE) if e.name == endpoint)
    return not any(e.at("properties.compute") for e in (resource, *above))


def last(name: str) -> str:
    """The resource's own part of an ARM name."""
    return name.rpartition("/")[2]


def _profiles(cluster: ArmResource) -> Iterator[ArmResource]:
    profiles = cluster.at("properties.agentPoolProfiles") or ()
    for profile in ({"vmSize": UNKNOWN},) if profiles == UNKNOWN else profiles:
        known = profile if isinstance(profile, Mapping) else {"vmSize": UNKNOWN}
        name = f"{cluster.name}/{known.get('name', UNKNOWN)}"
        yield replace(cluster, type=POOL, name=name, body={"properties": dict(known)})
