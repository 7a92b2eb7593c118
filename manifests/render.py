"""An application in an environment as Kubernetes objects: one file an object, in a stable order.

Pure: the same input gives the same bytes on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from manifests.engines import fetched_by_pods, model_name, server
from manifests.model import Rendering, Slot
from manifests.order import RANKS
from manifests.watching import alerts, dashboard, in_flight
from manifests.yaml_text import block, scalar
from release.bundle import Release
from release.errors import BadInput, Problem

SETTLE_SECONDS = 5
"""Between a pod's leaving the endpoints and its being told to stop: proxies learn of it late."""

TELL_SECONDS = 10
"""After its drain a pod's last numbers wait to be read, and its connections to be closed."""

PRIORITY_CLASS = "greenlight-serving"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@dataclass(frozen=True)
class Rendered:
    """One object. ``text`` is its YAML, ``file`` the name of its file."""

    kind: str
    name: str
    text: str

    @property
    def file(self) -> str:
        """Sorts in the order in which it is applied."""
        return f"{RANKS[self.kind]:02}-{self.kind.lower()}-{self.name}.yaml"

    @property
    def object(self) -> dict[str, Any]:
        """As data."""
        loaded: dict[str, Any] = yaml.load(self.text, Loader=_LOADER)  # noqa: S506 - CSafeLoader
        return loaded


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def render(rendering: Rendering) -> tuple[Rendered, ...]:
    """Every object of ``rendering``, in the order in which they are applied.

    BadInput for a patch of an object that is not there.
    """
    made = [_rendered(kind, name, file, values) for kind, name, file, values in _all(rendering)]
    patched = _patched(rendering, {(one.kind, one.name): one for one in made})
    return tuple(sorted(patched, key=lambda one: one.file))


Piece = tuple[str, str, str, Mapping[str, Any]]
"""Kind, name and template of an object, and the values that the template takes."""


def _all(r: Rendering) -> Iterator[Piece]:
    labels = {**RESTRICTED, **r.labels}
    common = {"r": r, "settle_seconds": SETTLE_SECONDS, "priority_class": PRIORITY_CLASS}
    yield "Namespace", r.namespace, "namespace", {**common, "namespace_labels": labels}
    yield "ServiceAccount", r.application, "service-account", common
    if r.settings.priority == "serving":
        yield "PriorityClass", PRIORITY_CLASS, "priority-class", common
    yield "NetworkPolicy", f"{r.application}-deny", "deny-all", common
    yield "NetworkPolicy", r.application, "allow-application", common
    fetches = any(fetched_by_pods(release) for _, release in r.servers)
    policy = {**common, "fetches": fetches}
    yield "NetworkPolicy", f"{r.application}-models", "allow-server", policy
    for name, release in r.servers:
        yield from _server(r, name, release, common)
    for slot in r.slots:
        yield from _slot(r, slot, common)
    if r.slots:
        yield "HTTPRoute", r.application, "route", common
    yield "PodMonitor", r.application, "pod-monitor", common
    yield "PrometheusRule", r.application, "prometheus-rule", {**common, "alerts": alerts(r)}
    yield "ConfigMap", f"{r.application}-dashboard", "dashboard", {**common, **_dashboard(r)}


def _server(
    r: Rendering, name: str, release: Release, common: Mapping[str, Any]
) -> Iterator[Piece]:
    component = {"app.kubernetes.io/component": "model-server", "greenlight/server": name}
    values = {
        **common,
        **_labels(r, name, component),
        "server": server(release, r.settings),
        "grace": r.drain_seconds + SETTLE_SECONDS + 5,
        "startup_failures": -(-r.settings.server.load_seconds // 5),
        "max_unavailable": 1,
    }
    yield "Deployment", name, "model-server", values
    yield "Service", name, "service", values
    yield "PodDisruptionBudget", name, "disruption-budget", values


def _slot(r: Rendering, slot: Slot, common: Mapping[str, Any]) -> Iterator[Piece]:
    name = r.of_slot(slot.name)
    component = {"app.kubernetes.io/component": "application", "greenlight/slot": slot.name}
    values = {
        **common,
        **_labels(r, name, component),
        "slot": slot,
        "model_name": model_name(slot.release),
        "grace": r.drain_seconds + SETTLE_SECONDS + TELL_SECONDS,
        "startup_failures": -(-r.settings.server.load_seconds // 2),
        "max_unavailable": f"{round(r.settings.max_unavailable * 100)}%",
    }
    yield "ConfigMap", slot.prompt_name, "prompt", values
    yield "Deployment", name, "application", values
    yield "Service", name, "service", values
    if r.settings.scaling.prometheus:
        scaled = {**values, "query": in_flight(r, slot.name)}
        yield "ScaledObject", name, "scaled-object", scaled
    else:
        yield "HorizontalPodAutoscaler", name, "autoscaler", values
    yield "PodDisruptionBudget", name, "disruption-budget", values


def _dashboard(r: Rendering) -> dict[str, Any]:
    return {
        "dashboard_labels": {**r.labels, "grafana_dashboard": "1"},
        "dashboard_file": f"{r.application}-{r.environment}.json",
        "dashboard": dashboard(r),
    }


def _labels(r: Rendering, name: str, component: Mapping[str, str]) -> dict[str, Any]:
    own = {**r.labels, **component}
    trusted = {"azure.workload.identity/use": "true"} if r.settings.identity else {}
    selector = {"app.kubernetes.io/name": r.application, **component}
    pod_labels = {**own, **trusted}
    return {"name": name, "labels": own, "selector": selector, "pod_labels": pod_labels}


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("manifests"),
        finalize=scalar,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - every value is written by `scalar`, as YAML
        keep_trailing_newline=True,
    )
    environment.filters["block"] = block
    return environment.get_template(f"{name}.yaml.j2")


def _rendered(kind: str, name: str, template: str, values: Mapping[str, Any]) -> Rendered:
    return Rendered(kind, name, _template(template).render(values))


def _patched(r: Rendering, made: dict[tuple[str, str], Rendered]) -> list[Rendered]:
    for number, one in enumerate(r.settings.patches):
        key = (one.kind, one.name)
        if key not in made:
            there = ", ".join(f"{kind}/{name}" for kind, name in made)
            path = f"environments.{r.environment}.kubernetes.patches[{number}]"
            raise BadInput(Problem(f"one of {there}", f"{one.kind}/{one.name}", path=path))
        merged = merge(made[key].object, one.patch)
        text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=1000)
        made[key] = Rendered(one.kind, one.name, text)
    return list(made.values())


def merge(value: Any, patch: Any) -> Any:
    """RFC 7396: ``patch`` laid over ``value``; null takes a key away, a list is replaced whole."""
    if not isinstance(patch, Mapping):
        return json.loads(json.dumps(patch))
    kept = dict(value) if isinstance(value, Mapping) else {}
    for key, one in patch.items():
        if one is None:
            kept.pop(key, None)
        else:
            kept[key] = merge(kept.get(key), one)
    return kept
