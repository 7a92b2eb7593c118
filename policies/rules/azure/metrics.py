"""Metrics that exist, and where that is written: alerts on others never fire (S19).

Azure's names: a page for each type, deprecated ones left out; PAGES says which version was
compared. https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/metrics-index
Prometheus names: vLLM's docs/usage/metrics.md (its ``gpu_cache_usage_perc`` is gone,
``kv_cache_usage_perc`` took its place), DCGM exporter's default-counters.csv, kube-state-metrics'
docs, cAdvisor's and node exporter's as Azure Monitor collects them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from policies.rules.azure import kinds

_LATENCY = ("RequestLatency_P50", "RequestLatency_P90", "RequestLatency_P95", "RequestLatency_P99")

AZURE: Mapping[str, tuple[str, ...]] = {
    kinds.ONLINE: (
        "RequestsPerMinute", "RequestLatency", *_LATENCY, "ConnectionsActive",
        "NewConnectionsPerSecond", "NetworkBytes", "DataCollectionErrorsPerMinute",
        "DataCollectionEventsPerMinute",
    ),
    kinds.DEPLOYMENT: (
        "CpuMemoryUtilizationPercentage", "CpuUtilizationPercentage", "DeploymentCapacity",
        "DiskUtilization", "GpuEnergyJoules", "GpuMemoryUtilizationPercentage",
        "GpuUtilizationPercentage", "RequestsPerMinute", *_LATENCY,
        "DataCollectionErrorsPerMinute", "DataCollectionEventsPerMinute",
    ),
    kinds.ACCOUNT: (
        "AzureOpenAIAvailabilityRate", "AzureOpenAIRequests", "AzureOpenAINormalizedTBTInMS",
        "AzureOpenAINormalizedTTFTInMS", "AzureOpenAITimeToResponse", "AzureOpenAITokenPerSecond",
        "AzureOpenAITTLTInMS", "ActiveTokens", "AzureOpenAIContextTokensCacheMatchRate",
        "AzureOpenAIProvisionedManagedUtilizationV2", "GeneratedTokens", "ProcessedPromptTokens",
        "TokenTransaction",
    ),
    kinds.EVENTS: (
        "IncomingBytes", "IncomingMessages", "IncomingRequests", "OutgoingBytes",
        "OutgoingMessages", "QuotaExceededErrors", "ServerErrors", "Size", "SuccessfulRequests",
        "ThrottledRequests", "UserErrors", "NamespaceCpuUsage", "NamespaceMemoryUsage",
        "CapturedMessages", "CapturedBytes", "CaptureBacklog", "ReplicationLagCount",
        "ReplicationLagDuration", "ActiveConnections", "ConnectionsOpened", "ConnectionsClosed",
    ),
    kinds.VAULT: (
        "Availability", "SaturationShoebox", "ServiceApiHit", "ServiceApiLatency",
        "ServiceApiResult",
    ),
    kinds.STORAGE: (
        "Availability", "Egress", "Ingress", "SuccessE2ELatency", "SuccessServerLatency",
        "Transactions", "UsedCapacity",
    ),
    kinds.CLUSTER: (
        "kube_node_status_allocatable_cpu_cores", "kube_node_status_allocatable_memory_bytes",
        "kube_node_status_condition", "kube_pod_status_phase", "kube_pod_status_ready",
        "node_cpu_usage_percentage", "node_memory_working_set_percentage",
        "node_disk_usage_percentage", "cluster_autoscaler_unschedulable_pods_count",
        "cluster_autoscaler_unneeded_nodes_count", "cluster_autoscaler_cluster_safe_to_autoscale",
        "apiserver_cpu_usage_percentage", "apiserver_memory_usage_percentage",
    ),
}  # fmt: skip

PAGES: Mapping[str, str] = {
    kinds.ONLINE: "2026-07-13",
    kinds.DEPLOYMENT: "2025-04-16",
    kinds.ACCOUNT: "2026-07-31",
    kinds.EVENTS: "2024-01-10",  # without ReplicationLag*, which are newer: not verified
    kinds.VAULT: "2026-07-13",
    kinds.STORAGE: "",
    kinds.CLUSTER: "2026-07-31",
}
"""The date of the page of each type that was compared; empty: not verified, no copy was at hand."""

_VLLM_GAUGES = (
    "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
)  # fmt: skip
_VLLM_COUNTERS = (
    "vllm:prefix_cache_queries", "vllm:prefix_cache_hits", "vllm:request_success",
    "vllm:prompt_tokens", "vllm:generation_tokens", "vllm:num_preemptions",
)  # fmt: skip
_VLLM_HISTOGRAMS = (
    "vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds",
)  # fmt: skip
_DCGM = (
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP",
    "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE",
)  # fmt: skip
_KEDA = (
    "keda_scaled_object_errors_total", "keda_scaler_detail_errors_total", "keda_scaler_active",
    "keda_scaler_metrics_value", "keda_scaled_object_paused",
)  # fmt: skip
"""https://keda.sh/docs/latest/integrations/prometheus/"""

_KUBERNETES = (
    "up", "kube_node_info", "kube_node_labels", "kube_node_status_allocatable",
    "kube_node_status_capacity", "kube_node_status_condition", "kube_node_spec_taint",
    "kube_node_spec_unschedulable", "kube_pod_info", "kube_pod_status_phase",
    "kube_pod_status_ready", "kube_pod_status_reason", "kube_pod_status_unschedulable",
    "kube_pod_container_status_restarts_total", "kube_pod_container_status_waiting_reason",
    "kube_pod_container_resource_requests", "kube_pod_container_resource_limits",
    "kube_deployment_spec_replicas", "kube_deployment_status_replicas_available",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_status_current_replicas", "kube_resourcequota",
    "container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
    "node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes",
    "node_filesystem_avail_bytes", "node_filesystem_size_bytes",
)  # fmt: skip

PROMETHEUS = frozenset(
    (
        *_VLLM_GAUGES,
        *(f"{name}_total" for name in _VLLM_COUNTERS),
        *(f"{name}_{end}" for name in _VLLM_HISTOGRAMS for end in ("bucket", "sum", "count")),
        *_DCGM,
        *_KUBERNETES,
        *_KEDA,
    )
)
"""Names that a Prometheus rule may query, as they are exposed."""

GPU = re.compile(r"DCGM_FI_|nvidia_com_(?:gpu|mig)")
"""What tells an expression about GPUs: DCGM's metrics, or Kubernetes' count of them."""

TRAFFIC_LOG = "AmlOnlineEndpointTrafficLog"
"""Every request to an online endpoint: a table of Log Analytics.
https://learn.microsoft.com/azure/machine-learning/how-to-monitor-online-endpoints (2026-02-05)"""

CONCERNS: Mapping[str, re.Pattern[str]] = {
    "errors": re.compile(
        r"RequestsPerMinute.*\b(?:statusCode|statusCodeClass|modelStatusCode)\b"
        r"|\b(?:ResponseCode|ModelStatusCode)\b"
    ),
    "latency": re.compile(r"RequestLatency|DurationMs\b"),
}
"""What an alert on an online endpoint asks for, by what it is about: a metric with its dimensions,
or columns of its traffic log."""

_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_BRACES = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*(?:\([^()]*\))?", re.I)
_WORDS = frozenset(("and", "or", "unless", "offset", "bool", "inf", "nan", "start", "end"))
_NAME = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])")
_NAMED = re.compile(r"__name__\s*=\s*[\"']([^\"']*)[\"']")


def queried(expression: str) -> tuple[str, ...]:
    """The metrics that a PromQL expression reads, in its order.

    A name matched by a pattern (``__name__=~``) cannot be looked up and is given as it stands.
    """
    named = _NAMED.findall(expression)
    named += re.findall(r"__name__\s*(?:=~|!~|!=)[^,}]*", expression)
    bare = _LABELS.sub(" ", _BRACES.sub(" ", _STRING.sub("", expression)))
    return (*named, *(name for name in _NAME.findall(bare) if name.lower() not in _WORDS))
