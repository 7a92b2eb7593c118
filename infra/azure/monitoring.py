"""Where logs and metrics of the whole stack go: one Log Analytics workspace.

Application Insights keeps its data in the same workspace, so that a request can be followed from
the endpoint to the cluster in one query. Neither takes keys: what sends needs an Entra token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import applicationinsights, monitor, operationalinsights

from infra.azure.context import Context

ALL_LOGS = ("allLogs",)
"""The group of every category that a resource has, those that Azure adds later included.
https://learn.microsoft.com/azure/azure-monitor/platform/diagnostic-settings"""


@dataclass(frozen=True)
class MonitoringArgs:
    """``retention_days`` is how long logs are kept, in days, 30 to 730."""

    retention_days: int


class Monitoring(pulumi.ComponentResource):
    """Log Analytics and Application Insights."""

    def __init__(self, name: str, context: Context, args: MonitoringArgs) -> None:
        super().__init__("greenlight:azure:Monitoring", name)
        self._context = context
        self.logs = self._log_analytics(args.retention_days)
        self.insights = self._application_insights()
        self.diagnostics("logs", self.logs.id, self)
        self.register_outputs({"logs": self.logs.id, "insights": self.insights.id})

    def diagnostics(
        self,
        name: str,
        resource: pulumi.Input[str],
        parent: pulumi.Resource,
        groups: Sequence[str] = ALL_LOGS,
        metrics: bool = True,
    ) -> monitor.DiagnosticSetting:
        """Send the logs of these category groups, and all metrics, of ``resource`` here."""
        log, metric = monitor.DiagnosticsLogSettingsArgs, monitor.DiagnosticsMetricSettingsArgs
        return monitor.DiagnosticSetting(
            f"{name}-diagnostics",
            name="log-analytics",
            resource_uri=resource,
            workspace_id=self.logs.id,
            logs=[log(category_group=group, enabled=True) for group in groups],
            metrics=[metric(category="AllMetrics", enabled=True)] if metrics else None,
            opts=pulumi.ResourceOptions(parent=parent),
        )

    def _log_analytics(self, days: int) -> operationalinsights.Workspace:
        context = self._context
        return operationalinsights.Workspace(
            "logs",
            workspace_name=context.names.of("log"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            sku=operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            retention_in_days=days,
            features=operationalinsights.WorkspaceFeaturesArgs(
                disable_local_auth=True,
                enable_log_access_using_only_resource_permissions=True,
            ),
            public_network_access_for_ingestion=self._access,
            public_network_access_for_query=self._access,
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _application_insights(self) -> applicationinsights.Component:
        context = self._context
        return applicationinsights.Component(
            "insights",
            resource_name_=context.names.of("appi"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="web",
            application_type="web",
            ingestion_mode="LogAnalytics",
            workspace_resource_id=self.logs.id,
            disable_local_auth=True,
            public_network_access_for_ingestion=self._access,
            public_network_access_for_query=self._access,
            opts=pulumi.ResourceOptions(parent=self),
        )

    @property
    def _access(self) -> str:
        # Without a scope nothing could send or read any more. A scope is not the stack's to make:
        # it changes what every network that shares its DNS reaches.
        # https://learn.microsoft.com/azure/azure-monitor/logs/private-link-design
        closed = self._context.private and self._context.settings.network.monitor_scope
        return "Disabled" if closed else "Enabled"
