"""Metrics of the cluster: Azure's Prometheus, what it collects, and what it tells somebody about.

The cluster's agents send to a collection endpoint, by a rule that is tied to the cluster; rule
groups ask about each application's models, the GPUs and the autoscaler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import alertsmanagement, monitor

from infra.azure.cluster_settings import GpuPool
from infra.azure.context import Context
from infra.azure.prometheus_rules import (
    Alert,
    Record,
    Rule,
    gpu_rules,
    keda_rules,
    model_rules,
)
from infra.azure.settings import Application, namespaces
from infra.azure.tags import tags

STREAM = "Microsoft-PrometheusMetrics"
DESTINATION = "workspace"


@dataclass(frozen=True)
class PrometheusArgs:
    """``cluster_id`` and ``cluster``: the cluster's id and name; ``action_group``: who is told.

    ``applications``: those that run in the cluster.
    """

    cluster_id: pulumi.Input[str]
    cluster: pulumi.Input[str]
    action_group: pulumi.Input[str]
    pools: Sequence[GpuPool] = ()
    applications: Sequence[Application] = ()


class Prometheus(pulumi.ComponentResource):
    """An Azure Monitor workspace that the cluster's metrics go to, with its rules."""

    workspace_id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: PrometheusArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Prometheus", name, None, opts)
        self._context, self._args = context, args
        self.workspace_id = self._workspace(name).id
        self._collect()
        limits = context.settings.alerts
        self._group("gpu", gpu_rules(args.pools, limits))
        self._group("keda", keda_rules())
        for one in args.applications:
            self._group(f"model-{one.name}", model_rules(self._spaces(one), limits), one)
        self.register_outputs({"workspaceId": self.workspace_id})

    def _spaces(self, application: Application) -> tuple[str, ...]:
        return namespaces(application, self._context.settings.environment)

    def _workspace(self, name: str) -> monitor.AzureMonitorWorkspace:
        context = self._context
        return monitor.AzureMonitorWorkspace(
            name,
            azure_monitor_workspace_name=context.names.of("amw"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            public_network_access=context.public_access,
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _collect(self) -> None:
        endpoint = self._endpoint()
        self._tie("prometheus", "prometheus", rule=self._rule(endpoint).id)
        if _closed(self._context):
            # Where agents fetch their configuration, when it is not from Azure's public address.
            self._tie("access", "configurationAccessEndpoint", endpoint=endpoint.id)

    def _endpoint(self) -> monitor.DataCollectionEndpoint:
        context = self._context
        return monitor.DataCollectionEndpoint(
            "collection",
            data_collection_endpoint_name=context.names.of("dce"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="Linux",
            network_acls=monitor.DataCollectionEndpointNetworkAclsArgs(
                public_network_access="Disabled" if _closed(context) else "Enabled"
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _rule(self, endpoint: monitor.DataCollectionEndpoint) -> monitor.DataCollectionRule:
        context = self._context
        return monitor.DataCollectionRule(
            "metrics",
            data_collection_rule_name=context.names.of("dcr", "metrics"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="Linux",
            data_collection_endpoint_id=endpoint.id,
            data_sources=monitor.DataCollectionRuleDataSourcesArgs(
                prometheus_forwarder=[
                    monitor.PrometheusForwarderDataSourceArgs(name="prometheus", streams=[STREAM])
                ]
            ),
            destinations=monitor.DataCollectionRuleDestinationsArgs(
                monitoring_accounts=[
                    monitor.MonitoringAccountDestinationArgs(
                        name=DESTINATION, account_resource_id=self.workspace_id
                    )
                ]
            ),
            data_flows=[monitor.DataFlowArgs(streams=[STREAM], destinations=[DESTINATION])],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _tie(
        self,
        name: str,
        association: str,
        rule: pulumi.Input[str] | None = None,
        endpoint: pulumi.Input[str] | None = None,
    ) -> None:
        monitor.DataCollectionRuleAssociation(
            name,
            association_name=association,
            resource_uri=self._args.cluster_id,
            data_collection_rule_id=rule,
            data_collection_endpoint_id=endpoint,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _group(
        self, part: str, rules: Sequence[Rule], application: Application | None = None
    ) -> None:
        context, args = self._context, self._args
        owned = (application.name, application.owner) if application else ()
        alertsmanagement.PrometheusRuleGroup(
            f"rules-{part}",
            rule_group_name=context.names.of("prom", part),
            resource_group_name=context.group,
            location=context.location,
            tags=tags(context.settings, *owned),
            enabled=True,
            cluster_name=args.cluster,
            scopes=[self.workspace_id, args.cluster_id],
            interval="PT1M",
            rules=[_rule(rule, args.action_group, application) for rule in rules],
            opts=pulumi.ResourceOptions(parent=self),
        )


def _closed(context: Context) -> bool:
    """Without a private link scope, agents in a private network could send nothing at all."""
    return bool(context.private and context.settings.network.monitor_scope)


def _rule(
    rule: Rule, action_group: pulumi.Input[str], application: Application | None
) -> alertsmanagement.PrometheusRuleArgs:
    labels: dict[str, pulumi.Input[str]] = {"application": application.name} if application else {}
    if isinstance(rule, Record):
        return alertsmanagement.PrometheusRuleArgs(
            record=rule.name, expression=rule.expression, labels=labels, enabled=True
        )
    return _alert(rule, action_group, labels)


def _alert(
    rule: Alert, action_group: pulumi.Input[str], labels: dict[str, pulumi.Input[str]]
) -> alertsmanagement.PrometheusRuleArgs:
    return alertsmanagement.PrometheusRuleArgs(
        alert=rule.name,
        expression=rule.expression,
        for_=rule.lasting,
        severity=rule.severity,
        labels=labels,
        annotations={"description": rule.says},
        enabled=True,
        actions=[alertsmanagement.PrometheusRuleGroupActionArgs(action_group_id=action_group)],
        resolve_configuration=alertsmanagement.PrometheusRuleResolveConfigurationArgs(
            auto_resolved=True, time_to_resolve="PT10M"
        ),
    )
