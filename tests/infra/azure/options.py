"""Settings of a stack: a small whole one to vary, all pairs of options, and generated ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from infra.azure.names import REGIONS
from infra.azure.settings import AzureSettings

HUB = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/hub"
SHELF = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/registries/r"
SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Insights/privateLinkScopes/scope"
CONNECTION = {
    "name": "anthropic",
    "url": "https://api.anthropic.com/v1",
    "secret": "anthropicKey",
    "expires": "2027-06-30",
}
CLUSTER = {
    "adminGroups": ["00000000-0000-0000-0000-0000000000aa"],
    "mlDomain": "inference.example.com",
    "gpuPools": [{"name": "a100", "size": "Standard_NC24ads_A100_v4", "maxCount": 2}],
}
CATALOG = "azureml://registries/azureml/models/Phi-4-mini-instruct"
BOUGHT = "azureml://registries/azureml-cohere/models/Cohere-command-r-plus"

BASE: Mapping[str, Any] = {
    "environment": "staging",
    "workload": "assist",
    "location": "swedencentral",
    "allowedLocations": ["swedencentral"],
    "owner": "ml-platform",
    "costCentre": "cc-1",
    "alerts": {"emails": ["a@example.com"]},
    "budget": {"amount": 100, "start": "2026-12-01"},
}

WORKSPACES: Mapping[str, Any] = {
    "none": None,
    "default": {
        "outbound": ["pypi.org", "*.pythonhosted.org"],
        "outboundTags": ["Storage.WestEurope"],
        "firewall": "Basic",
        "registry": "models",
    },
    "open": {"isolation": "disabled", "registryId": SHELF},
    "hub": {"kind": "hub", "isolation": "internet", "outbound": ["pypi.org"]},
    "project": {"kind": "project", "hub": HUB},
}
ENDPOINTS: Mapping[str, Any] = {
    "none": None,
    "managed": {"kind": "managed", "instanceType": "Standard_NC4as_T4_v3"},
    "kubernetes": {"kind": "kubernetes", "pool": "a100"},
    "batch": {"kind": "batch"},
    "catalog": {"kind": "serverless", "model": CATALOG},
    "bought": {"kind": "serverless", "model": BOUGHT},
}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "workspace": tuple(WORKSPACES),
    "endpoint": ("none", "managed", "kubernetes", "batch", "bought"),
    "private": ("yes", "no", "scope"),
    "environment": ("production", "dev"),
    "location": ("swedencentral", "westus"),
    "connections": ("one", "none"),
    "data": ("public", "restricted"),
}


def stack(**changes: Any) -> AzureSettings:
    """A whole stack's settings with these instead."""
    return AzureSettings.model_validate_json(json.dumps(dict(BASE) | changes))


def application(endpoint: str, name: str = "support-bot") -> dict[str, Any]:
    """An application with this kind of endpoint, a key of ENDPOINTS."""
    return {"name": name, "owner": "support", "endpoint": ENDPOINTS[endpoint]}


def chosen(choice: Mapping[str, str]) -> AzureSettings:
    """The settings for one value of each of OPTIONS."""
    network: dict[str, Any] = {"private": choice["private"] != "no"}
    if choice["private"] == "scope":
        network["monitorScope"] = SCOPE
    return stack(
        environment=choice["environment"],
        location=choice["location"],
        allowedLocations=[choice["location"]],
        dataClassification=choice["data"],
        network=network,
        workspace=WORKSPACES[choice["workspace"]],
        cluster=CLUSTER,
        connections=[CONNECTION] if choice["connections"] == "one" else [],
        applications=[application(choice["endpoint"])],
    )


def pairs() -> Iterator[AzureSettings]:
    """Settings in which each two values of two options come together, where they can."""
    every = itertools.product(*OPTIONS.values())
    choices = [dict(zip(OPTIONS, values, strict=True)) for values in every]
    covered = [
        (choice, set(itertools.combinations(choice.items(), 2)))
        for choice in choices
        if _fits(choice)
    ]
    missing = set().union(*(pairs for _, pairs in covered))
    while missing:
        choice, found = max(covered, key=lambda one: len(missing & one[1]))
        missing -= found
        yield chosen(choice)


def _fits(choice: Mapping[str, str]) -> bool:
    return choice["endpoint"] == "none" or choice["workspace"] not in ("none", "hub")


_words = st.from_regex(r"[a-z][a-z0-9]{1,11}", fullmatch=True)
_names = st.from_regex(r"[a-z](-?[a-z0-9]){2,11}", fullmatch=True)
_hosts = st.from_regex(r"(\*\.)?[a-z][a-z0-9-]{0,40}\.(org|com|example\.net)", fullmatch=True)


@st.composite
def generated(draw: st.DrawFn) -> AzureSettings:
    """Any settings of the parts that Azure ML and its foundation read."""
    choice = {name: draw(st.sampled_from(values)) for name, values in OPTIONS.items()}
    if not _fits(choice):
        choice["endpoint"] = "none"
    settings = chosen(choice)
    location = draw(st.sampled_from(sorted(REGIONS)))
    names = draw(st.lists(_names, max_size=3, unique=True))
    connections = [
        CONNECTION | {"name": name, "secret": f"key{number}", "url": f"https://{name}.example.com/"}
        for number, name in enumerate(draw(st.lists(_names, max_size=2, unique=True)))
    ]
    changes = {
        "workload": draw(_words),
        "location": location,
        "allowedLocations": [location],
        "applications": [application(choice["endpoint"], name) for name in names],
        "connections": connections,
    }
    if choice["workspace"] in ("default", "hub"):
        hosts = draw(st.lists(_hosts, max_size=3))
        changes["workspace"] = WORKSPACES[choice["workspace"]] | {"outbound": hosts}
    whole = settings.model_dump(mode="json", by_alias=True) | changes
    return AzureSettings.model_validate_json(json.dumps(whole))
