"""What Prometheus is asked: names that exist, of the right application, at the right limits."""

from __future__ import annotations

import re

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

LIMITS = Alerts(emails=("a@example.com",), latency_p95_ms=2500, error_rate=0.02, capacity=0.5)
POOL = GpuPool(name="h100", size="Standard_ND96isr_H100_v5", max_count=4)
NAME = re.compile(r"\b(?:vllm:|DCGM_|keda_|kube_)\w+")
RENAMED = ("gpu_cache_usage_perc", "keda_scaler_errors", "time_per_output_token")


def _all() -> tuple[Rule, ...]:
    return (*model_rules(["bot", "bot-dev"], LIMITS), *gpu_rules([POOL], LIMITS), *keda_rules())


def test_s19_only_metrics_that_are_exposed_today_are_asked_for() -> None:
    asked = {name for rule in _all() for name in NAME.findall(rule.expression)}

    assert asked <= METRICS
    assert not [name for name in asked for old in RENAMED if old in name]


def test_s13_metrics_that_are_missing_are_told_and_never_taken_for_zero() -> None:
    (missing,) = [
        one for one in model_rules(["bot", "bot-dev"], LIMITS) if one.name == "ModelMetricsMissing"
    ]

    assert "unless on()" in missing.expression
    assert not [rule for rule in _all() if "or vector(0)" in rule.expression]


def test_an_applications_rules_ask_about_its_namespaces_alone() -> None:
    for rule in model_rules(["bot", "bot-dev"], LIMITS):
        selectors = re.findall(r"\{([^}]*)\}", rule.expression)
        assert selectors
        assert all('namespace=~"bot|bot-dev"' in one for one in selectors)


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
