"""The validator that the other tests lean on has to refuse: each kind of mistake, once."""

from __future__ import annotations

from typing import Any

import pytest

from policies.arm.resource import UNKNOWN, ArmResource
from policies.arm.table import row, tokens
from tests.azure_types import UNDEFINED, defined, flaws, problems, versions

VAULT = "Microsoft.KeyVault/vaults"
GOOD: dict[str, Any] = {
    "location": "westeurope",
    "properties": {
        "tenantId": "00000000-0000-0000-0000-000000000000",
        "sku": {"family": "A", "name": "standard"},
        "softDeleteRetentionInDays": 90,
        "networkAcls": {"bypass": "None", "ipRules": [{"value": "10.0.0.0/8"}]},
    },
}


def vault(**properties: Any) -> ArmResource:
    body = {**GOOD, "properties": {**GOOD["properties"], **properties}}
    return ArmResource(VAULT, "2024-11-01", "kv-app", body)


def test_a_body_that_azure_takes_has_no_problem() -> None:
    """A complete vault passes."""
    assert problems(vault()) == []


@pytest.mark.parametrize(
    ("kind", "path", "properties"),
    [
        ("unknown", "properties.enableSoftdelete", {"enableSoftdelete": True}),
        ("unknown", "properties.sku.size", {"sku": {"family": "A", "name": "premium", "size": 1}}),
        ("missing", "properties.sku", {"sku": None}),
        ("missing", "properties.sku.family", {"sku": {"name": "premium"}}),
        ("choice", "properties.sku.name", {"sku": {"family": "A", "name": "Premium"}}),
        ("choice", "properties.createMode", {"createMode": "restore"}),
        ("type", "properties.softDeleteRetentionInDays", {"softDeleteRetentionInDays": "90"}),
        ("type", "properties.enableRbacAuthorization", {"enableRbacAuthorization": 1}),
        ("type", "properties.accessPolicies", {"accessPolicies": {}}),
        ("type", "properties.networkAcls", {"networkAcls": UNKNOWN}),
        ("missing", "properties.networkAcls.ipRules[].value", {"networkAcls": {"ipRules": [{}]}}),
        ("read-only", "properties.hsmPoolResourceId", {"hsmPoolResourceId": "x"}),
    ],
)
def test_a_mistake_is_named_with_its_place(
    kind: str, path: str, properties: dict[str, Any]
) -> None:
    """What Azure would refuse is one flaw, of its kind, at its path."""
    found = [(flaw.kind, flaw.path) for flaw in flaws(vault(**properties))]

    assert found == [(kind, path)]


@pytest.mark.parametrize("text", ["[parameters('tenant')]", "[secret]", UNKNOWN])
def test_text_that_is_not_known_yet_passes_for_text(text: str) -> None:
    """An expression, a secret or an unknown stands for any text, whatever its pattern."""
    assert problems(vault(tenantId=text, sku={"family": text, "name": text})) == []


@pytest.mark.parametrize("name", ["kv", "kv_app", "k" * 25])
def test_a_name_is_held_against_its_pattern(name: str) -> None:
    """The last part of the name is the one that the definition knows."""
    bad = ArmResource(VAULT, "2024-11-01", name, GOOD)

    assert [(flaw.kind, flaw.path) for flaw in flaws(bad)] == [("value", "name")]


@pytest.mark.parametrize(("partitions", "ok"), [(0, False), (1, True), (4, True)])
def test_a_number_is_held_against_its_range(partitions: int, ok: bool) -> None:
    """Both ends of a range belong to it."""
    hub = ArmResource(
        "Microsoft.EventHub/namespaces/eventhubs",
        "2024-01-01",
        "evhns-app/events",
        {"properties": {"partitionCount": partitions}},
    )

    assert [flaw.path for flaw in flaws(hub)] == ([] if ok else ["properties.partitionCount"])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"authType": "ManagedIdentity", "credentials": {"clientId": "x"}}, []),
        ({"authType": "AAD", "credentials": {}}, [("unknown", "properties.credentials")]),
        ({"authType": "aad"}, [("choice", "properties.authType")]),
        ({"target": "x"}, [("missing", "properties.authType")]),
    ],
)
def test_a_variant_is_held_against_its_own_definition(
    properties: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """The discriminator decides which properties there are."""
    type_ = "Microsoft.MachineLearningServices/workspaces/connections"
    connection = ArmResource(type_, "2025-12-01", "mlw/openai", {"properties": properties})

    assert [(flaw.kind, flaw.path) for flaw in flaws(connection)] == expected


@pytest.mark.parametrize(
    ("type_", "api"), [(VAULT, "1999-01-01"), ("Microsoft.Keyvault/vaults", "2024-11-01")]
)
def test_a_type_or_version_without_a_definition_is_a_problem(type_: str, api: str) -> None:
    """Nothing passes because nothing was there to hold it against; spelling counts."""
    assert problems(ArmResource(type_, api, "kv", GOOD)) == [
        f"{type_}: no definition of {type_}@{api}"
    ]


def test_the_list_of_types_without_a_definition_is_true() -> None:
    """Those, and no others, of the types in use have none; not in another version either."""
    rows = [row(token) for token in tokens()]

    assert {one.arm for one in rows if not defined(one.arm, one.api)} == UNDEFINED
    assert {type_: found for type_ in UNDEFINED if (found := versions(type_))} == {}
