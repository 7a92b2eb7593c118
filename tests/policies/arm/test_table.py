"""Each row of the table, held against the SDK on one side and Azure's definitions on the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from policies.arm import convert
from policies.arm.resource import ArmResource
from policies.arm.table import Row, row, tokens
from tests.azure_types import UNDEFINED, Flaw, defined, flaws, writable
from tests.policies.arm import samples

AHEAD = {
    # The SDK has one class for all versions of a module, so some inputs are newer than the version
    # that it calls: Azure refuses or ignores them, and no table can help.
    "azure-native:cognitiveservices:RaiPolicy": {
        ("unknown", "properties.contentFilters[].action"),
        ("unknown", "properties.safetyProviders"),
        ("choice", "properties.contentFilters[].source"),
        ("choice", "properties.customBlocklists[].source"),
    },
    "azure-native:monitor:ScheduledQueryRule": {
        ("choice", "properties.criteria.allOf[].operator"),
    },
    "azure-native:network:PrivateEndpoint": {
        ("unknown", "properties.subnet.properties.serviceGateway"),
    },
    "azure-native:network:VirtualNetwork": {
        ("unknown", "properties.subnets[].properties.serviceGateway"),
    },
}

BEHIND = {
    # Azure's definitions let these be set, the SDK does not: values that Azure reports, and objects
    # of which only the id is ever sent.
    "azure-native:resources:ResourceGroup": {"properties"},
    "azure-native:keyvault:Vault": {"properties.provisioningState", "properties.vaultUri"},
    "azure-native:operationalinsights:Workspace": {"etag"},
    "azure-native:applicationinsights:Component": {"etag"},
    "azure-native:monitor:DataCollectionEndpoint": {
        "properties.configurationAccess",
        "properties.logsIngestion",
        "properties.metricsIngestion",
    },
    "azure-native:containerservice:ManagedCluster": {
        "properties.agentPoolProfiles[].status",
        "properties.status",
    },
    "azure-native:containerservice:AgentPool": {"properties.status"},
    "azure-native:privatedns:PrivateZone": {"etag", "properties"},
    "azure-native:privatedns:VirtualNetworkLink": {"etag"},
}
REFERRED = re.compile(r"[aA]pplicationSecurityGroups\[\]\.properties$")
"""A security group is named by its id; its own properties are empty."""


def converted(token: str) -> list[ArmResource]:
    """All samples of a type's inputs, with what azure-native fills in left to it."""
    arm, api = row(token).arm, row(token).api
    if arm in UNDEFINED and not defined(arm, api):
        pytest.skip(f"NOT PROVEN: {arm}@{api} has no definition, nor has any version of it")
    constant = row(token).constant
    return [
        convert.to_arm(token, {key: one for key, one in sample.items() if key not in constant})
        for sample in samples.inputs(token)
    ]


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every place in ``value``, ``[]`` for items."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (place := f"{path}.{key}" if path else key, *paths(one, place))
    elif isinstance(value, list):
        for one in value:
            yield from (path + "[]", *paths(one, path + "[]"))


def outermost(places: set[str]) -> set[str]:
    """``places`` without those that lie in another of them."""
    return {
        one for one in places if not any(re.match(re.escape(o) + r"[.\[{]", one) for o in places)
    }


@pytest.mark.slow
@pytest.mark.parametrize("token", tokens())
def test_a_row_is_for_a_type_of_the_sdk_and_the_version_it_calls(token: str) -> None:
    """The token is spelled as the SDK spells it, and the SDK documents the row's version."""
    assert samples.version(token) == row(token).api


@pytest.mark.slow
@pytest.mark.parametrize("token", tokens())
def test_all_that_the_sdk_lets_a_program_set_arrives_where_azure_takes_it(token: str) -> None:
    """No input and no variant ends as an unknown property, another type or an unknown value."""
    telling = {flaw for flaw in found(token) if flaw.kind not in ("read-only", "value")}
    expected = AHEAD.get(token, set())
    assert [str(flaw) for flaw in telling if (flaw.kind, flaw.path) not in expected] == []
    assert {(flaw.kind, flaw.path) for flaw in telling} == expected


@pytest.mark.slow
@pytest.mark.parametrize("token", tokens())
def test_the_sdk_reaches_all_that_azure_lets_be_set(token: str) -> None:
    """Two renames that are mistaken for each other would leave a place that nothing reaches."""
    some = converted(token)
    reached = {place for one in some for place in paths({"name": "", **one.body})}
    missed = outermost(
        {
            place
            for place in writable(some[0].type, some[0].api)
            if not _reached(place, reached) and not REFERRED.search(place)
        }
    )
    assert missed == BEHIND.get(token, set())


def _reached(place: str, reached: set[str]) -> bool:
    if "{}" not in place:
        return place in reached
    pattern = re.compile(re.escape(place).replace(r"\{\}", r"\.[^\[\]]+"))
    return any(pattern.fullmatch(one) for one in reached)


@pytest.mark.slow
@pytest.mark.parametrize("token", tokens())
def test_each_line_of_a_row_is_needed(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of its names, Azure would find a flaw that it does not find now."""
    whole = found(token)
    idle = []
    for line, less in without(row(token).model_dump()):
        changed = Row.model_validate(less)
        monkeypatch.setattr(convert, "row", lambda *_, changed=changed: changed)
        idle += [line] if found(token) == whole else []

    assert idle == []


def found(token: str) -> set[Flaw]:
    """What Azure has against the samples of a type."""
    return {flaw for one in converted(token) for flaw in flaws(one)}


def without(shape: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """``shape``, each time without another of its names."""
    for part in ("top", "renamed", "keyed", "dropped"):
        names = shape[part] or ()
        for name in names:
            rest = [(one, names[one]) if part == "renamed" else one for one in names if one != name]
            yield f"{part}: {name}", {**shape, part: dict(rest) if part == "renamed" else rest}
    for key, below in shape["nested"].items():
        for line, less in without(below):
            yield f"{key}: {line}", {**shape, "nested": {**shape["nested"], key: less}}


def test_what_lies_in_a_group_hangs_on_nothing_and_the_reverse() -> None:
    """A row has a scope exactly where the type is one that extends others."""
    extending = {token for token in tokens() if row(token).scope}

    assert extending == {
        "azure-native:authorization:RoleAssignment",
        "azure-native:consumption:Budget",
        "azure-native:kubernetesconfiguration:Extension",
        "azure-native:kubernetesconfiguration:FluxConfiguration",
        "azure-native:monitor:DataCollectionRuleAssociation",
        "azure-native:monitor:DiagnosticSetting",
    }


@pytest.mark.parametrize("token", tokens())
def test_a_name_has_a_part_for_each_of_its_parents(token: str) -> None:
    """Azure's type ``a/b/c`` is named ``one/two`` below its provider."""
    assert len(row(token).name) == row(token).arm.count("/")
