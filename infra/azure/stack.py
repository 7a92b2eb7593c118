"""An Azure stack: the components in the order in which they lean on one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_azure_native import authorization, resources

from infra.azure.context import Context
from infra.azure.names import Names
from infra.azure.settings import AzureSettings
from infra.azure.tags import tags


def provision(settings: AzureSettings, secrets: Mapping[str, pulumi.Output[str]]) -> dict[str, Any]:
    """Declare everything that ``settings`` ask for; the outputs by name."""
    client = authorization.get_client_config()
    names = Names(
        settings.workload, settings.environment, settings.location, settings.instance,
        client.subscription_id,
    )  # fmt: skip
    group = resources.ResourceGroup(
        "group",
        resource_group_name=names.of("rg"),
        location=settings.location,
        tags=tags(settings),
        opts=pulumi.ResourceOptions(protect=settings.environment == "production"),
    )
    context = Context(
        settings=settings,
        names=names,
        tags=tags(settings),
        group=group.name,
        tenant=client.tenant_id,
        subscription=client.subscription_id,
        secrets=secrets,
    )
    del context
    return {"environment": settings.environment, "resource_group": group.name}
