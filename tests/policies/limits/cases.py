"""Reads the cases of this folder: a plan and facts in, the findings of one group of rules out.

A file is a list of cases. ``about`` is the group whose findings are compared, ``findings`` are
all of that group as ``rule`` or as a mapping of rule, severity and a part of what is found.
Facts begin as the table; ``facts`` adds quota, offers and names to it. ``state`` and ``request``
are what they are in policies.limits.request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from policies.arm.resource import ArmResource, Source
from policies.limits.facts import AzureFacts, Offer, Quota, family_key
from policies.limits.request import Deployment, Model, Request
from policies.limits.tables import table

FOLDER = Path(__file__).parent / "cases"
ML = "Microsoft.MachineLearningServices/workspaces"
AKS = "Microsoft.ContainerService/managedClusters"
TYPES = {
    "workspace": ML,
    "endpoint": f"{ML}/onlineEndpoints",
    "deployment": f"{ML}/onlineEndpoints/deployments",
    "compute": f"{ML}/computes",
    "cluster": AKS,
    "pool": f"{AKS}/agentPools",
    "storage": "Microsoft.Storage/storageAccounts",
    "vault": "Microsoft.KeyVault/vaults",
    "registry": "Microsoft.ContainerRegistry/registries",
    "openai": "Microsoft.CognitiveServices/accounts",
    "hub": "Microsoft.EventHub/namespaces/eventhubs",
    "group": "Microsoft.Resources/resourceGroups",
}


@dataclass(frozen=True)
class Case:
    """One case, ready to be run."""

    title: str
    about: str
    plan: tuple[ArmResource, ...]
    request: Request
    facts: AzureFacts
    findings: tuple[Mapping[str, str], ...]
    capacity: tuple[Mapping[str, Any], ...]


def cases() -> list[Case]:
    """Every case of every file."""
    return [
        case(document)
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load(path.read_text())
    ]


def case(document: Mapping[str, Any]) -> Case:
    return Case(
        title=document["title"],
        about=document["about"],
        plan=resources(document.get("plan", ())),
        request=request(document),
        facts=facts(document.get("facts", {})),
        findings=tuple(
            {"rule": item} if isinstance(item, str) else item for item in document["findings"]
        ),
        capacity=tuple(document.get("capacity", ())),
    )


def resources(items: Any) -> tuple[ArmResource, ...]:
    """Resources as ``[kind, name, body]``, each on a line of its own of one file."""
    return tuple(
        ArmResource(
            TYPES[kind],
            "2025-01-01",
            name,
            body[0] if body else {},
            source=Source("infra/x.py", line),
        )
        for line, (kind, name, *body) in enumerate(items, 1)
    )


def request(document: Mapping[str, Any]) -> Request:
    said = {"region": "swedencentral", **document.get("request", {})}
    said["deployments"] = tuple(Deployment(**d) for d in said.get("deployments", ()))
    said["models"] = {name: Model(**model) for name, model in said.get("models", {}).items()}
    return Request(**said, state=resources(document.get("state", ())))


def facts(said: Mapping[str, Any]) -> AzureFacts:
    """The table, or a live answer where ``live`` names its region."""
    known = table()
    quotas = {
        (region, service, family_key(family)): Quota(limit, used)
        for region, service, family, limit, used in said.get("quotas", ())
    }
    offers = {
        (size.lower(), region): Offer(restricted, frozenset(zones))
        for size, region, restricted, zones in said.get("offers", ())
    }
    names = {(TYPES[kind].lower(), name): free for kind, name, free in said.get("names", ())}
    live = said.get("live")
    if live:
        known = replace(known, live=True, origin="live, 2026-11-22T10:00:00Z", offers={})
        known = replace(known, whole=frozenset({live}))
    return replace(known, quotas=quotas, names=names, offers={**known.offers, **offers})
