"""One Azure resource as Azure Resource Manager sees it: what rules, limits and checkov judge.

A plan of Pulumi's and a template from a file come to the same shape, so a rule is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "<unknown>"
"""Stands where a preview cannot know a value. A rule that needs one says so; it never passes."""


@dataclass(frozen=True)
class Source:
    """The line that declared a resource: ``file`` is relative to the project."""

    file: str
    line: int | None = None


@dataclass(frozen=True)
class ArmResource:
    """A resource. ``type`` in Azure's spelling, ``name`` with its parents' first: ``mlw-a/ep-b``.

    ``body`` is the JSON beside type, name and version: location, tags, sku, properties, ...
    ``token`` and ``urn`` are Pulumi's, ``depends_on`` are URNs. ``scope`` is the id that an
    extension resource hangs on, such as a diagnostic setting. ``group`` is the resource group it
    lies in; empty for what lies above, and for what only its scope places.
    """

    type: str
    api: str
    name: str
    body: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""
    urn: str = ""
    source: Source | None = None
    depends_on: tuple[str, ...] = ()
    scope: str = ""
    group: str = ""

    def at(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path of the body, such as ``properties.networkAcls.bypass``."""
        value: Any = self.body
        for part in path.split("."):
            key = spelled(value, part) if isinstance(value, Mapping) else None
            if key is None:
                return default
            value = value[key]
        return value


def spelled(body: Mapping[str, Any], name: str) -> str | None:
    """``name`` as ``body`` spells it: Azure takes a property in any case, so a rule has to.

    Every reader of a body finds its keys through this. A body with a name in two spellings is
    refused by a rule (GL-AZ-GEN-002), so that it matters to none which of them is taken.
    """
    if name in body:
        return name
    return next((key for key in body if str(key).lower() == name.lower()), None)
