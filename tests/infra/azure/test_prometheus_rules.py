"""What Prometheus is asked: names that exist, of the right application, at the right limits."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from infra.azure.cluster_settings import GpuPool
from infra.azure.prometheus_rules import (
    METRICS,
    Alert,
    Record,
    Rule,
    gpu_rules,
    keda_rules,
    model_rules,
)
from infra.azure.settings import Alerts
from tests.cluster.scraping import Prometheus

LIMITS = Alerts(emails=("a@example.com",), latency_p95_ms=2500, error_rate=0.02, capacity=0.5)
POOL = GpuPool(name="h100", size="Standard_ND96isr_H100_v5", max_count=4)
NAME = re.compile(r"\b(?:vllm:|DCGM_|keda_|kube_)\w+")
RENAMED = ("gpu_cache_usage_perc", "keda_scaler_errors", "time_per_output_token")


BOTH = '{namespace=~"bot|bot-dev"}'


def _missing(application: str = "bot") -> str:
    rules = model_rules([application, f"{application}-dev"], LIMITS)
    (found,) = [one for one in rules if one.name == "ModelMetricsMissing"]
    return found.expression


def _all() -> tuple[Rule, ...]:
    return (*model_rules(["bot", "bot-dev"], LIMITS), *gpu_rules([POOL], LIMITS), *keda_rules())


def test_s19_only_metrics_that_are_exposed_today_are_asked_for() -> None:
    asked = {name for rule in _all() for name in NAME.findall(rule.expression)}

    assert asked <= METRICS
    assert not [name for name in asked for old in RENAMED if old in name]


def test_s13_metrics_that_are_missing_are_told_and_never_taken_for_zero() -> None:
    """Namespace by namespace, on both sides: what one has says nothing of another."""
    pods, metrics = _missing().split(" unless on (namespace) ")

    assert pods == f"(sum by (namespace) (kube_pod_info{BOTH}) > 0)"
    assert metrics == f"count by (namespace) (vllm:num_requests_running{BOTH})"
    assert not [rule for rule in _all() if "or vector(0)" in rule.expression]


WITH_PODS, WITH_METRICS = "kube_pod_info", "vllm:num_requests_running"
SERIES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "both": {WITH_PODS: ("both", "both-dev"), WITH_METRICS: ("both", "both-dev")},
    "one": {WITH_PODS: ("one",), WITH_METRICS: ("one",)},
    "first": {WITH_PODS: ("first", "first-dev"), WITH_METRICS: ("first-dev",)},
    "second": {WITH_PODS: ("second", "second-dev"), WITH_METRICS: ("second",)},
    "neither": {WITH_PODS: ("neither", "neither-dev"), WITH_METRICS: ()},
    "nothing": {WITH_PODS: (), WITH_METRICS: ()},
}
"""By application: the namespaces in which a metric is told. Each is everybody else's neighbour."""

TOLD = {
    "first": {"first"},
    "second": {"second-dev"},
    "neither": {"neither", "neither-dev"},
}


def test_s13_prometheus_tells_of_each_namespace_that_has_pods_and_no_metrics(
    prometheus: Prometheus,
) -> None:
    """Whatever the application's other namespace has. The target has no ``namespace`` of its own,
    as Azure's collector gives kube-state-metrics none.
    """
    lines = [
        f'{metric}{{namespace="{space}",pod="{space}-0"}} {int(metric == WITH_PODS)}'
        for metric in (WITH_PODS, WITH_METRICS)
        for spaces in SERIES.values()
        for space in spaces[metric]
    ]
    with page("".join(f"{line}\n" for line in lines)) as address:
        prometheus.scrape([(address, {})])
        prometheus.until_read()
        told = {
            one: {row["metric"]["namespace"] for row in prometheus.ask(_missing(one))}
            for one in SERIES
        }

    assert {one: spaces for one, spaces in told.items() if spaces} == TOLD


@contextmanager
def page(text: str) -> Iterator[str]:
    """The address at which ``text`` is read as metrics."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_an_applications_rules_ask_about_its_namespaces_alone() -> None:
    for rule in model_rules(["bot", "bot-dev"], LIMITS):
        selectors = re.findall(r"\{([^}]*)\}", rule.expression)
        assert selectors
        assert all('namespace=~"bot|bot-dev"' in one for one in selectors)


def test_an_alert_takes_no_two_namespaces_together_and_a_record_does() -> None:
    """Requests that end well in one would hide that all of another's fail."""
    for rule in model_rules(["bot", "bot-dev"], LIMITS):
        joined = re.findall(r"\b(?:sum|avg|max|count)\b(?: by \(([^)]*)\))?", rule.expression)
        assert joined
        assert {"namespace" in by for by in joined} == {isinstance(rule, Alert)}


def test_limits_are_the_settings_own() -> None:
    by_name = {one.name: one.expression for one in _all()}

    assert by_name["ModelSlow"].endswith("> 2.5")
    assert by_name["ModelErrors"].endswith("> 0.02")
    assert by_name["GpuBusy"].endswith(">= 95")
    assert by_name["GpuPoolFull-h100"].endswith(">= 2")


def test_rules_have_names_of_their_own() -> None:
    names = [rule.name for rule in _all()]

    assert len(set(names)) == len(names)
    assert all(isinstance(rule, Alert | Record) for rule in _all())
    assert all(rule.says.endswith(".") for rule in _all() if isinstance(rule, Alert))
