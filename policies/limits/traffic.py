"""Rules for the traffic of an Azure ML online endpoint, before the service refuses a change.

For a plan of Pulumi's, in which an endpoint should hold no traffic at all, and for whoever moves
traffic later. From how-to-safely-rollout-online-endpoints and reference-yaml-endpoint-online of
Azure Machine Learning's documentation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.found import about
from policies.limits.plan import ONLINE, managed, of_type
from policies.rules.findings import Finding

MOST_MIRRORED = 50  # percent
GUIDE = "https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints"
FIELDS = "https://learn.microsoft.com/azure/machine-learning/reference-yaml-endpoint-online"


@dataclass(frozen=True)
class Complaint:
    """What a rule has against traffic, without the file that it is written in."""

    rule: str
    expected: str
    found: str
    remedy: str
    guideline: str = GUIDE


def traffic_complaints(
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
    deployments: Collection[str] | None = None,
    *,
    managed: bool = True,
    new: bool = False,
) -> tuple[Complaint, ...]:
    """What Azure would refuse of ``traffic`` and ``mirror``, percent by deployment.

    ``deployments`` are those that exist, None where that is not known. ``managed``: not on a
    Kubernetes cluster. ``new``: the endpoint does not exist yet.
    """
    found = [*_at_creation(traffic, mirror, new), *_live(traffic), *_mirrored(mirror, traffic)]
    if mirror and not managed:
        found.append(
            Complaint(
                "GL-TRAFFIC-007",
                "mirrored traffic on managed endpoints only",
                f"a mirror to {_names(mirror)} on a Kubernetes endpoint",
                "Leave mirrorTraffic out",
            )
        )
    return (*found, *_strangers(traffic, mirror, deployments))


def removal_complaints(
    deployment: str, traffic: Mapping[str, int], mirror: Mapping[str, int]
) -> tuple[Complaint, ...]:
    """What Azure would refuse of deleting ``deployment`` while ``traffic`` is what it is."""
    share = traffic.get(deployment, 0)
    copied = mirror.get(deployment, 0)
    if not share and not copied:
        return ()
    found = f"{share} % live and {copied} % mirrored to '{deployment}'"
    remedy = "Move its traffic to the other deployment first"
    return (Complaint("GL-TRAFFIC-008", "no traffic to what is deleted", found, remedy),)


def traffic_findings(
    plan: Sequence[ArmResource], state: Sequence[ArmResource] = ()
) -> Iterator[Finding]:
    """What is wrong with the traffic of the online endpoints in ``plan``."""
    there = {resource.name.lower() for resource in of_type(state, ONLINE)}
    for endpoint in of_type(plan, ONLINE):
        traffic = endpoint.at("properties.traffic") or {}
        mirror = endpoint.at("properties.mirrorTraffic") or {}
        if not _known(traffic) or not _known(mirror):
            yield about(
                endpoint,
                "GL-TRAFFIC-009",
                "traffic that the plan knows",
                "traffic that is known only after the deployment",
                "Leave traffic out of the program: the pipeline moves it",
            )
            continue
        new = endpoint.name.lower() not in there
        for complaint in traffic_complaints(
            traffic, mirror, managed=managed(endpoint, plan), new=new
        ):
            yield about(
                endpoint,
                complaint.rule,
                complaint.expected,
                complaint.found,
                complaint.remedy,
                guideline=complaint.guideline,
            )


def _at_creation(
    traffic: Mapping[str, int], mirror: Mapping[str, int], new: bool
) -> Iterator[Complaint]:
    if new and (traffic or mirror):
        yield Complaint(
            "GL-TRAFFIC-001",
            "no traffic on an endpoint that is being created",
            f"traffic for {_names({**traffic, **mirror})}",
            "Create the endpoint, then a deployment, then set traffic",
            FIELDS,
        )


def _live(traffic: Mapping[str, int]) -> Iterator[Complaint]:
    if any(not 0 <= share <= 100 for share in traffic.values()):
        found = ", ".join(f"{name}: {share}" for name, share in traffic.items())
        remedy = "Give each deployment between 0 and 100 %"
        yield Complaint("GL-TRAFFIC-003", "shares from 0 to 100 %", found, remedy, FIELDS)
    total = sum(traffic.values())
    if total not in (0, 100):
        remedy = "Make the shares total 100, or all of them 0"
        yield Complaint(
            "GL-TRAFFIC-002", "live traffic of 0 or 100 %", f"{total} %", remedy, FIELDS
        )


def _mirrored(mirror: Mapping[str, int], traffic: Mapping[str, int]) -> Iterator[Complaint]:
    if len(mirror) > 1:
        found = f"a mirror to {_names(mirror)}"
        yield Complaint("GL-TRAFFIC-004", "a mirror to one deployment", found, "Choose one")
    for name, share in mirror.items():
        if not 0 <= share <= MOST_MIRRORED:
            expected = f"at most {MOST_MIRRORED} % mirrored"
            found = f"{share} % to '{name}'"
            yield Complaint("GL-TRAFFIC-005", expected, found, f"Mirror at most {MOST_MIRRORED} %")
        if share and traffic.get(name):
            found = f"'{name}' with {traffic[name]} % live and {share} % mirrored"
            remedy = "End the mirror before it gets live traffic"
            yield Complaint("GL-TRAFFIC-006", "a mirror to what is not live", found, remedy)


def _strangers(
    traffic: Mapping[str, int], mirror: Mapping[str, int], deployments: Collection[str] | None
) -> Iterator[Complaint]:
    strange = {**traffic, **mirror}.keys() - set(deployments or ())
    if deployments is not None and strange:
        expected = "traffic to deployments that exist"
        found = f"{', '.join(sorted(strange))} among the names"
        yield Complaint("GL-TRAFFIC-010", expected, found, "Create the deployment first")


def _known(shares: Any) -> bool:
    return isinstance(shares, Mapping) and all(
        isinstance(share, int) and name != UNKNOWN for name, share in shares.items()
    )


def _names(shares: Mapping[str, int]) -> str:
    return ", ".join(sorted(shares))
