"""Who is told, and when: one alert a concern and application.

Azure ML has metrics of latency for an endpoint and of GPU and capacity for each of its
deployments, but no share of failed requests: that is asked of the endpoint's traffic log. Models
in the cluster have their alerts in prometheus_rules.py.

One alert cannot watch every deployment of an endpoint: Azure Monitor has no alerts over several
resources of that type, so each slot has its own.
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-metric-near-real-time (2023-11-22)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

from infra.azure.context import Context
from infra.azure.settings import Alerts as Limits
from infra.azure.settings import Application, Endpoint
from infra.azure.tags import tags
from policies.limits.tables import table

FREQUENCY, WINDOW = "PT5M", "PT15M"
ONE_RESOURCE = "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"

FAILED = (408, 424, 429)
"""Besides 5xx, what a caller got instead of an answer: too late, the model failed, no room.
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints"""


ENDPOINT = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
DEPLOYMENT = f"{ENDPOINT}/deployments"
OPENAI = "Microsoft.CognitiveServices/accounts"
EVENTS = "Microsoft.EventHub/namespaces"
"""Namespaces of metrics, as Azure Monitor's reference lists them."""


@dataclass(frozen=True)
class Watched:
    """An application's online endpoint: its id and its name."""

    application: Application
    endpoint_id: pulumi.Input[str]
    endpoint_name: str


@dataclass(frozen=True)
class AlertsArgs:
    """Ids of the action group, of the Log Analytics workspace, and of what is watched."""

    limits: Limits
    action_group: pulumi.Input[str]
    logs: pulumi.Input[str]
    endpoints: Sequence[Watched] = ()
    openai: pulumi.Input[str] | None = None
    events: pulumi.Input[str] | None = None


@dataclass(frozen=True)
class Threshold:
    """A metric that passed ``limit``; ``namespace`` and what follows it are Azure's words.

    ``early``: the alert may be made before what it watches, which Azure would look for.
    https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-troubleshoot-metric (2024-02-28)
    says so of metrics that nobody has sent yet. Not verified: that Azure takes it for a resource
    that is not there yet.
    """

    concern: str
    namespace: str
    metric: str
    operator: str
    limit: float
    says: str
    aggregation: str = "Average"
    early: bool = False


class Alerts(pulumi.ComponentResource):
    """The alerts of what is outside the cluster."""

    def __init__(
        self,
        name: str,
        context: Context,
        args: AlertsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Alerts", name, None, opts)
        self._context, self._args = context, args
        for watched in args.endpoints:
            self._watch(watched)
        if args.openai is not None:
            for threshold in openai_thresholds(args.limits):
                self._metric("openai", args.openai, threshold)
        if args.events is not None:
            self._metric("events", args.events, THROTTLED)
        self.register_outputs({})

    def _watch(self, watched: Watched) -> None:
        application, limits = watched.application, self._args.limits
        self._metric(application.name, watched.endpoint_id, _latency(limits), application)
        self._errors(watched)
        for slot, threshold in deployment_thresholds(application, limits):
            deployment = pulumi.Output.concat(watched.endpoint_id, "/deployments/", slot)
            self._metric(application.name, deployment, threshold, application)

    def _metric(
        self,
        of: str,
        scope: pulumi.Input[str],
        threshold: Threshold,
        application: Application | None = None,
    ) -> None:
        context = self._context
        monitor.MetricAlert(
            f"{of}-{threshold.concern}",
            rule_name=context.names.of("alert", f"{of}-{threshold.concern}"),
            resource_group_name=context.group,
            location="global",
            tags=self._tags(application),
            description=threshold.says,
            severity=2,
            enabled=True,
            auto_mitigate=True,
            evaluation_frequency=FREQUENCY,
            window_size=WINDOW,
            scopes=[scope],
            criteria=_criteria(threshold),
            actions=[monitor.MetricAlertActionArgs(action_group_id=self._args.action_group)],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _errors(self, watched: Watched) -> None:
        context, application = self._context, watched.application
        monitor.ScheduledQueryRule(
            f"{application.name}-errors",
            rule_name=context.names.of("alert", f"{application.name}-errors"),
            resource_group_name=context.group,
            location=context.location,
            tags=self._tags(application),
            kind=monitor.Kind.LOG_ALERT,
            description="Too many requests fail.",
            severity=1,
            enabled=True,
            auto_mitigate=True,
            evaluation_frequency=FREQUENCY,
            window_size=WINDOW,
            scopes=[self._args.logs],
            # The table comes with the first request.
            skip_query_validation=True,
            criteria=_failing(watched.endpoint_name, self._args.limits.error_rate),
            actions=monitor.ActionsArgs(action_groups=[self._args.action_group]),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _tags(self, application: Application | None) -> dict[str, str]:
        owned = (application.name, application.owner) if application else ()
        return tags(self._context.settings, *owned)


THROTTLED = Threshold(
    "throttled",
    EVENTS,
    "ThrottledRequests",
    "GreaterThan",
    0,
    "Throughput units are too few.",
    "Total",
)


def openai_thresholds(limits: Limits) -> tuple[Threshold, ...]:
    """Of an Azure OpenAI account."""
    available = 100 * (1 - limits.error_rate)
    return (
        Threshold(
            "errors",
            OPENAI,
            "AzureOpenAIAvailabilityRate",
            "LessThan",
            available,
            "Too many calls fail.",
        ),
        Threshold(
            "latency",
            OPENAI,
            "AzureOpenAITimeToResponse",
            "GreaterThan",
            limits.latency_p95_ms,
            "The first token takes too long.",
        ),
    )


def deployment_thresholds(
    application: Application, limits: Limits
) -> Iterator[tuple[str, Threshold]]:
    """Of each slot of a managed endpoint that the settings name: slot, threshold.

    A Kubernetes endpoint's GPUs and pods are the cluster's, and watched there.
    """
    endpoint = application.endpoint
    if endpoint is None or endpoint.kind != "managed":
        return
    for slot in endpoint.slots:
        if _has_gpu(endpoint):
            yield slot, _gpu(slot, limits)
        yield slot, _capacity(slot, limits, endpoint)


def _has_gpu(endpoint: Endpoint) -> bool:
    """Whether its machines have GPUs; those of a size that no table has are taken to."""
    size = table().sizes.get((endpoint.instance_type or "").lower())
    return size is None or bool(size.gpus)


def _gpu(slot: str, limits: Limits) -> Threshold:
    return Threshold(
        f"gpu-{slot}",
        DEPLOYMENT,
        "GpuUtilizationPercentage",
        "GreaterThanOrEqual",
        100 * limits.gpu_utilization,
        "The GPUs have no room.",
        early=True,
    )


def _capacity(slot: str, limits: Limits, endpoint: Endpoint) -> Threshold:
    # Not verified: how Azure splits this metric by its dimension State, which no page explains.
    return Threshold(
        f"capacity-{slot}",
        DEPLOYMENT,
        "DeploymentCapacity",
        "LessThan",
        limits.capacity * endpoint.instances,
        "Too few instances are up.",
        early=True,
    )


def failed_share(endpoint: str) -> str:
    """The query for the share of an endpoint's requests that failed, from 0 to 1."""
    codes = ", ".join(map(str, FAILED))
    return (
        "AmlOnlineEndpointTrafficLog\n"
        f'| where EndpointName == "{endpoint}"\n'
        "| extend Code = toint(ResponseCode)\n"
        f"| summarize Failed = countif(Code >= 500 or Code in ({codes})), Requests = count()\n"
        "| where Requests > 0\n"
        "| project Share = todouble(Failed) / Requests"
    )


def _latency(limits: Limits) -> Threshold:
    return Threshold(
        "latency",
        ENDPOINT,
        "RequestLatency_P95",
        "GreaterThan",
        limits.latency_p95_ms,
        "The 95th percentile of a request's time is too long.",
    )


def _criteria(
    threshold: Threshold,
) -> monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs:
    return monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
        odata_type=ONE_RESOURCE,
        all_of=[
            monitor.MetricCriteriaArgs(
                criterion_type="StaticThresholdCriterion",
                name=threshold.concern,
                metric_namespace=threshold.namespace,
                metric_name=threshold.metric,
                operator=threshold.operator,
                threshold=threshold.limit,
                time_aggregation=threshold.aggregation,
                skip_metric_validation=threshold.early or None,
            )
        ],
    )


def _failing(endpoint: str, limit: float) -> monitor.ScheduledQueryRuleCriteriaArgs:
    return monitor.ScheduledQueryRuleCriteriaArgs(
        all_of=[
            monitor.ConditionArgs(
                query=failed_share(endpoint),
                metric_measure_column="Share",
                time_aggregation="Maximum",
                operator="GreaterThan",
                threshold=limit,
                failing_periods=monitor.ConditionFailingPeriodsArgs(
                    min_failing_periods_to_alert=1, number_of_evaluation_periods=1
                ),
            )
        ]
    )
