"""Settings with something wrong in them: what the reader of a stack's settings has to refuse."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from release.documents import Key, dotted
from tests.infra.azure import options


@dataclass(frozen=True)
class Mistake:
    """Settings with one thing wrong in them, and the path that has to be blamed for it."""

    settings: Mapping[str, Any]
    path: str


FREE = ("labels",)
"""Settings whose keys are the team's own."""

WRONG: Any = {"never": ["so"]}
"""What no setting takes, neither as a value nor as a group of settings."""


@st.composite
def mistaken(draw: st.DrawFn) -> Mistake:
    """Whole settings in which one key is not known, or one value of another type."""
    given = options.chosen(draw(options.choices())).model_dump(mode="json", by_alias=True)
    places = [path for path in _places(given, ()) if not set(path[:-1]) & set(FREE)]
    path = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(("type", "unknown")))
    above = _at(given, path[:-1])
    key = path[-1]
    if kind == "unknown" and isinstance(key, str):
        key = f"{key}X"
    above[key] = WRONG
    return Mistake(given, dotted((*path[:-1], key)))


def _places(value: Any, path: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    """Every key and item below ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _at(value: Any, path: tuple[Key, ...]) -> Any:
    return functools.reduce(lambda inner, key: inner[key], path, value)


def without_what_is_needed() -> Iterator[Mistake]:
    """Whole settings that lack one thing each that has no default."""
    for key in options.BASE:
        yield Mistake({name: one for name, one in options.BASE.items() if name != key}, key)
    yield Mistake({**options.BASE, "alerts": {}}, "alerts.emails")
    for key in ("amount", "start"):
        budget = {name: one for name, one in options.BASE["budget"].items() if name != key}
        yield Mistake({**options.BASE, "budget": budget}, f"budget.{key}")


def pool(**changes: Any) -> Mapping[str, Any]:
    """A cluster whose only GPU pool is this one."""
    first = {**options.CLUSTER["gpuPools"][0], **changes}
    return {"cluster": {**options.CLUSTER, "gpuPools": [first]}}


TOGETHER: Mapping[str, Mapping[str, Any]] = {
    "an endpoint without a workspace": {
        "workspace": None,
        "applications": [options.application("managed")],
    },
    "an endpoint in a hub": {
        "workspace": options.WORKSPACES["hub"],
        "applications": [options.application("managed")],
    },
    "an endpoint in a pool that is not there": {
        "applications": [options.application("kubernetes")]
    },
    "a serverless endpoint without a model": {
        "applications": [{"name": "support-bot", "endpoint": {"kind": "serverless"}}]
    },
    "a managed endpoint without a size": {"applications": [{"name": "a-bot", "endpoint": {}}]},
    "two applications of one name": {"applications": [options.application("none")] * 2},
    "two connections with one secret": {
        "connections": [options.CONNECTION, {**options.CONNECTION, "name": "two"}]
    },
    "two deployments of one name": {
        "openai": {"deployments": [options.MODELS[0], options.MODELS[0]]}
    },
    "two pools of one name": {
        "cluster": {**options.CLUSTER, "gpuPools": [options.CLUSTER["gpuPools"][0]] * 2}
    },
    "a region outside the allowed ones": {"location": "westeurope"},
    "a project without a hub": {"workspace": {"kind": "project"}},
    "a registry made here and elsewhere": {
        "workspace": {"registry": "models", "registryId": options.SHELF}
    },
    "a network that is public": {"network": {"addressSpace": "8.0.0.0/16"}},
    "a network that the cluster has": {
        "network": {"addressSpace": "10.244.0.0/16"},
        "cluster": options.CLUSTER,
    },
    "a GPU that cannot be cut": {
        "cluster": {
            **options.CLUSTER,
            "gpuPools": [
                {"name": "t4", "size": "Standard_NC4as_T4_v3", "maxCount": 1, "migProfile": "MIG1g"}
            ],
        }
    },
    "addresses for a private API server": {
        "cluster": {**options.CLUSTER, "private": True, "authorizedRanges": ["192.0.2.0/24"]}
    },
    "a pool that shrinks": {"cluster": {**options.CLUSTER, "work": {"minCount": 5, "maxCount": 2}}},
    "a pool of GPUs without any": pool(size="Standard_D4ds_v5"),
}
"""What does not go together, each beside BASE."""


def sharing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two applications of staging."""
    applications = [first, {"endpoint": options.ENDPOINTS["kubernetes"], **second}]
    return {"environment": "staging", "cluster": options.CLUSTER, "applications": applications}


HARMFUL: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "a day that is not there": (
        {"connections": [{**options.CONNECTION, "expires": "2027-02-30"}]},
        "connections[0].expires",
    ),
    "a month that is not there": ({"budget": {"amount": 1, "start": "2026-13-01"}}, "budget.start"),
    "a start long past": ({"budget": {"amount": 1, "start": "2019-01-01"}}, "budget.start"),
    "a group by its name": (
        {"cluster": {**options.CLUSTER, "adminGroups": ["me"]}},
        "cluster.adminGroups[0]",
    ),
    "an owner that is no tag": ({"owner": "x" * 300}, "owner"),
    "an application among the cluster's own": (
        {"applications": [{"name": "a-bot", "namespace": "kube-system"}]},
        "applications[0].namespace",
    ),
    "an application among the cluster's own by its name": (
        {"environment": "dev", "applications": [{"name": "kube"}]},
        "applications[0].name",
    ),
    "an endpoint among the cluster's own by its name": (
        {
            "cluster": options.CLUSTER,
            "applications": [options.application("kubernetes", "rag-system")],
        },
        "applications[0].name",
    ),
    "an endpoint among the extension's own by its name": (
        {
            "cluster": options.CLUSTER,
            "applications": [options.application("kubernetes", "azureml")],
        },
        "applications[0].name",
    ),
    "an application in what Flux follows": (
        {"applications": [{"name": "a-bot", "namespace": "greenlight-gitops"}]},
        "applications[0].namespace",
    ),
    "an endpoint in another application's namespace": (
        sharing({"name": "aaa"}, {"name": "aaa-staging"}),
        "applications[1].name",
    ),
    "an endpoint in the namespace that another application names": (
        sharing({"name": "a-bot", "namespace": "shop"}, {"name": "shop"}),
        "applications[1].name",
    ),
    "a namespace that is another application's by default": (
        sharing({"name": "a-bot"}, {"name": "b-bot", "namespace": "a-bot-staging"}),
        "applications[1].namespace",
    ),
    "a namespace that is no label of a name": (
        {"applications": [{"name": "a-bot", "namespace": "x" * 64}]},
        "applications[0].namespace",
    ),
    "a label of the cluster's": (
        pool(labels={"kubernetes.azure.com/mode": "system"}),
        'cluster.gpuPools[0].labels["kubernetes.azure.com/mode"]',
    ),
    "a taint of the cluster's": (
        pool(taints=["node.kubernetes.io/unreachable=x:NoExecute"]),
        "cluster.gpuPools[0].taints[0]",
    ),
    "weights without end": (
        {"applications": [{"name": "a-bot", "modelGib": float("inf")}]},
        "applications[0].modelGib",
    ),
}
"""What Azure would refuse, or what would do harm, beside BASE; and the path to blame."""
