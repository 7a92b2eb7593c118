"""Dashboards: Azure's Grafana, which reads the cluster's metrics with an identity of its own.

Owners of the subscription have no rights in it: whoever may administer it is given a role on it,
and lets the others in.
https://learn.microsoft.com/azure/managed-grafana/how-to-manage-access-permissions-users-identities
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import dashboard

from infra.azure.context import Context
from infra.azure.identity import Identity, IdentityArgs, Principal, assign


@dataclass(frozen=True)
class GrafanaArgs:
    """``metrics``: the id of the Azure Monitor workspace; ``scope``: of the resource group;
    ``admins``: object ids of Entra groups."""

    metrics: pulumi.Input[str]
    scope: pulumi.Input[str]
    admins: Sequence[str] = ()


class Grafana(pulumi.ComponentResource):
    """A Grafana without API keys. ``endpoint``: its address."""

    grafana_id: pulumi.Output[str]
    endpoint: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: GrafanaArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Grafana", name, None, opts)
        identity = Identity("grafana", context, IdentityArgs("grafana", context.tags))
        identity.allow("Monitoring Data Reader", "metrics", args.metrics)
        identity.allow("Monitoring Reader", "group", args.scope)
        grafana = self._grafana(name, context, args, identity)
        for group in args.admins:
            who = Principal(group, "Group")
            assign(f"{name}-admin-{group}", context, "Grafana Admin", who, grafana.id, self)
        if context.private:
            self._way_to_metrics(context, args, grafana)
        self.grafana_id = grafana.id
        self.endpoint = grafana.properties.apply(lambda properties: properties.endpoint)
        self.register_outputs({"grafanaId": self.grafana_id, "endpoint": self.endpoint})

    def _grafana(
        self, name: str, context: Context, args: GrafanaArgs, identity: Identity
    ) -> dashboard.Grafana:
        return dashboard.Grafana(
            name,
            workspace_name=context.names.short("amg"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            sku=dashboard.ResourceSkuArgs(name="Standard"),
            identity=dashboard.ManagedServiceIdentityArgs(
                type=dashboard.ManagedServiceIdentityType.USER_ASSIGNED,
                user_assigned_identities=[identity.id],
            ),
            properties=dashboard.ManagedGrafanaPropertiesArgs(
                api_key=dashboard.ApiKey.DISABLED,
                public_network_access=context.public_access,
                grafana_integrations=dashboard.GrafanaIntegrationsArgs(
                    azure_monitor_workspace_integrations=[
                        dashboard.AzureMonitorWorkspaceIntegrationArgs(
                            azure_monitor_workspace_resource_id=args.metrics
                        )
                    ]
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(identity.grants)),
        )

    def _way_to_metrics(
        self, context: Context, args: GrafanaArgs, grafana: dashboard.Grafana
    ) -> None:
        """From Grafana's own network; whoever owns the metrics approves it once."""
        dashboard.ManagedPrivateEndpoint(
            "grafana-metrics",
            managed_private_endpoint_name="metrics",
            workspace_name=grafana.name,
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            private_link_resource_id=args.metrics,
            private_link_resource_region=context.location,
            group_ids=["prometheusMetrics"],
            request_message="Dashboards of the cluster's metrics",
            opts=pulumi.ResourceOptions(parent=self),
        )
