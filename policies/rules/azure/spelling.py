"""Properties are named once: Azure tells no case apart, so of two spellings one would be unseen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from policies.arm.resource import ArmResource
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.credentials import without_credentials
from policies.rules.findings import shown
from policies.rules.rule import EVERY, PlanRule, Rule

BESIDE = ("type", "apiversion", "name", "dependson", "scope", "resources", "metadata")
"""Keys of a template's entry that are no part of a body, in lower case. One that is there is
another spelling, which Azure takes and whoever reads the file may not."""

FREE = ("environmentvariables", "nodelabels", "configurationsettings")
"""Maps whose keys are handed on to Linux or Kubernetes, which do tell case apart."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        Rule(
            id="GL-AZ-GEN-002",
            title="Each property is given once",
            types=EVERY,
            expected="each property once, and type, name and resources in Azure's spelling",
            remedy="Keep one: to Azure they are the same, and it may take either.",
            source="https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax",
            check=_twice,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _twice(resource: ArmResource) -> str | None:
    odd = [str(key) for key in resource.body if str(key).lower() in BESIDE]
    found = next(chain(odd, _repeated(resource.body)), None)
    return None if found is None else f"{shown(without_credentials(found))} in another spelling"


def _repeated(value: Any, path: str = "") -> Iterator[str]:
    """Where in ``value`` a key stands that another has stood for already."""
    if isinstance(value, Mapping):
        free = path.rpartition(".")[2].lower() in FREE
        seen: set[str] = set()
        for key, inner in value.items():
            at = f"{path}.{key}" if path else str(key)
            if str(key).lower() in seen and not free:
                yield at
            seen.add(str(key).lower())
            yield from _repeated(inner, at)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _repeated(inner, path)
