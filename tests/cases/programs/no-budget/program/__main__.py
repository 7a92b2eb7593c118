"""A group, and nothing that tells what is spent in it."""

from __future__ import annotations

from pulumi_azure_native import resources

TAGS = {
    "environment": "production",
    "owner": "a-team",
    "cost-centre": "cc-1",
    "data-classification": "internal",
    "managed-by": "pulumi",
}

# GL-AZ-CST-002: nobody hears what it costs
resources.ResourceGroup(
    "unlimited", resource_group_name="rg-unlimited", location="swedencentral", tags=TAGS
)
