"""The watcher as Kubernetes objects: two small pods, of which an election lets one act.

They are there only while a rollout is watched. What they may do is what a return does, in their
own namespace; the key that they sign with is in a Secret that is never rendered, so it is in no
file and in no repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manifests.model import SHORT, Piece, Rendering, labelled
from release.errors import BadInput, Problem
from release.integrity import sha256

LARGEST = 1 << 20
"""Bytes that the API server takes in a ConfigMap (``MaxSecretSize`` in Kubernetes'
pkg/apis/core/types.go), and that a spec may have (release/documents.py)."""

SPEC_FILE = "llm.yaml"
REPLICAS = 2
ALIVE_PORT = 8081
API_SERVER_PORTS = (443, 6443)
"""Of managed clusters, and of those that kubeadm makes."""
PROMETHEUS_PORT = 9090
AROUND = 60
"""Seconds that a turn which was told to end has beyond the drain it may be waiting for."""

TRUSTED = {"azure.workload.identity/use": "true"}
"""On pods into which Azure's webhook puts a token that is good for the identity. Of all pods only a
watcher asks Azure for anything itself: what a node mounts, as a Key Vault's secrets, it reads by
tokens of its own (CSI's tokenRequests), and whoever parses callers' texts holds none.
"""

_PORT = re.compile(r"^https?://[^/:]+:(\d+)")
_GATEWAY, _LEASES = "gateway.networking.k8s.io", "coordination.k8s.io"
_ALL = ("get", "list", "create", "patch", "delete")
_KEEP = ("get", "update", "patch")


@dataclass(frozen=True)
class Rule:
    """What may be done with objects of one API group; only with those of ``names`` if given."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


def watcher_name(r: Rendering) -> str:
    """The name of the watcher's Deployment, account, role, policy, budget, and of the Lease that
    its pods elect by."""
    return f"{r.application}-watcher"


def keys_name(r: Rendering) -> str:
    """The name of the Secret with its keys."""
    return f"{watcher_name(r)}-keys"


def spec_name(r: Rendering, spec: str) -> str:
    """The name of the ConfigMap with ``spec``: another content has another name."""
    return f"{watcher_name(r)}-{sha256(spec.encode())[:SHORT]}"


def anchor_name(r: Rendering) -> str:
    """The name of the Lease in which the target keeps its fence, and the ledger's head."""
    return f"{r.application}-greenlight"


def watcher_keys(r: Rendering) -> frozenset[tuple[str, str]]:
    """Kind and name of what a patch may name here. ``spec`` is as it is."""
    kinds = ("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
    return frozenset(
        (kind, watcher_name(r)) for kind in (*kinds, "PodDisruptionBudget", "Deployment")
    )


def watcher_pieces(r: Rendering, spec: str, common: Mapping[str, Any]) -> Iterator[Piece]:
    """Every object of the watcher, with the values of its template. BadInput: too large."""
    name = watcher_name(r)
    named = labelled(r, name, {"app.kubernetes.io/component": "watcher"}, apart=True)
    values = {
        **common,
        **named,
        "pod_labels": {**named["labels"], **(TRUSTED if r.settings.identity else {})},
        **_pod_values(r, spec),
        "max_unavailable": 1,
    }
    yield "ServiceAccount", name, "service-account", values
    yield "Role", name, "watcher-role", {**values, "rules": rules(r)}
    yield "RoleBinding", name, "watcher-role-binding", values
    yield "NetworkPolicy", name, "allow-watcher", {**values, **_ports(r)}
    yield "ConfigMap", values["spec_name"], "watcher-spec", values
    yield "PodDisruptionBudget", name, "disruption-budget", values
    yield "Deployment", name, "watcher", values


def _pod_values(r: Rendering, spec: str) -> dict[str, Any]:
    _require_small(r, spec)
    return {
        "service_account": watcher_name(r),
        "spec": spec,
        "spec_file": SPEC_FILE,
        "spec_name": spec_name(r, spec),
        "keys_name": keys_name(r),
        "replicas": REPLICAS,
        "alive_port": ALIVE_PORT,
        "grace": r.drain_seconds + AROUND,
    }


def _require_small(r: Rendering, spec: str) -> None:
    size = len(spec.encode())
    if size > LARGEST:
        expected = f"at most {LARGEST} bytes, which a ConfigMap can hold"
        remedy = (
            f"Move long messages of the prompt into files: the watcher of {r.environment} gets it."
        )
        raise BadInput(Problem(expected, f"{size} bytes", remedy, file=SPEC_FILE))


def rules(r: Rendering) -> tuple[Rule, ...]:
    """What a return and a retirement do, and no more; nothing reads a Secret.

    What a slot and its model server are made of is also created: a return finds it there, or has
    to make it again; claims are the platform's alone. A slot that goes may be of a release that was
    scaled in the other way. A list cannot be narrowed by names.
    """
    keda, scaled = ("keda.sh", "scaledobjects"), ("autoscaling", "horizontalpodautoscalers")
    scaling, other = (keda, scaled) if r.settings.scaling.prometheus else (scaled, keda)
    return (
        Rule(_GATEWAY, ("httproutes",), ("get", "patch"), (r.application,)),
        Rule(_GATEWAY, ("httproutes",), ("list",)),
        Rule("apps", ("deployments",), _ALL),
        Rule("", ("services", "configmaps"), _ALL),
        Rule("policy", ("poddisruptionbudgets",), _ALL),
        Rule("networking.k8s.io", ("networkpolicies",), _ALL),
        Rule(scaling[0], scaling[1:], _ALL),
        Rule(other[0], other[1:], ("get", "delete")),
        Rule("", ("pods",), ("get", "list")),
        Rule("", ("secrets",), ("delete",), (keys_name(r),)),
        Rule(_LEASES, ("leases",), _KEEP, (watcher_name(r), anchor_name(r))),
        Rule(_LEASES, ("leases",), ("create",)),
    )


def _ports(r: Rendering) -> dict[str, Any]:
    """Where Prometheus listens: on the port of its URL's service, or on its own behind that."""
    found = _PORT.match(r.settings.scaling.prometheus or r.settings.prometheus or "")
    ports = {PROMETHEUS_PORT, *API_SERVER_PORTS[:1]} | ({int(found[1])} if found else set())
    return {"prometheus_ports": sorted(ports), "api_server_ports": API_SERVER_PORTS}
