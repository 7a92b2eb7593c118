"""The fields that limits read exist in Azure's own type definitions, under those names.

A limit over a field that is called otherwise never refuses anything.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from policies.limits.plan import CLUSTER, COMPUTE, DEPLOYMENT, ONLINE, POOL, WORKSPACE
from policies.limits.tables import fixed_rules, name_rules
from tests.test_definitions import definitions

READ = {
    POOL: (
        "vmSize minCount maxCount count enableAutoScaling scaleSetPriority scaleSetEvictionPolicy "
        "spotMaxPrice mode osSKU orchestratorVersion gpuInstanceProfile gpuProfile.driver "
        "osDiskSizeGB osDiskType availabilityZones"
    ),
    CLUSTER: "kubernetesVersion agentPoolProfiles",
    DEPLOYMENT: (
        "endpointComputeType instanceType egressPublicNetworkAccess requestSettings.requestTimeout"
    ),
    ONLINE: "traffic mirrorTraffic compute",
    WORKSPACE: "managedNetwork.isolationMode",
    COMPUTE: "computeType properties.vmSize properties.scaleSettings.maxNodeCount",
}
"""What the code reads, below ``properties``."""

PREVIEW = {
    "properties.gpuProfile.nvidia.managementMode",
    "properties.gpuProfile.nvidia.migStrategy",
}
"""Fields of a preview of AKS that the stable versions do not have yet."""

FIXED = [(rule.type, path) for rule in fixed_rules() for path in rule.paths if rule.type != "*"]
FIELDS = FIXED + [
    (type_, f"properties.{path}") for type_, paths in READ.items() for path in paths.split()
]


@pytest.mark.parametrize(("type_", "path"), FIELDS, ids=[f"{t}:{p}" for t, p in FIELDS])
def test_the_field_exists(type_: str, path: str) -> None:
    """In the newest version of the type that is at hand."""
    if path in PREVIEW:
        pytest.skip("a preview field")
    types, index = _resource(type_)
    found = [index]
    for part in path.split("."):
        found = [inner for outer in found for inner in _inside(types, outer, part)]
    assert found, f"{type_} has no {path}"


def test_rules_for_names_are_of_types_that_exist() -> None:
    """Apart from types of providers whose definitions are not at hand."""
    namespaces = {file.stem.partition("@")[0] for file in definitions("azure-types").glob("*.json")}
    known = {type_.partition("@")[0].lower() for file in _files() for type_ in _names(file)}
    here = {type_ for type_ in name_rules() if type_.partition("/")[0] in namespaces}
    assert here - known - {"microsoft.network/privatednszones/virtualnetworklinks"} == set()


def _files() -> list[Path]:
    return sorted(definitions("azure-types").glob("*.json"))


@cache
def _types(file: Path) -> list[dict[str, Any]]:
    return list(json.loads(file.read_text()))


@cache
def _names(file: Path) -> tuple[str, ...]:
    return tuple(t["name"] for t in _types(file) if t.get("$type") == "ResourceType")


@cache
def _resource(type_: str) -> tuple[list[dict[str, Any]], int]:
    """The types of the newest file that has ``type_``, and where its body is among them."""
    namespace = type_.partition("/")[0].lower()
    files = [file for file in _files() if file.stem.startswith(f"{namespace}@")]
    for file in reversed(files):
        for one in _types(file):
            named = str(one.get("name", "")).partition("@")[0].lower() == type_.lower()
            if named and one["$type"] == "ResourceType":
                return _types(file), _index(one["body"])
    raise AssertionError(f"no definition of {type_}")


def _inside(types: list[dict[str, Any]], index: int, name: str) -> list[int]:
    """Where the property ``name`` of a type leads, in each of its variants."""
    here = types[index]
    parts = [here.get("properties") or {}, here.get("baseProperties") or {}]
    found = [_index(part[name]["type"]) for part in parts if name in part]
    variants = (
        list((here.get("elements") or {}).values())
        if isinstance(here.get("elements"), dict)
        else []
    )
    return found + [i for variant in variants for i in _inside(types, _index(variant), name)]


def _index(reference: dict[str, Any]) -> int:
    return int(reference["$ref"].removeprefix("#/"))
