"""The tags on everything that can carry them: who owns it, who pays, what is in it."""

from __future__ import annotations

from infra.azure.settings import AzureSettings

MANAGED_BY = "greenlight"


def tags(settings: AzureSettings, application: str = "", owner: str = "") -> dict[str, str]:
    """The tags of the stack's resources; of one that is an ``application``'s, its name too."""
    found = {
        "environment": settings.environment,
        "owner": owner or settings.owner,
        "cost-centre": settings.cost_centre,
        "data-classification": settings.data_classification,
        "managed-by": MANAGED_BY,
    }
    return found | ({"application": application} if application else {})
