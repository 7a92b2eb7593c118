"""Logs of the cluster's containers: collected by rule, so that no agent has the workspace's key."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

from infra.azure.context import Context

STREAM = "Microsoft-ContainerInsights-Group-Default"
DESTINATION = "logs"


@dataclass(frozen=True)
class ContainerInsightsArgs:
    """``cluster_id``: the cluster's; ``logs``: the id of the Log Analytics workspace."""

    cluster_id: pulumi.Input[str]
    logs: pulumi.Input[str]


class ContainerInsights(pulumi.ComponentResource):
    """What the cluster's agent collects, and where it goes."""

    def __init__(
        self,
        name: str,
        context: Context,
        args: ContainerInsightsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:ContainerInsights", name, None, opts)
        rule = self._rule(name, context, args)
        monitor.DataCollectionRuleAssociation(
            name,
            association_name="ContainerInsightsExtension",
            resource_uri=args.cluster_id,
            data_collection_rule_id=rule.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def _rule(
        self, name: str, context: Context, args: ContainerInsightsArgs
    ) -> monitor.DataCollectionRule:
        return monitor.DataCollectionRule(
            name,
            data_collection_rule_name=context.names.of("dcr", "logs"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="Linux",
            data_sources=monitor.DataCollectionRuleDataSourcesArgs(
                extensions=[
                    monitor.ExtensionDataSourceArgs(
                        name="ContainerInsightsExtension",
                        extension_name="ContainerInsights",
                        streams=[STREAM],
                        extension_settings={"dataCollectionSettings": _SETTINGS},
                    )
                ]
            ),
            destinations=monitor.DataCollectionRuleDestinationsArgs(
                log_analytics=[
                    monitor.LogAnalyticsDestinationArgs(
                        name=DESTINATION, workspace_resource_id=args.logs
                    )
                ]
            ),
            data_flows=[monitor.DataFlowArgs(streams=[STREAM], destinations=[DESTINATION])],
            opts=pulumi.ResourceOptions(parent=self),
        )


_SETTINGS = {"interval": "1m", "namespaceFilteringMode": "Off", "enableContainerLogV2": True}
