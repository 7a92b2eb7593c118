"""Limits of Azure ML endpoints: how many, how large, how long, how fast.

They hold for a subscription in a region, so what a plan alone exceeds is refused, and what other
stacks of the subscription add to it only Azure knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from policies.arm.resource import ArmResource
from policies.limits.asks import DEPLOYED, Ask
from policies.limits.facts import AzureFacts, EndpointLimits
from policies.limits.found import about
from policies.limits.plan import (
    BATCH,
    DEPLOYMENT,
    ONLINE,
    SERVERLESS,
    WORKSPACE,
    last,
    managed,
    of_type,
    region_of,
)
from policies.limits.request import Request
from policies.limits.tables import document
from policies.rules.findings import Finding


def endpoint_findings(
    plan: Sequence[ArmResource], request: Request, facts: AzureFacts
) -> Iterator[Finding]:
    """What of the endpoints and deployments in ``plan`` and ``request`` exceeds a limit."""
    limits = facts.endpoints
    yield from _too_many(plan, request, limits)
    yield from _too_fast(plan, request, limits)
    for deployment in of_type(plan, DEPLOYMENT):
        yield from _timeout(deployment, plan, limits)
        if managed(deployment, plan):
            yield from _egress(deployment, plan)
        else:
            yield from _joint_name(deployment, limits)


def deployment_findings(ask: Ask, facts: AzureFacts) -> Iterator[Finding]:
    """What is wrong with the size and the number of instances of a managed deployment."""
    if ask.what != DEPLOYED:
        return
    most = facts.endpoints.instances
    if ask.count is not None and ask.count > most:
        expected = f"at most {most} instances a deployment"
        yield _exceeded(ask.resource, "GL-ENDPOINT-001", expected, str(ask.count))
    size = facts.size(ask.size)
    if size is not None and size.endpoints is not True:
        source = document("sizes")["sources"]["endpoints"]["url"]
        yield about(
            ask.resource,
            "GL-ENDPOINT-002",
            "a size of Azure ML's list for managed online endpoints",
            f"{size.name}, which the list does not have",
            "Choose a size of the list; docs/limits.md marks them",
            guideline=source,
        )


def _too_many(
    plan: Sequence[ArmResource], request: Request, limits: EndpointLimits
) -> Iterator[Finding]:
    endpoints = list(of_type(plan, ONLINE, BATCH, SERVERLESS))
    regions = Counter(region_of(endpoint, request.region) for endpoint in endpoints)
    for region, count in regions.items():
        if count > limits.endpoints:
            expected = f"at most {limits.endpoints} endpoints in {region}"
            yield _exceeded(None, "GL-ENDPOINT-003", expected, str(count))
    deployments = Counter(d.name.rpartition("/")[0] for d in of_type(plan, DEPLOYMENT))
    for endpoint in endpoints:
        if deployments[endpoint.name] > limits.deployments_per_endpoint:
            expected = f"at most {limits.deployments_per_endpoint} deployments an endpoint"
            found = str(deployments[endpoint.name])
            yield _exceeded(endpoint, "GL-ENDPOINT-004", expected, found)


def _too_fast(
    plan: Sequence[ArmResource], request: Request, limits: EndpointLimits
) -> Iterator[Finding]:
    rates: Counter[str] = Counter()
    for deployment in request.deployments:
        rates[deployment.endpoint.lower()] += round(deployment.requests_per_second or 0)
    for name, rate in rates.items():
        if rate > limits.requests_per_second:
            endpoint = next(
                (e for e in of_type(plan, ONLINE) if last(e.name).lower() == name), None
            )
            expected = f"at most {limits.requests_per_second} requests a second to an endpoint"
            yield _exceeded(endpoint, "GL-ENDPOINT-005", expected, f"{rate} to '{name}'")


def _timeout(
    deployment: ArmResource, plan: Sequence[ArmResource], limits: EndpointLimits
) -> Iterator[Finding]:
    stated = deployment.at("properties.requestSettings.requestTimeout")
    on_azure = managed(deployment, plan)
    most = limits.timeout_seconds if on_azure else limits.kubernetes_timeout_seconds
    seconds = _seconds(str(stated)) if stated is not None else 0.0
    if seconds is None or seconds > most:
        expected = f"a request timeout of at most {most} s, such as PT{most}S"
        yield _exceeded(deployment, "GL-ENDPOINT-006", expected, str(stated))


def _egress(deployment: ArmResource, plan: Sequence[ArmResource]) -> Iterator[Finding]:
    workspace = deployment.name.partition("/")[0]
    isolation = next(
        (
            w.at("properties.managedNetwork.isolationMode")
            for w in of_type(plan, WORKSPACE)
            if w.name == workspace
        ),
        None,
    )
    stated = deployment.at("properties.egressPublicNetworkAccess")
    if stated is not None and isolation not in (None, "Disabled"):
        yield about(
            deployment,
            "GL-ENDPOINT-007",
            "no egressPublicNetworkAccess where the workspace manages the network",
            f"'{stated}' with isolation {isolation}",
            "Leave it out: the workspace's network decides",
            guideline="https://learn.microsoft.com/azure/machine-learning/concept-secure-online-endpoint",
        )


def _joint_name(deployment: ArmResource, limits: EndpointLimits) -> Iterator[Finding]:
    _, endpoint, name = ("", "", *deployment.name.split("/"))[-3:]
    length = len(endpoint) + len(name)
    if not limits.kubernetes_name_min <= length <= limits.kubernetes_name_max:
        expected = (
            f"endpoint and deployment of {limits.kubernetes_name_min} to "
            f"{limits.kubernetes_name_max} characters together on Kubernetes"
        )
        yield _exceeded(deployment, "GL-ENDPOINT-008", expected, f"{length}")


def _seconds(duration: str) -> float | None:
    """Seconds of an ISO 8601 duration of hours, minutes and seconds; None if it is not one."""
    parts = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?", duration)
    if parts is None or not any(parts.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


def _exceeded(resource: ArmResource | None, rule: str, expected: str, found: str) -> Finding:
    remedy = "Ask for less; some limits are raised by Azure's support, docs/limits.md says which"
    guideline = document("endpoints")["source"]["url"]
    return about(resource, rule, expected, found, remedy, guideline=guideline)
