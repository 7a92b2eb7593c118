"""The cluster and the services beside it, on the stack's foundation; and who is told of what.

Azure ML is in machine_learning.py. Of what is here it needs the cluster, to attach it, and the
account of Azure OpenAI, to reach it; the alerts need Azure ML's endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.azure.action_group import ActionGroup, ActionGroupArgs
from infra.azure.alerts import Alerts, AlertsArgs, Watched
from infra.azure.budget import Budget, BudgetArgs
from infra.azure.cluster import Cluster, ClusterArgs
from infra.azure.cluster_settings import Cluster as ClusterSettings
from infra.azure.cluster_settings import GpuPool
from infra.azure.container_insights import ContainerInsights, ContainerInsightsArgs
from infra.azure.context import Context
from infra.azure.events import Events, EventsArgs
from infra.azure.flux import Flux, FluxArgs
from infra.azure.foundation import Foundation
from infra.azure.gpu_pools import DEVICE_PLUGIN, GpuPools, GpuPoolsArgs
from infra.azure.grafana import Grafana, GrafanaArgs
from infra.azure.ml_extension import MlExtension, MlExtensionArgs
from infra.azure.network import NODES
from infra.azure.openai import OpenAI, OpenAIArgs
from infra.azure.prometheus import Prometheus, PrometheusArgs
from infra.azure.settings import Application, AzureSettings, namespace
from infra.azure.workload_identity import WorkloadIdentity, WorkloadIdentityArgs

ONLINE = ("managed", "kubernetes")


@dataclass(frozen=True)
class Services:
    """What others need: ids, known once they may be used. ``told``: the action group's."""

    told: pulumi.Output[str]
    attachable: pulumi.Output[str] | None
    openai: pulumi.Output[str] | None
    events: pulumi.Output[str] | None
    outputs: Mapping[str, Any]


def services(context: Context, base: Foundation) -> Services:
    """Declare the cluster and the services that the settings want."""
    told = _told(context)
    openai = _openai(context, base)
    events = _events(context, base)
    outputs = {"openai": _describe_openai(openai), "events": _describe_events(events)}
    attachable = None
    wanted = context.settings.cluster
    if wanted is not None:
        cluster = _cluster(context, base, wanted)
        outputs["cluster"] = _in_cluster(context, base, wanted, cluster, told)
        attachable = _attachable(context, wanted, cluster)
    return Services(
        told=told,
        attachable=attachable,
        openai=openai.account_id if openai else None,
        events=events.namespace_id if events else None,
        outputs={name: value for name, value in outputs.items() if value is not None},
    )


def watch(
    context: Context, base: Foundation, made: Services, endpoints: Mapping[str, Mapping[str, Any]]
) -> None:
    """Alerts and the budget. ``endpoints``: Azure ML's outputs, by application."""
    limits = context.settings.alerts
    watched = [
        Watched(one, endpoints[one.name]["id"], context.names.endpoint(one.name))
        for one in context.settings.applications
        if one.endpoint and one.endpoint.kind in ONLINE
    ]
    logs = base.monitoring.logs.id
    Alerts(
        "alerts", context, AlertsArgs(limits, made.told, logs, watched, made.openai, made.events)
    )
    budget = BudgetArgs(context.settings.budget, limits.emails, made.told, _group_id(context))
    Budget("budget", context, budget)


def in_cluster(settings: AzureSettings) -> tuple[Application, ...]:
    """The applications whose pods run in the cluster."""
    if settings.cluster is None:
        return ()
    return tuple(
        one
        for one in settings.applications
        if one.endpoint is None or one.endpoint.kind == "kubernetes"
    )


def _told(context: Context) -> pulumi.Output[str]:
    return ActionGroup("told", context, ActionGroupArgs(context.settings.alerts.emails)).group_id


def _openai(context: Context, base: Foundation) -> OpenAI | None:
    if context.settings.openai is None:
        return None
    made = OpenAI("openai", context, OpenAIArgs(context.settings.openai))
    base.monitoring.diagnostics("openai", made.account_id, made)
    base.network.private_endpoint("openai", made.account_id, "account", made)
    for identity in base.identities.values():
        identity.allow("Cognitive Services OpenAI User", "openai", made.account_id)
    return made


def _events(context: Context, base: Foundation) -> Events | None:
    if context.settings.events is None:
        return None
    readers = tuple(one.name for one in context.settings.applications)
    made = Events("events", context, EventsArgs(context.settings.events, readers))
    base.monitoring.diagnostics("events", made.namespace_id, made)
    base.network.private_endpoint("events", made.namespace_id, "namespace", made)
    for identity in base.identities.values():
        identity.allow("Azure Event Hubs Data Receiver", "events", made.namespace_id)
        identity.allow("Azure Event Hubs Data Sender", "events", made.namespace_id)
    return made


def _cluster(context: Context, base: Foundation, settings: ClusterSettings) -> Cluster:
    logs, nodes = base.monitoring.logs.id, base.network.subnet(NODES)
    made = Cluster("cluster", context, ClusterArgs(settings, nodes, logs, base.registry.id))
    base.monitoring.diagnostics("cluster", made.cluster_id, made)
    ContainerInsights("container-logs", context, ContainerInsightsArgs(made.cluster_id, logs))
    for one in in_cluster(context.settings):
        args = WorkloadIdentityArgs(one, base.identities[one.name], made.issuer)
        WorkloadIdentity(f"workload-{one.name}", context, args)
    return made


def _in_cluster(
    context: Context,
    base: Foundation,
    settings: ClusterSettings,
    cluster: Cluster,
    told: pulumi.Input[str],
) -> dict[str, Any]:
    """What runs in the cluster and looks at it; the cluster's outputs."""
    name, nodes = cluster.cluster_name, base.network.subnet(NODES)
    GpuPools("pools", context, GpuPoolsArgs(settings, name, nodes))
    flux = Flux("flux", context, FluxArgs(settings.flux, name)) if settings.flux else None
    grafana = _metrics(context, base, settings, cluster, told)
    return {
        "id": cluster.cluster_id,
        "name": name,
        "oidc_issuer": cluster.issuer,
        "gpu_pools": {pool.name: _describe_pool(pool) for pool in settings.gpu_pools},
        "flux_public_key": flux.public_key if flux else None,
        "grafana": grafana.endpoint,
        "service_accounts": _service_accounts(context),
    }


def _metrics(
    context: Context,
    base: Foundation,
    settings: ClusterSettings,
    cluster: Cluster,
    told: pulumi.Input[str],
) -> Grafana:
    args = PrometheusArgs(
        cluster_id=cluster.cluster_id,
        cluster=cluster.cluster_name,
        action_group=told,
        pools=settings.gpu_pools,
        applications=in_cluster(context.settings),
    )
    made = Prometheus("prometheus", context, args)
    base.network.private_endpoint("prometheus", made.workspace_id, "prometheusMetrics", made)
    admins = settings.grafana_admin_groups
    grafana_args = GrafanaArgs(
        made.workspace_id,
        _group_id(context),
        settings.admin_groups if admins is None else admins,
    )
    grafana = Grafana("grafana", context, grafana_args)
    base.network.private_endpoint("grafana", grafana.grafana_id, "grafana", grafana)
    base.monitoring.diagnostics("grafana", grafana.grafana_id, grafana)
    return grafana


def _attachable(
    context: Context, settings: ClusterSettings, cluster: Cluster
) -> pulumi.Output[str]:
    """The cluster's id for Kubernetes endpoints, with Azure ML's extension where there are any."""
    kinds = {one.endpoint.kind for one in context.settings.applications if one.endpoint}
    if "kubernetes" not in kinds:
        return cluster.cluster_id
    args = MlExtensionArgs(cluster.cluster_id, cluster.cluster_name, settings.ml_domain)
    return MlExtension("azureml", context, args).attachable


def _group_id(context: Context) -> pulumi.Output[str]:
    group = f"/subscriptions/{context.subscription}/resourceGroups/"
    return pulumi.Output.concat(group, context.group)


def _service_accounts(context: Context) -> dict[str, dict[str, str]]:
    return {
        one.name: {"namespace": namespace(one, context.settings.environment), "name": one.name}
        for one in in_cluster(context.settings)
    }


def _describe_pool(pool: GpuPool) -> dict[str, Any]:
    """``device_plugin`` has to be in the cluster, or the pool's nodes never offer a GPU."""
    return {
        "size": pool.size,
        "min_count": pool.min_count,
        "max_count": pool.max_count,
        "spot": pool.spot,
        "driver": pool.driver,
        "device_plugin": DEVICE_PLUGIN[pool.driver],
    }


def _describe_openai(openai: OpenAI | None) -> dict[str, Any] | None:
    if openai is None:
        return None
    names = [one.name for one in openai.deployments]
    return {"id": openai.account_id, "endpoint": openai.endpoint, "deployments": names}


def _describe_events(events: Events | None) -> dict[str, Any] | None:
    if events is None:
        return None
    return {
        "id": events.namespace_id,
        "namespace": events.namespace_name,
        "hubs": [hub.name for hub in events.hubs.values()],
    }
