"""What Prometheus asks about models, GPUs and autoscalers: rules as data, no Azure in them.

The names of metrics are those that vLLM, NVIDIA's DCGM exporter, KEDA 2.14 and kube-state-metrics
expose today. A rule over a name that is gone never fires, and nobody notices: so METRICS lists
what may be asked for, and one rule for each application fires when a namespace of it has pods but
no metrics. Both sides of it have the pods' ``namespace``: kube-state-metrics tells it, and Azure's
collector gives that target none of its own; what is read by a PodMonitor gets it by that. What is
read by pods' annotations has ``kubernetes_namespace`` alone, and so counts as missing.
https://github.com/Azure/prometheus-collector, otelcollector/configmapparser/default-prom-configs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.azure.cluster_settings import GpuPool
from infra.azure.settings import Alerts

METRICS = frozenset(
    {
        "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
        "vllm:time_to_first_token_seconds_bucket", "vllm:inter_token_latency_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket", "vllm:request_success_total",
        "vllm:prompt_tokens_total", "vllm:generation_tokens_total",
        "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_XID_ERRORS",
        "keda_scaled_object_errors_total", "keda_scaler_detail_errors_total",
        "kube_node_info", "kube_node_status_allocatable", "kube_pod_info",
    }
)  # fmt: skip

QUICK, SLOW = "PT5M", "PT15M"
"""How long something has to be so before somebody is told, ISO 8601."""


@dataclass(frozen=True)
class Alert:
    """Fires when ``expression`` has a result for ``lasting``. ``severity``: 0 worst, 4 least."""

    name: str
    expression: str
    says: str
    lasting: str = QUICK
    severity: int = 2


@dataclass(frozen=True)
class Record:
    """``expression``, kept under ``name``, for dashboards and autoscalers."""

    name: str
    expression: str


Rule = Alert | Record


def model_rules(namespaces: Sequence[str], limits: Alerts) -> tuple[Rule, ...]:
    """Of an application that vLLM serves in ``namespaces``. Records take those together; alerts do
    not, or what goes well in one would hide that another fails, or has no metrics.
    """
    where = f'namespace=~"{"|".join(namespaces)}"'
    slow = limits.latency_p95_ms / 1000
    return (
        Record("greenlight:time_to_first_token_seconds:p95", _p95("time_to_first_token", where)),
        Record("greenlight:inter_token_latency_seconds:p95", _p95("inter_token_latency", where)),
        Record("greenlight:prefix_cache:hit_ratio", _hits(where)),
        Record("greenlight:tokens_generated:rate5m", _total("vllm:generation_tokens_total", where)),
        Alert("ModelErrors", _failed(where, limits.error_rate), "Requests end without an answer."),
        Alert(
            "ModelSlow",
            f"{_p95('e2e_request_latency', where, 'namespace, le')} > {slow:g}",
            "The 95th percentile of a request's time is too long.",
        ),
        Alert(
            "ModelQueues",
            f"avg by (namespace) (vllm:num_requests_waiting{{{where}}}) > "
            f"avg by (namespace) (vllm:num_requests_running{{{where}}})",
            "More requests wait than are served.",
            SLOW,
        ),
        Alert(
            "ModelCacheFull",
            f"max by (namespace) (vllm:kv_cache_usage_perc{{{where}}}) >= {limits.capacity:g}",
            "The key-value cache is nearly full: requests will wait or be computed again.",
            SLOW,
        ),
        Alert(
            "ModelMetricsMissing",
            f"(sum by (namespace) (kube_pod_info{{{where}}}) > 0) unless on (namespace) "
            f"count by (namespace) (vllm:num_requests_running{{{where}}})",
            "There are pods but no metrics: nothing else here can fire for them.",
            SLOW,
            severity=1,
        ),
    )


def gpu_rules(pools: Sequence[GpuPool], limits: Alerts) -> tuple[Rule, ...]:
    """Of the cluster's GPUs, whatever runs on them."""
    busy = 100 * limits.gpu_utilization
    general: tuple[Rule, ...] = (
        Record("greenlight:gpu_utilization:avg", "avg by (Hostname) (DCGM_FI_DEV_GPU_UTIL)"),
        Record(
            "greenlight:gpu_memory:used_ratio",
            "sum by (Hostname) (DCGM_FI_DEV_FB_USED) / "
            "sum by (Hostname) (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)",
        ),
        Alert(
            "GpuBusy",
            f"avg by (Hostname) (DCGM_FI_DEV_GPU_UTIL) >= {busy:g}",
            "A node's GPUs have no room.",
            SLOW,
        ),
        Alert("GpuFault", "DCGM_FI_DEV_XID_ERRORS > 0", "A GPU reports an error.", "PT1M", 1),
    )
    return general + tuple(rule for pool in pools for rule in _pool_rules(pool, limits))


def keda_rules() -> tuple[Rule, ...]:
    """Of the autoscaler, which does nothing when it cannot read what it scales by."""
    return (
        Alert(
            "ScalingFails",
            "sum by (exported_namespace, scaledObject) "
            "(increase(keda_scaled_object_errors_total[10m])) > 0",
            "KEDA cannot scale an application.",
            severity=1,
        ),
        Alert(
            "ScalerFails",
            "sum by (exported_namespace, scaledObject, scaler) "
            "(increase(keda_scaler_detail_errors_total[10m])) > 0",
            "KEDA cannot read the metric that it scales by.",
            severity=1,
        ),
    )


def _pool_rules(pool: GpuPool, limits: Alerts) -> tuple[Rule, ...]:
    """AKS names nodes after their pool."""
    nodes = f'node=~"aks-{pool.name}-.*"'
    offered = f'kube_node_status_allocatable{{resource=~"nvidia_com_.*",{nodes}}} > 0'
    return (
        Alert(
            f"GpuNotOffered-{pool.name}",
            f"kube_node_info{{{nodes}}} unless on (node) ({offered})",
            "A GPU node offers no GPU: its driver or device plugin is missing.",
            SLOW,
            severity=1,
        ),
        Alert(
            f"GpuPoolFull-{pool.name}",
            f"count(kube_node_info{{{nodes}}}) >= {limits.capacity * pool.max_count:g}",
            "The pool is nearly as large as it may become.",
            SLOW,
            severity=3,
        ),
    )


def _p95(what: str, where: str, by: str = "le") -> str:
    rate = _rate(f"vllm:{what}_seconds_bucket", where)
    return f"histogram_quantile(0.95, sum by ({by}) ({rate}))"


def _total(metric: str, where: str) -> str:
    return f"sum({_rate(metric, where)})"


def _rate(metric: str, where: str) -> str:
    return f"rate({metric}{{{where}}}[5m])"


def _hits(where: str) -> str:
    hits, queries = (f"vllm:prefix_cache_{one}_total" for one in ("hits", "queries"))
    return f"{_total(hits, where)} / {_total(queries, where)}"


def _failed(where: str, limit: float) -> str:
    """vLLM counts each request that ended by its reason."""
    ended = "vllm:request_success_total"
    failed = _rate(ended, f'{where},finished_reason=~"abort|error"')
    every = _rate(ended, where)
    return f"sum by (namespace) ({failed}) / sum by (namespace) ({every}) > {limit:g}"
