"""An Azure stack: the components in the order in which they lean on one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_azure_native import authorization, resources

from infra.azure import live_traffic
from infra.azure.context import Context
from infra.azure.foundation import foundation, outputs
from infra.azure.machine_learning import machine_learning
from infra.azure.names import Names
from infra.azure.services import services, watch
from infra.azure.settings import AzureSettings
from infra.azure.tags import tags
from infra.azure.workspace import Reached


def provision(settings: AzureSettings, secrets: Mapping[str, pulumi.Output[str]]) -> dict[str, Any]:
    """Declare everything that ``settings`` ask for; the outputs by name."""
    live_traffic.guard()
    context = _context(settings, secrets)
    base = foundation(context)
    made = services(context, base)
    reaches = {"openai": Reached(made.openai, "account")} if made.openai is not None else {}
    learning = machine_learning(context, base, made.attachable, reaches)
    watch(context, base, made, learning.get("endpoints", {}))
    return {
        "environment": settings.environment,
        "resource_group": context.group,
        **outputs(base),
        **made.outputs,
        **learning,
    }


def _context(settings: AzureSettings, secrets: Mapping[str, pulumi.Output[str]]) -> Context:
    client = authorization.get_client_config()
    names = Names(
        settings.workload, settings.environment, settings.location, settings.instance,
        client.subscription_id,
    )  # fmt: skip
    return Context(
        settings=settings,
        names=names,
        tags=tags(settings),
        group=_group(settings, names).name,
        tenant=client.tenant_id,
        subscription=client.subscription_id,
        secrets=secrets,
    )


def _group(settings: AzureSettings, names: Names) -> resources.ResourceGroup:
    return resources.ResourceGroup(
        "group",
        resource_group_name=names.of("rg"),
        location=settings.location,
        tags=tags(settings),
        opts=pulumi.ResourceOptions(protect=settings.environment == "production"),
    )
