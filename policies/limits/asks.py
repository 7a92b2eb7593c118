"""Everything in a plan and a request that takes cores: pools, deployments, training computes.

Counts are the most that can exist: what an autoscaler may go to, and every slot of an endpoint
while one release replaces another. Too many asked is a row to argue about; too few is a rollout
that waits for ever (S04).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.facts import SPOT, EndpointLimits, Service, Size
from policies.limits.plan import (
    COMPUTE,
    DEPLOYMENT,
    ONLINE,
    Pool,
    last,
    managed,
    of_type,
    pools,
    region_of,
)
from policies.limits.request import Request


@dataclass(frozen=True)
class Ask:
    """One thing that takes cores. ``count`` is None where the plan does not know it yet.

    ``app`` is what a model is looked up by: the pool's or the endpoint's own name.
    """

    what: str
    name: str
    app: str
    service: Service
    region: str
    size: str
    count: int | None
    slots: int = 1
    spot: bool = False
    mig: str = ""
    resource: ArmResource | None = None
    pool: Pool | None = None

    def family(self, size: Size) -> str:
        """The quota that it counts against."""
        return SPOT if self.spot else size.family


def cores(ask: Ask, size: Size, limits: EndpointLimits) -> int | None:
    """Cores that ``ask`` takes: ceil(1.2 x instances) x cores of a managed deployment.

    The factor is the service's reserve for upgrades (how-to-manage-quotas); the sizes that its
    list exempts go without. Pools and computes take instances x cores.
    """
    if ask.count is None:
        return None
    deployed = ask.what == DEPLOYED
    kept = deployed and size.reserve is not False
    return instances(ask.count, limits.reserve if kept else Fraction(1)) * size.vcpus * ask.slots


def instances(count: int, reserve: Fraction) -> int:
    """Instances that quota is needed for."""
    return ceil(count * reserve)


DEPLOYED = "managed deployment"
POOLED = "AKS pool"
TRAINED = "Azure ML compute"


def asks(plan: Sequence[ArmResource], request: Request, limits: EndpointLimits) -> Iterator[Ask]:
    """All that takes cores once ``plan`` and what ``request`` says are deployed."""
    for pool in pools(plan, request.region):
        yield _pool(pool)
    planned = list(_planned(plan, request, limits))
    yield from _in_slots(planned, request.slots)
    have = {ask.app.lower() for ask in planned}
    for deployment in request.deployments:
        if deployment.endpoint.lower() not in have:
            endpoint = next(_called(plan, deployment.endpoint), None)
            yield Ask(
                what=DEPLOYED,
                name=endpoint.name if endpoint else deployment.endpoint,
                app=deployment.endpoint,
                service="ml",
                region=region_of(endpoint, request.region),
                size=deployment.size or limits.default_size,
                count=deployment.instances,
                slots=request.slots,
                resource=endpoint,
            )
    for compute in of_type(plan, COMPUTE):
        yield from _compute(compute, request.region)


def _pool(pool: Pool) -> Ask:
    return Ask(
        what=POOLED,
        name=pool.resource.name,
        app=last(pool.resource.name),
        service="compute",
        region=pool.region,
        size=str(pool.at("vmSize", UNKNOWN)),
        count=_count(pool.most),
        spot=pool.spot,
        mig=str(pool.at("gpuInstanceProfile", "")),
        resource=pool.resource,
        pool=pool,
    )


def _planned(
    plan: Sequence[ArmResource], request: Request, limits: EndpointLimits
) -> Iterator[Ask]:
    for resource in of_type(plan, DEPLOYMENT):
        if managed(resource, plan):
            yield Ask(
                what=DEPLOYED,
                name=resource.name,
                app=last(resource.name.rpartition("/")[0]),
                service="ml",
                region=region_of(resource, request.region),
                size=str(resource.at("properties.instanceType") or limits.default_size),
                count=_count(resource.at("sku.capacity", 1)),
                resource=resource,
            )


def _in_slots(planned: Sequence[Ask], slots: int) -> Iterator[Ask]:
    """The planned deployments; the last of an endpoint also counts for the slots to come."""
    for app in dict.fromkeys(ask.app for ask in planned):
        of_app = sorted((ask for ask in planned if ask.app == app), key=lambda ask: ask.count or 0)
        yield from of_app[:-1]
        yield replace(of_app[-1], slots=max(1, slots - len(of_app) + 1))


def _compute(compute: ArmResource, region: str) -> Iterator[Ask]:
    if str(compute.at("properties.computeType", "")).lower() != "amlcompute":
        return
    settings = "properties.properties"
    yield Ask(
        what=TRAINED,
        name=compute.name,
        app=last(compute.name),
        service="ml",
        region=region_of(compute, region),
        size=str(compute.at(f"{settings}.vmSize") or UNKNOWN),
        count=_count(compute.at(f"{settings}.scaleSettings.maxNodeCount", UNKNOWN)),
        spot=str(compute.at(f"{settings}.vmPriority", "")).lower() == "lowpriority",
        resource=compute,
    )


def _called(plan: Sequence[ArmResource], endpoint: str) -> Iterator[ArmResource]:
    return (e for e in of_type(plan, ONLINE) if last(e.name).lower() == endpoint.lower())


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
