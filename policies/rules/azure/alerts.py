"""Somebody is told: alerts exist, ask for metrics that exist, and reach a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds, metrics
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.gpu import GPU_SIZE, has_gpu
from policies.rules.azure.links import Missing, Plan, id_tail, of_type, part_of, pools, refers
from policies.rules.azure.values import (
    is_true,
    is_unknown,
    items_at,
    said,
    value_at,
    value_in,
)
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

RECEIVERS = (
    "emailReceivers", "smsReceivers", "webhookReceivers", "azureAppPushReceivers",
    "voiceReceivers", "logicAppReceivers", "azureFunctionReceivers", "armRoleReceivers",
    "eventHubReceivers", "itsmReceivers", "automationRunbookReceivers",
)  # fmt: skip


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_metrics(), *_reach())


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-ALR-006",
            title="Every endpoint has alerts on its errors and its latency",
            expected="for both, on each managed online endpoint, a metric alert on it, or a log "
            "alert whose query names it and reads the endpoints' traffic log",
            remedy="Add the one that is missing: RequestsPerMinute by statusCodeClass or the log's "
            "ResponseCode for errors, RequestLatency_P95 or its TotalDurationMs for latency.",
            source=f"{LEARN}/machine-learning/how-to-monitor-online-endpoints",
            check=_endpoint_without_alert,
        ),
        PlanRule(
            id="GL-AZ-ALR-007",
            title="Every cluster with GPUs has an alert on them",
            expected="a Prometheus alert that reads a GPU metric of the cluster",
            remedy="Add one, for instance on DCGM_FI_DEV_GPU_UTIL, and one for nodes that offer "
            'fewer GPUs than they have: kube_node_status_allocatable{resource="nvidia_com_gpu"}.',
            source=f"{LEARN}/aks/monitor-gpu-metrics",
            check=_gpu_without_alert,
        ),
        PlanRule(
            id="GL-AZ-ALR-008",
            title="Every slot of an endpoint has alerts on its capacity and its GPUs",
            expected="on each slot of a managed online endpoint a metric alert on "
            "DeploymentCapacity, and where its machines have GPUs one on a metric of them",
            remedy="Add the one that is missing, or name the slots in the stack's settings.",
            source=f"{LEARN}/machine-learning/how-to-monitor-online-endpoints",
            check=lambda plan: _unwatched_slots(plan, bounds),
            severity=bounds.when_production,
        ),
        PlanRule(
            id="GL-AZ-ALR-009",
            title="Azure OpenAI and Event Hubs have alerts",
            expected="a metric alert on each account and each namespace",
            remedy="Add one: AzureOpenAIAvailabilityRate of an account, ThrottledRequests of a "
            "namespace.",
            source=f"{LEARN}/ai-foundry/openai/how-to/monitor-openai",
            check=_service_without_alert,
            severity=bounds.when_production,
        ),
    )


def _metrics() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-ALR-001",
            title="Metric alerts ask for metrics that exist",
            types=(kinds.ALERT,),
            expected="metrics that Azure Monitor has for that namespace",
            remedy="Take a name from Azure Monitor's reference, or add it to policies/rules/azure/"
            "metrics.py with its source.",
            source=f"{LEARN}/azure-monitor/reference/supported-metrics/metrics-index",
            check=_unknown_metric,
        ),
        Rule(
            id="GL-AZ-ALR-002",
            title="Prometheus rules query metrics that exist",
            types=(kinds.PROMETHEUS,),
            expected="metrics that vLLM, DCGM exporter or Kubernetes expose today",
            remedy="Take the name of today, or add it to policies/rules/azure/metrics.py with its "
            "source.",
            source="https://docs.vllm.ai/en/latest/usage/metrics/",
            check=_unknown_query,
        ),
    )


def _reach() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-ALR-003",
            title="Alerts are on",
            types=(kinds.ALERT, kinds.LOG_ALERT, kinds.PROMETHEUS),
            expected="enabled: true",
            remedy="Set it, or remove the alert.",
            source=f"{LEARN}/azure-monitor/alerts/alerts-overview",
            check=_disabled,
        ),
        Rule(
            id="GL-AZ-ALR-004",
            title="Alerts tell somebody",
            types=(kinds.ALERT, kinds.LOG_ALERT, kinds.PROMETHEUS),
            expected="an action group in each alert's actions",
            remedy="Name the stack's action group.",
            source=f"{LEARN}/azure-monitor/alerts/action-groups",
            check=_silent,
        ),
        Rule(
            id="GL-AZ-ALR-005",
            title="An action group reaches somebody",
            types=(kinds.ACTIONS,),
            expected="enabled: true, and at least one receiver",
            remedy="Name a receiver in the settings, `alerts.emails`.",
            source=f"{LEARN}/azure-monitor/alerts/action-groups",
            check=_reaches_nobody,
        ),
    )


def _unknown_metric(alert: ArmResource) -> str | None:
    for one in items_at(alert, "properties.criteria.allOf"):
        name = value_in(one, "metricName", UNKNOWN)
        space = value_in(one, "metricNamespace") or value_at(alert, "properties.targetResourceType")
        if space is None:
            return f"{shown(str(name))} without a metricNamespace"
        known = next(
            (m for kind, m in metrics.AZURE.items() if kind.lower() == str(space).lower()), ()
        )
        if name not in known:
            return f"{shown(str(name))} of {shown(str(space))}"
    return None if items_at(alert, "properties.criteria.allOf") else "no criteria"


def _prometheus(group: ArmResource) -> list[Any]:
    return items_at(group, "properties.rules")


def _unknown_query(group: ArmResource) -> str | None:
    recorded = {value_in(one, "record") for one in _prometheus(group)}
    for one in _prometheus(group):
        expression = value_in(one, "expression", UNKNOWN)
        if expression == UNKNOWN:
            return "an expression that is not known yet"
        names = metrics.queried(str(expression))
        wrong = [n for n in names if n not in metrics.PROMETHEUS and n not in recorded]
        if wrong or not names:
            return shown(wrong[0]) if wrong else f"no metric in {shown(str(expression))}"
    return None if _prometheus(group) else "no rules"


def _disabled(resource: ArmResource) -> str | None:
    default = resource.type == kinds.PROMETHEUS
    if found := is_true("properties.enabled", default=default)(resource):
        return found
    rules = _prometheus(resource) if resource.type == kinds.PROMETHEUS else []
    off = [one for one in rules if value_in(one, "enabled", True) is not True]
    return f"{_name(off[0])} that is not on" if off else None


def _silent(resource: ArmResource) -> str | None:
    if resource.type == kinds.ALERT:
        return None if _filled(value_at(resource, "properties.actions")) else "no actions"
    if resource.type == kinds.LOG_ALERT:
        groups = value_at(resource, "properties.actions.actionGroups")
        return None if _filled(groups) else "no actions.actionGroups"
    alerts = [one for one in _prometheus(resource) if value_in(one, "alert")]
    silent = [one for one in alerts if not _filled(value_in(one, "actions"))]
    return f"no actions of {_name(silent[0])}" if silent else None


def _filled(value: Any) -> bool:
    """Whether ``value`` is a list with something in it, and with what it has known."""
    return isinstance(value, list | tuple) and bool(value) and UNKNOWN not in value


def _name(rule: Any) -> str:
    return shown(str(value_in(rule, "alert", "a rule")))


def _reaches_nobody(group: ArmResource) -> str | None:
    if value_at(group, "properties.enabled", True) is not True:
        return said("enabled", value_at(group, "properties.enabled"))
    told = any(_filled(value_at(group, f"properties.{name}")) for name in RECEIVERS)
    return None if told else "no receiver"


def _endpoint_without_alert(plan: Plan) -> Missing:
    alerts = list(of_type(plan, kinds.ALERT, kinds.LOG_ALERT))
    for endpoint in _managed(plan):
        asked = [text for one in alerts for text in _asked(one, endpoint)]
        missing = [
            concern
            for concern, words in metrics.CONCERNS.items()
            if not any(words.search(text) for text in asked)
        ]
        if missing:
            yield endpoint, f"no alert in the plan on its {' and its '.join(missing)}"


def _managed(plan: Plan) -> Iterator[ArmResource]:
    """Online endpoints that run on Azure's machines; the cluster's are watched there."""
    online = of_type(plan, kinds.ONLINE)
    return (one for one in online if not value_at(one, "properties.compute", ""))


def _unwatched_slots(plan: Plan, bounds: Bounds) -> Missing:
    alerts = list(of_type(plan, kinds.ALERT))
    for endpoint in _managed(plan):
        known = bounds.slots.get(str(value_at(endpoint, "tags.application", "")))
        gpus = known is not None and bool(GPU_SIZE.match(known.size))
        for slot in (known.slots if known else ()) or ("",):
            asked = [m for one in alerts if _on_slot(one, endpoint, slot) for m in _read(one)]
            concerns = {"capacity": "DeploymentCapacity"} | ({"GPUs": "Gpu"} if gpus else {})
            missing = [what for what, name in concerns.items() if not any(name in m for m in asked)]
            if missing:
                of = f"the {' and the '.join(missing)} of its slot {slot or 'blue or green'}"
                yield endpoint, f"no alert in the plan on {of}"


def _on_slot(alert: ArmResource, endpoint: ArmResource, slot: str) -> bool:
    """Whether an alert is on a slot of ``endpoint``; an empty ``slot`` is any."""
    tail = f"{id_tail(endpoint)}/deployments/{slot}"
    scopes = _scopes(alert)
    if any(is_unknown(one) or UNKNOWN in str(one) for one in scopes):
        return bool(endpoint.urn) and endpoint.urn in alert.depends_on
    return any(tail in f"/{one}".lower() for one in scopes)


def _read(alert: ArmResource) -> list[str]:
    """The names of the metrics that an alert reads."""
    return [_metric(one) for one in items_at(alert, "properties.criteria.allOf")]


def _service_without_alert(plan: Plan) -> Missing:
    alerts = list(of_type(plan, kinds.ALERT))
    for service in of_type(plan, kinds.ACCOUNT, kinds.EVENTS):
        if not any(refers(one, scope, service) for one in alerts for scope in _scopes(one)):
            yield service, "no metric alert in the plan on it"


def _asked(alert: ArmResource, endpoint: ArmResource) -> list[str]:
    """What ``alert`` asks of ``endpoint``: names of metrics, or queries."""
    on_it = any(refers(alert, scope, endpoint) for scope in _scopes(alert))
    if alert.type == kinds.ALERT:
        return _read(alert) if on_it else []
    conditions = items_at(alert, "properties.criteria.allOf")
    queries = [str(value_in(one, "query", "")) for one in conditions]
    return [query for query in queries if on_it or _names(query, alert, endpoint)]


def _metric(condition: Any) -> str:
    """A metric with what it is split or filtered by."""
    dimensions = value_in(condition, "dimensions", []) or []
    split = [str(value_in(one, "name", "")) for one in dimensions]
    return " ".join([str(value_in(condition, "metricName", "")), *split])


def _names(query: str, alert: ArmResource, endpoint: ArmResource) -> bool:
    """Whether a query of a log that has several endpoints asks for this one."""
    name = endpoint.name.rpartition("/")[2]
    if is_unknown(name):
        return bool(endpoint.urn) and endpoint.urn in alert.depends_on
    return metrics.TRAFFIC_LOG in query and any(f"{mark}{name}{mark}" in query for mark in "\"'")


def _gpu_without_alert(plan: Plan) -> Missing:
    watching = [one for one in of_type(plan, kinds.PROMETHEUS) if any(_about_gpus(one))]
    with_gpu = [one for one in pools(plan) if has_gpu(one)]
    for cluster in of_type(plan, kinds.CLUSTER):
        with_gpus = any(part_of(pool, cluster) for pool in with_gpu)
        if with_gpus and not any(_watches(one, cluster) for one in watching):
            yield cluster, "no Prometheus alert in the plan that reads its GPUs"


def _about_gpus(group: ArmResource) -> Iterator[bool]:
    for one in _prometheus(group):
        yield bool(value_in(one, "alert") and metrics.GPU.search(str(value_in(one, "expression"))))


def _watches(group: ArmResource, cluster: ArmResource) -> bool:
    name = value_at(group, "properties.clusterName", "")
    named = str(name).lower() == cluster.name.lower()
    return named or any(refers(group, scope, cluster) for scope in _scopes(group))


def _scopes(resource: ArmResource) -> list[Any]:
    return items_at(resource, "properties.scopes")
