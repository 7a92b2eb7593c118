"""An application in an environment as Kubernetes objects: one file an object, in a stable order.

Pure: the same input gives the same bytes on every machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from math import ceil
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from manifests import secrets
from manifests.engines import fetched_by_pods, model_name, server
from manifests.engines.base import at
from manifests.model import Piece, Rendering, Slot, labelled, own
from manifests.order import RANKS
from manifests.watcher import LARGEST, watcher_keys, watcher_pieces
from manifests.watching import alerts, dashboard, in_flight
from manifests.yaml_text import block, scalar
from release.errors import BadInput, Problem
from release.kubernetes_section import Patch

TELL_SECONDS = 10
"""After its drain a pod's last numbers wait to be read, and its connections to be closed."""

COPIES_PORT = 81
"""Of a slot's Service, for what a mirror sends: by the port its pods know a copy."""

CONTROLLER_KINDS = ("Application", "GitRepository", "Kustomization")
"""Kinds of what is in the namespace of Argo CD or Flux: ``manifests.gitops`` renders them."""

PRIORITY_CLASS = "greenlight-serving"

MONITORS = {"operator": "monitoring.coreos.com", "azure": "azmonitoring.coreos.com"}
"""Whose PodMonitor it is, by its API group; with none there is none
(https://learn.microsoft.com/azure/azure-monitor/containers/prometheus-metrics-scrape-crd)."""

OURS = ("app.kubernetes.io/", own(""))
"""How labels begin by which objects are found."""

APART = ("Namespace", "PriorityClass")
"""Kinds that are the cluster's, and in no folder of Git. A controller writes whatever has the name,
by force, and Argo CD lets one Application alone have an object; so Greenlight makes these itself,
where they are not there.
"""

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


def render(r: Rendering) -> tuple[Rendered, ...]:
    """Every object of ``r``, in the order in which they are applied; by Git, those of its folder.

    BadInput for a patch of an object that is not there.
    """
    apart = CONTROLLER_KINDS if r.settings.git else ()
    made = finished(r, _all(r), lambda kind: kind not in apart)
    return followed(made) if r.settings.git else made


def followed(objects: Iterable[Rendered]) -> tuple[Rendered, ...]:
    """Those of ``objects`` that a folder has which a controller follows."""
    return tuple(one for one in objects if one.kind not in APART)


def finished(
    r: Rendering, pieces: Iterable[Piece], meant: Callable[[str], bool]
) -> tuple[Rendered, ...]:
    """``pieces`` with their patches. BadInput for a patch of a kind that is ``meant`` to be among
    them, and of an object that is not.
    """
    made = _made(pieces)
    _require_patched(r, made, meant)
    return _finished(r, made)


def render_shell(r: Rendering) -> tuple[Rendered, ...]:
    """What belongs to no slot and to no model server, whatever the slots are; not the route."""
    return _finished(r, _made(_shell(r, _common(r))))


def render_closing(r: Rendering) -> Rendered:
    """The policy that closes every pod of the namespace, whosever it is. It is in no folder: only
    a namespace that was made here may be closed so, and no file can know that.
    """
    name = f"{r.application}-deny-all"
    values = {**_common(r), "name": name, "closes": {}, "labels": r.labels_apart}
    (closing,) = _finished(r, _made([("NetworkPolicy", name, "deny-all", values)]))
    return closing


def render_slot(r: Rendering, slot: str) -> tuple[Rendered, ...]:
    """What serves ``slot``: its own objects and those of its model server, shared or not."""
    return _finished(r, _made([*_server(r, r.slot(slot), _common(r)),
                               *_slot(r, r.slot(slot), _common(r))]))  # fmt: skip


def render_server(r: Rendering, slot: str) -> tuple[Rendered, ...]:
    """The objects of the model server behind ``slot``."""
    return _finished(r, _made(_server(r, r.slot(slot), _common(r))))


def render_route(r: Rendering) -> Rendered:
    """The HTTPRoute with the slots' weights; without a slot it leads nowhere."""
    (route,) = _finished(r, _made(_route(r, _common(r))))
    return route


def render_watcher(r: Rendering, spec: str) -> tuple[Rendered, ...]:
    """What watches a rollout of ``r``, in the order in which it is applied.

    ``spec`` is the ``llm.yaml`` that it goes by. BadInput where no ConfigMap can hold it.
    """
    return _finished(r, _made(watcher_pieces(r, spec, _common(r))))


Made = dict[tuple[str, str], Rendered]
"""Objects by kind and name."""


def _common(r: Rendering) -> dict[str, Any]:
    return {"r": r, "settle_seconds": r.settings.settle_seconds, "priority_class": PRIORITY_CLASS}


def _all(r: Rendering) -> Iterator[Piece]:
    common = _common(r)
    yield from _shell(r, common)
    for slot in {slot.server_name: slot for slot in r.slots}.values():
        yield from _server(r, slot, common)
    for slot in r.slots:
        yield from _slot(r, slot, common)
    yield from _route(r, common)


def _shell(r: Rendering, common: Mapping[str, Any]) -> Iterator[Piece]:
    labels = {**RESTRICTED, **r.labels_apart}
    yield "Namespace", r.namespace, "namespace", {**common, "namespace_labels": labels}
    yield "ServiceAccount", r.application, "service-account", common
    if r.settings.priority == "serving":
        yield "PriorityClass", PRIORITY_CLASS, "priority-class", common
    denied, closes = f"{r.application}-deny", {"matchLabels": r.ours}
    yield "NetworkPolicy", denied, "deny-all", {**common, "name": denied, "closes": closes}
    yield "NetworkPolicy", r.application, "allow-application", common
    yield "NetworkPolicy", f"{r.application}-models", "allow-server", common
    yield from _secrets(r, common)
    yield from _monitors(r, common)
    yield "ConfigMap", f"{r.application}-dashboard", "dashboard", {**common, **_dashboard(r)}


def _monitors(r: Rendering, common: Mapping[str, Any]) -> Iterator[Piece]:
    """Azure's kinds are the operator's but for their group, and it takes none of that one."""
    if group := MONITORS.get(r.settings.monitors):
        values = {**common, "slot_label": own("slot"), "monitors": group}
        yield "PodMonitor", r.application, "pod-monitor", values
    if r.settings.monitors == "operator":
        yield "PrometheusRule", r.application, "prometheus-rule", {**common, "alerts": alerts(r)}


def _secrets(r: Rendering, common: Mapping[str, Any]) -> Iterator[Piece]:
    if given := r.settings.secrets:
        values = {**common, **secrets.values(r, given)}
        vault = ("SecretProviderClass", secrets.name_of(r), "secret-provider-class", values)
        external = ("ExternalSecret", secrets.name_of(r), "external-secret", values)
        yield vault if given.source.key_vault else external


def _route(r: Rendering, common: Mapping[str, Any]) -> Iterator[Piece]:
    seconds = r.settings.gateway.timeout_seconds
    timeout = None if seconds is None else f"{seconds}s"
    values = {**common, "pinning": pinning, "copies_port": COPIES_PORT, "timeout": timeout}
    yield "HTTPRoute", r.application, "route", values


def pinning(cookie: str, slot: str) -> str:
    """What a Cookie header that asks for ``slot`` matches, whole (RFC 6265, section 4.2.1).

    Anchored: gateways differ in whether a part of the header is enough.
    """
    return f"^(.*; ?)?{re.escape(cookie)}={re.escape(slot)}(;.*)?$"


def _server(r: Rendering, slot: Slot, common: Mapping[str, Any]) -> Iterator[Piece]:
    name = slot.server_name
    component = {"app.kubernetes.io/component": "model-server", own("server"): name}
    served = server(slot.release, r)
    values = {
        **common,
        **labelled(r, name, component),
        "server": replace(served, mounts=served.mounts + secrets.mounts(r)),
        "variables": secrets.variables(r, served),
        "grace": r.drain_seconds + r.settings.settle_seconds + 5,
        "startup_failures": -(-r.settings.server.load_seconds // 5),
        "max_unavailable": 1,
    }
    for kind, template in served.objects:
        yield kind, name, template, values
    if fetched_by_pods(slot.release):
        yield "NetworkPolicy", name, "allow-fetch", values


def _slot(r: Rendering, slot: Slot, common: Mapping[str, Any]) -> Iterator[Piece]:
    name = r.of_slot(slot.name)
    component = {"app.kubernetes.io/component": "application", own("slot"): slot.name}
    values = {
        **common,
        **labelled(r, name, component),
        "slot": slot,
        "model_name": model_name(slot.release),
        "copies_port": COPIES_PORT,
        "grace": r.drain_seconds + r.settings.settle_seconds + TELL_SECONDS,
        "max_unavailable": f"{ceil(round(r.settings.max_unavailable * 100, 6))}%",
    }
    _require_small(slot)
    yield "ConfigMap", slot.prompt_name, "prompt", values
    yield "Deployment", name, "application", {**values, **_told(slot, values)}
    yield "Service", name, "service", values
    if r.settings.scaling.prometheus:
        scaled = {**values, "query": in_flight(r, slot.name)}
        yield "ScaledObject", name, "scaled-object", scaled
    else:
        yield "HorizontalPodAutoscaler", name, "autoscaler", values
    yield "PodDisruptionBudget", name, "disruption-budget", values


def _require_small(slot: Slot) -> None:
    size = len(slot.bundle.encode())
    if size > LARGEST:
        expected = f"messages that a ConfigMap can hold, {LARGEST} bytes with what goes along"
        remedy = "Shorten them, or let callers send long texts as inputs."
        raise BadInput(Problem(expected, f"{size} bytes", remedy, path="prompt.messages"))


def _told(slot: Slot, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a Deployment and its pods say of the release; no selector asks for it."""
    version = {"app.kubernetes.io/version": slot.version}
    return {
        "labels": {**values["labels"], **version},
        "pod_labels": {**values["pod_labels"], **version},
        "annotations": slot.annotations,
        "pod_annotations": {own("release"): slot.release.digest},
    }


def _dashboard(r: Rendering) -> dict[str, Any]:
    return {
        "dashboard_labels": {**r.labels, "grafana_dashboard": "1"},
        "dashboard_file": f"{r.full_name}.json",
        "dashboard": dashboard(r),
    }


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("manifests"),
        finalize=scalar,
        undefined=StrictUndefined,
        auto_reload=False,
        autoescape=False,  # noqa: S701 - every value is written by `scalar`, as YAML
        keep_trailing_newline=True,
    )
    environment.filters["block"] = block
    return environment.get_template(f"{name}.yaml.j2")


def _made(pieces: Iterable[Piece]) -> Made:
    return {
        (kind, name): Rendered(kind, name, _template(template).render(values))
        for kind, name, template, values in pieces
    }


def _finished(r: Rendering, made: Made) -> tuple[Rendered, ...]:
    """With its patches, in the order in which objects are applied."""
    patches = tuple(enumerate(r.settings.patches))
    patched = [reduce(partial(_patched, r), patches, one) for one in made.values()]
    return tuple(sorted(patched, key=lambda one: one.file))


def _patched(r: Rendering, one: Rendered, numbered: tuple[int, Patch]) -> Rendered:
    number, patch = numbered
    if not _meant(patch, one.kind, one.name):
        return one
    before = one.object
    merged = merge(before, patch.patch)
    if lost := [key for key, value in _known_by(before) if (key, value) not in _known_by(merged)]:
        expected = f"{one.kind}/{one.name} to stay what it is known by"
        remedy = "A patch changes what an object holds, and not which one it is."
        path = at(r, f"patches[{number}].patch")
        raise BadInput(Problem(expected, f"another {' and '.join(lost)}", remedy, path=path))
    return Rendered(one.kind, one.name, f"{block(merged, 0).lstrip()}\n")


def _known_by(one: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """By what it is found again, in a cluster and in a folder. Of an interface the group is one
    thing and the version another: a platform may still have an older one.
    """
    meta = one.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    labels = meta.get("labels")
    ours = tuple(
        (f"label {key}", value)
        for key, value in (labels.items() if isinstance(labels, Mapping) else ())
        if key.startswith(OURS)
    )
    version = one.get("apiVersion")
    return (
        ("API group", version.rpartition("/")[0] if isinstance(version, str) else None),
        ("kind", one.get("kind")),
        *((key, meta.get(key)) for key in ("name", "namespace")),
        *ours,
    )


def _meant(patch: Patch, kind: str, name: str) -> bool:
    parts = map(re.escape, patch.name.split("*"))
    return patch.kind == kind and re.fullmatch(".*".join(parts), name) is not None


def _require_patched(r: Rendering, made: Made, meant: Callable[[str], bool]) -> None:
    """A patch that changes nothing is a mistake, seen where everything is rendered."""
    for number, patch in enumerate(r.settings.patches):
        there = (*made, *watcher_keys(r))
        if meant(patch.kind) and not any(_meant(patch, *key) for key in there):
            named = ", ".join(f"{kind}/{name}" for kind, name in made)
            path, found = at(r, f"patches[{number}]"), f"{patch.kind}/{patch.name}"
            remedy = "Name one that is there; * is any text."
            raise BadInput(Problem(f"one of {named}", found, remedy, path=path))


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
