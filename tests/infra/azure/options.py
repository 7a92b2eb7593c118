"""Settings of a stack: a small whole one to vary, all pairs of options, and generated ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
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
CLUSTER: Mapping[str, Any] = {
    "adminGroups": ["00000000-0000-0000-0000-0000000000aa"],
    "mlDomain": "inference.example.com",
    "gpuPools": [{"name": "a100", "size": "Standard_NC24ads_A100_v4", "maxCount": 2}],
}
FULL_CLUSTER: Mapping[str, Any] = {
    "adminGroups": ["00000000-0000-0000-0000-0000000000aa", "00000000-0000-0000-0000-0000000000bb"],
    "mlDomain": "inference.example.com",
    "private": False,
    "authorizedRanges": ["192.0.2.0/24"],
    "tier": "Free",
    "kubernetesVersion": "1.33",
    "system": {"size": "Standard_D8ds_v5", "minCount": 1, "maxCount": 2, "zones": []},
    "work": {"minCount": 1, "maxCount": 3, "zones": ["2"]},
    "gpuPools": [
        {
            "name": "a100",
            "size": "Standard_NC24ads_A100_v4",
            "maxCount": 2,
            "migProfile": "MIG1g",
            "zones": ["1", "2"],
            "labels": {"model": "small"},
            "taints": ["team=search:NoExecute"],
        },
        {
            "name": "t4spot",
            "size": "Standard_NC4as_T4_v3",
            "maxCount": 5,
            "spot": True,
            "os": "AzureLinux",
        },
        {
            "name": "h100x8",
            "size": "Standard_ND96isr_H100_v5",
            "minCount": 1,
            "maxCount": 1,
            "driver": "none",
            "osDiskGib": 1024,
        },
    ],
    "flux": {"url": "ssh://git@example.com/manifests", "branch": "live", "intervalSeconds": 60},
    "maintenance": {"day": "Monday", "start": "23:30", "hours": 4},
    "defender": False,
    "encryptionAtHost": False,
}
MODELS = [
    {
        "name": f"chat-{number}",
        "model": "gpt-4o",
        "version": "2024-11-20",
        "sku": sku,
        "capacity": 50,
    }
    for number, sku in enumerate(
        ("Standard", "GlobalStandard", "DataZoneStandard", "ProvisionedManaged")
    )
]
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
    "watched": {
        "kind": "managed",
        "instanceType": "Standard_NC4as_T4_v3",
        "slots": ["blue", "green"],
    },
    "kubernetes": {"kind": "kubernetes", "pool": "a100"},
    "batch": {"kind": "batch"},
    "catalog": {"kind": "serverless", "model": CATALOG},
    "bought": {"kind": "serverless", "model": BOUGHT},
}
CLUSTERS: Mapping[str, Any] = {"none": None, "small": CLUSTER, "full": FULL_CLUSTER}
SERVICES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "openai": {
        "openai": {
            "deployments": MODELS,
            "filterThreshold": "High",
            "allowedHosts": ["images.example.com"],
        }
    },
    "events": {"events": {"hubs": ["requests", "feedback"], "throughputUnits": 2}},
}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "workspace": tuple(WORKSPACES),
    "endpoint": ("none", "watched", "kubernetes", "batch", "bought"),
    "cluster": tuple(CLUSTERS),
    "services": tuple(SERVICES),
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
        cluster=CLUSTERS[choice["cluster"]],
        connections=[CONNECTION] if choice["connections"] == "one" else [],
        applications=[application(choice["endpoint"])],
        **SERVICES[choice["services"]],
    )


Pair = tuple[tuple[str, str], tuple[str, str]]
"""Two options with a value each."""


def pairs() -> Iterator[Mapping[str, str]]:
    """Choices in which each two values of two options come together, where they can.

    Each begins with a pair that is missing; whatever else it chooses brings the most others.
    """
    missing = [pair for pair in _every_pair() if _fits(dict(pair))]
    while missing:
        choice = dict(missing[0])
        for name in OPTIONS:
            if name not in choice:
                choice = max(_with(choice, name), key=lambda one: _holds(one, missing))
        missing = [pair for pair in missing if not dict(pair).items() <= choice.items()]
        yield {name: choice[name] for name in OPTIONS}


def _every_pair() -> Iterator[Pair]:
    for one, other in itertools.combinations(OPTIONS, 2):
        for first, second in itertools.product(OPTIONS[one], OPTIONS[other]):
            yield (one, first), (other, second)


def _with(choice: Mapping[str, str], name: str) -> Iterator[dict[str, str]]:
    """``choice`` with each value of one more option that goes with it."""
    every = ({**choice, name: value} for value in OPTIONS[name])
    return (one for one in every if _fits(one))


def _holds(choice: Mapping[str, str], missing: Sequence[Pair]) -> int:
    return sum(dict(pair).items() <= choice.items() for pair in missing)


def _fits(choice: Mapping[str, str]) -> bool:
    """Whether what is chosen so far goes together: an endpoint needs where to be."""
    endpoint = choice.get("endpoint", "none")
    if endpoint == "none":
        return True
    if choice.get("workspace") in ("none", "hub"):
        return False
    return endpoint != "kubernetes" or choice.get("cluster") != "none"


_words = st.from_regex(r"[a-z][a-z0-9]{1,11}", fullmatch=True)
_names = st.from_regex(r"[a-z](-?[a-z0-9]){2,11}", fullmatch=True)
_hosts = st.from_regex(r"(\*\.)?[a-z][a-z0-9-]{0,40}\.(org|com|example\.net)", fullmatch=True)


@st.composite
def choices(draw: st.DrawFn) -> dict[str, str]:
    """A value of each of OPTIONS that go together."""
    choice = {name: draw(st.sampled_from(values)) for name, values in OPTIONS.items()}
    return choice if _fits(choice) else choice | {"endpoint": "none"}


@st.composite
def generated(draw: st.DrawFn) -> AzureSettings:
    """Any settings of the parts that Azure ML and its foundation read."""
    choice = draw(choices())
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
