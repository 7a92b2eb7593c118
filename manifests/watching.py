"""What Prometheus is asked about an application: by alerts, by the autoscaler, by a dashboard.

The names are those of the application's pods (serving/pod/metrics.py), as of the local gateway. The
tests hold them to real pages, and the queries to a real Prometheus (S19).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from manifests.model import SHORT, Rendering
from release.integrity import sha256

IN_FLIGHT = "greenlight_in_flight"
REQUESTS = "greenlight_requests_total"
DURATION = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105 - no password
PER_TOKEN = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105
METRICS = (IN_FLIGHT, REQUESTS, DURATION, FIRST_TOKEN, PER_TOKEN)
"""What the application exposes; histograms without their endings."""

FAILED = "error|truncated|cut"
"""Outcomes that are the slot's own fault."""


@dataclass(frozen=True)
class Alert:
    """An alert rule; ``lasting`` is how long the query has to hold."""

    name: str
    query: str
    lasting: str
    severity: str
    summary: str


def alerts(r: Rendering) -> tuple[Alert, ...]:
    """Errors, latency, nobody ready."""
    of = _selector(r)
    failed = f'sum by (slot) (rate({REQUESTS}{{{of},outcome=~"{FAILED}"}}[5m]))'
    every = f"sum by (slot) (rate({REQUESTS}{{{of}}}[5m]))"
    slowest = f"sum by (le, slot) (rate({DURATION}_bucket{{{of}}}[5m]))"
    return (
        Alert("AnswersFail", f"{failed} / {every} > 0.05", "5m", "critical",
              f"One answer in twenty of {r.application} fails"),
        Alert("AnswersAreSlow", f"histogram_quantile(0.95, {slowest}) > 30", "10m", "warning",
              f"One answer in twenty of {r.application} takes over 30 s"),
        Alert("NobodyAnswers", _nobody(r), "5m", "critical",
              f"A deployment of {r.application} has no pod that is ready"),
    )  # fmt: skip


def _nobody(r: Rendering) -> str:
    """Slots of ours without a pod that is ready, once weights had the time to be loaded.

    Not the watcher, which answers no user, and not whatever else is called ``APP-…``. Of model
    servers nothing is asked: by its name nobody can tell whose one is in a shared namespace, and
    while it is away no pod of its slot is ready.
    """
    of = f'{{namespace="{r.namespace}",deployment=~"{r.application}-(blue|green)"}}'
    return (
        f"kube_deployment_status_replicas_available{of} == 0 and kube_deployment_spec_replicas{of}"
        f" > 0 unless on (namespace, deployment) time() - kube_deployment_created{of}"
        f" < {r.settings.server.load_seconds}"
    )


def in_flight(r: Rendering, slot: str) -> str:
    """Requests under way in a slot, over all of its pods: what it is scaled by."""
    return f'sum({IN_FLIGHT}{{{_selector(r)},slot="{slot}"}})'


def dashboard(r: Rendering) -> str:
    """A Grafana dashboard, as the JSON that its sidecar takes."""
    of = _selector(r)
    rate = "[$__rate_interval]"
    panels = (
        ("By outcome", f"sum by (slot, outcome) (rate({REQUESTS}{{{of}}}{rate}))", "reqps"),
        ("In flight", f"sum by (slot) ({IN_FLIGHT}{{{of}}})", "short"),
        *((f"{what}, 95 % below", _quantile(metric, of, rate), "s") for what, metric in (
            ("Whole answers", DURATION), ("First token", FIRST_TOKEN), ("Token to token", PER_TOKEN)
        )),
    )  # fmt: skip
    return json.dumps(
        {
            "uid": f"greenlight-{sha256(r.full_name.encode())[:SHORT]}",
            "title": f"{r.application} in {r.environment}",
            "tags": ["greenlight"],
            "schemaVersion": 39,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "panels": [_panel(number, *panel) for number, panel in enumerate(panels)],
        },
    )


def _quantile(metric: str, of: str, rate: str) -> str:
    return f"histogram_quantile(0.95, sum by (le, slot) (rate({metric}_bucket{{{of}}}{rate})))"


def _panel(number: int, title: str, query: str, unit: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": "A", "expr": query}],
    }


def _selector(r: Rendering) -> str:
    """The pods of every slot; two applications may share a namespace."""
    return f'namespace="{r.namespace}",pod=~"{r.application}-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+"'
