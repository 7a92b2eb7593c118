"""The dated tables of this repository, read into the shapes that limits are written against.

They stand in where nobody has credentials. Each file names its pages and their dates; quota is
in none of them, since it belongs to a subscription.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies.limits.facts import AzureFacts, EndpointLimits, Gpu, Offer, Size

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class NameRule:
    """How names of some ARM types have to look, and where they have to be unique."""

    types: tuple[str, ...]
    shortest: int
    longest: int
    pattern: re.Pattern[str]
    words: str
    scope: str
    availability: bool
    source: str


@dataclass(frozen=True)
class FixedRule:
    """Fields of an ARM type that cannot be changed; ``unless`` are changes that can."""

    type: str
    paths: tuple[str, ...]
    unless: tuple[tuple[Any, Any], ...]
    effect: str
    do: str
    dear: str
    source: str


@cache
def document(name: str) -> dict[str, Any]:
    """The table in the file ``name`` as it is written."""
    loaded = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return dict(loaded)


@cache
def table() -> AzureFacts:
    """What the tables know. Quota and the availability of names are in none of them."""
    offers = {
        (size.lower(), region): Offer()
        for row in document("regions")["offers"]
        for size in row["sizes"]
        for region in row["regions"]
    }
    whole = (row["sizes"] for row in document("regions")["offers"] if row["whole"])
    return AzureFacts(
        origin=f"table of {oldest()}",
        live=False,
        sizes={size.name.lower(): size for size in _sizes()},
        regions=frozenset(document("regions")["regions"]),
        endpoints=endpoint_limits(),
        offers=offers,
        whole=frozenset(size.lower() for sizes in whole for size in sizes),
    )


def oldest() -> str:
    """The date on which the table that was compared longest ago was compared."""
    return str(min(document(name)["read"] for name in ("sizes", "regions", "endpoints")))


@cache
def endpoint_limits() -> EndpointLimits:
    """The limits of Azure ML endpoints that a subscription starts with."""
    data = document("endpoints")
    values = {name: row["value"] for name, row in data["limits"].items()}
    return EndpointLimits(
        **values, reserve=Fraction(data["reserve"]), default_size=data["default_size"]
    )


@cache
def name_rules() -> Mapping[str, NameRule]:
    """Rules for names by ARM type in small letters."""
    data = document("names")
    rules = [_name_rule(row, data["sources"]) for row in data["rules"]]
    return {type_.lower(): rule for rule in rules for type_ in rule.types}


@cache
def fixed_rules() -> tuple[FixedRule, ...]:
    """Fields that cannot be changed, in the order of the file."""
    return tuple(
        FixedRule(
            type=row["type"],
            paths=tuple(row["paths"]),
            unless=tuple((before, after) for before, after in row.get("unless", ())),
            effect=row["effect"],
            do=row["do"],
            dear=row.get("dear", ""),
            source=row["source"]["url"],
        )
        for row in document("fixed")["rules"]
    )


def _name_rule(row: Mapping[str, Any], sources: Mapping[str, Any]) -> NameRule:
    shortest, longest = row["length"]
    return NameRule(
        types=tuple(row["types"]),
        shortest=shortest,
        longest=longest,
        pattern=re.compile(row["pattern"]),
        words=row["words"],
        scope=row["scope"],
        availability=row.get("availability", False),
        source=sources[row["source"]]["url"],
    )


def _sizes() -> Iterator[Size]:
    for family in document("sizes")["families"]:
        gpu = Gpu(**family["gpu"]) if "gpu" in family else None
        for name, (vcpus, memory, temp, gpus) in family["sizes"].items():
            yield Size(
                name=name,
                family=family["family"],
                vcpus=vcpus,
                gpus=Fraction(gpus),
                memory_gib=memory,
                temp_gib=temp,
                gpu=gpu,
                architecture="x64",
                ephemeral_os=family.get("ephemeral_os"),
                azure_linux=family.get("azure_linux"),
                endpoints=family["endpoints"]["listed"],
                reserve=family["endpoints"].get("reserve"),
            )
