"""Sizes, regions and zones: whether Azure has them, and has them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.arm.resource import UNKNOWN, ArmResource
from policies.limits.facts import AzureFacts, Offer, Size, region_key
from policies.limits.found import about
from policies.limits.tables import document
from policies.rules.findings import Finding

GLOBAL = "global"
"""What ARM takes as the region of resources that have none, such as private DNS zones."""


def region_findings(plan: Sequence[ArmResource], facts: AzureFacts) -> Iterator[Finding]:
    """Regions of the plan that nobody knows. Resources without a region are left alone."""
    for resource in plan:
        location = resource.at("location")
        if location == UNKNOWN:
            yield about(
                resource,
                "GL-SIZE-005",
                "a region that the plan knows",
                "a region that is known only after the deployment",
                "Set it from the stack's settings",
            )
        elif location is not None and region_key(str(location)) not in {*facts.regions, GLOBAL}:
            yield about(
                resource,
                "GL-SIZE-002",
                f"one of the {len(facts.regions)} known regions ({facts.origin})",
                f"'{location}'",
                "Correct the name; for a region that is new, add it to the table of regions",
                guideline=document("regions")["sources"]["regions"]["url"],
            )


def size_finding(
    resource: ArmResource | None, name: str, region: str, facts: AzureFacts
) -> Finding | None:
    """What is wrong with the size ``name`` in ``region``, or what is not known of it."""
    if UNKNOWN in (name, region):
        return about(
            resource,
            "GL-SIZE-005",
            "a size and a region that the plan knows",
            "one that is known only after the deployment",
            "Set both from the stack's settings",
        )
    size = facts.size(name)
    if size is None:
        return about(
            resource,
            "GL-SIZE-001",
            f"a known size of virtual machine ({facts.origin})",
            f"'{name}'",
            "Correct it, or run with Azure credentials; a size is never assumed",
        )
    return offered(resource, size, region, facts)


def offered(
    resource: ArmResource | None, size: Size, region: str, facts: AzureFacts
) -> Finding | None:
    """What is wrong with ``size`` in ``region``, or what is not known of it."""
    offer = facts.offer(size.name, region)
    if isinstance(offer, Offer):
        return _restricted(resource, size, region, facts) if offer.restricted else None
    guideline = document("regions")["sources"]["offers"]["url"]
    if offer == "absent":
        return about(
            resource,
            "GL-SIZE-003",
            f"a region that offers {size.name} ({facts.origin})",
            f"'{region}', which does not",
            f"Choose {_elsewhere(size, facts)}, or another size",
            guideline=guideline,
        )
    return about(
        resource,
        "GL-SIZE-004",
        f"a region that is known to offer {size.name}",
        f"'{region}', unknown whether it does ({facts.origin})",
        "Run the preview with Azure credentials before the deploy",
        guideline=guideline,
    )


def zone_findings(
    resource: ArmResource, zones: Sequence[str], size: Size, region: str, facts: AzureFacts
) -> Iterator[Finding]:
    """Zones in which ``region`` does not offer ``size``."""
    offer = facts.offer(size.name, region)
    if not zones or not isinstance(offer, Offer):
        return  # nothing asked, or said already
    if offer.zones is None:
        yield about(
            resource,
            "GL-SIZE-005",
            f"zones of {region} that are known to offer {size.name}",
            f"{', '.join(zones)}, unknown whether they do ({facts.origin})",
            "Run the preview with Azure credentials before the deploy",
        )
    elif set(map(str, zones)) - offer.zones:
        yield about(
            resource,
            "GL-SIZE-006",
            f"zones of {region} that offer {size.name}: {', '.join(sorted(offer.zones)) or 'none'}",
            ", ".join(map(str, zones)),
            "Leave out the zones that do not",
        )


def _restricted(
    resource: ArmResource | None, size: Size, region: str, facts: AzureFacts
) -> Finding:
    return about(
        resource,
        "GL-SIZE-007",
        f"a size that the subscription may use in {region}",
        f"{size.name}, which Azure keeps from it ({facts.origin})",
        "Ask Azure's support for access, or choose another size or region",
        guideline="https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available",
    )


def _elsewhere(size: Size, facts: AzureFacts) -> str:
    regions = sorted(region for name, region in facts.offers if name == size.name.lower())
    return f"one of {', '.join(regions)}" if regions else "another region"
