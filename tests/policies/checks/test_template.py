"""What a deployment template in a file is to the rules: full types and names, and honest values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policies.arm.resource import UNKNOWN, ArmResource
from policies.checks.template import entries
from policies.rules.azure import kinds
from policies.rules.azure.values import SECRET

PARAMETERS = {
    "tls": {"type": "string", "defaultValue": "TLS1_0"},
    "open": {"type": "bool", "defaultValue": False},
    "asked": {"type": "string"},
    "settings": {"type": "object", "defaultValue": {"tls": {"least": "TLS1_1"}}},
    "password": {"type": "secureString"},
    "fresh": {"type": "securestring", "defaultValue": "[newGuid()]"},
    "weak": {"type": "secureString", "defaultValue": "made-up"},
    "credentials": {"type": "secureObject"},
    "home": {"type": "string", "defaultValue": "[resourceGroup().location]"},
}
VARIABLES = {
    "least": "TLS1_2",
    "off": False,
    "again": "[parameters('tls')]",
    "circle": "[variables('circle')]",
    "copy": [{"name": "many", "count": 3, "input": "x"}],
}

STANDS_FOR = {
    "plain": "plain",
    "[parameters('tls')]": "TLS1_0",
    "[ Parameters( 'TLS' ) ]": "TLS1_0",
    "[variables('least')]": "TLS1_2",
    "[variables('again')]": "TLS1_0",
    "[parameters('open')]": False,
    "[variables('off')]": False,
    "[parameters('settings').tls.least]": "TLS1_1",
    "[parameters('settings').tls.most]": UNKNOWN,
    "[parameters('tls').least]": UNKNOWN,
    "[parameters('asked')]": UNKNOWN,
    "[parameters('nowhere')]": UNKNOWN,
    "[parameters('home')]": UNKNOWN,
    "[variables('circle')]": UNKNOWN,
    "[variables('many')]": UNKNOWN,
    "[concat('TLS1_', '2')]": UNKNOWN,
    "[if(equals(parameters('tls'), 'x'), 'TLS1_2', 'TLS1_0')]": UNKNOWN,
    "[parameters('password')]": SECRET,
    "[parameters('fresh')]": SECRET,
    "[parameters('weak')]": "made-up",
    "[parameters('credentials').key]": SECRET,
    "[secret]": UNKNOWN,
    "[[not an expression]": "[not an expression]",
    "[not one": "[not one",
}


def template(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"resources": list(resources), "parameters": PARAMETERS, "variables": VARIABLES, **more}


def storage(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kinds.STORAGE, "name": "st", "properties": properties, **more}


def held(document: Mapping[str, Any]) -> list[ArmResource]:
    return [one for entry in entries(document) for _, one in entry]


@pytest.mark.parametrize("text", STANDS_FOR)
def test_a_value_is_what_it_stands_for_or_unknown(text: str) -> None:
    """A default is what the file says; whatever takes computing is for the deployment to know."""
    (one,) = held(template(storage({"a": [{"b": text}]})))

    assert one.at("properties.a")[0]["b"] == STANDS_FOR[text]


def test_a_property_that_a_loop_makes_is_unknown() -> None:
    """Not absent: rules take absent for Azure's default."""
    loop = {"name": "securityRules", "count": 2, "input": {}}
    (one,) = held(template({"type": kinds.FIREWALL, "name": "n", "properties": {"copy": [loop]}}))

    assert one.at("properties.securityRules") == UNKNOWN


def test_what_is_nested_has_its_whole_type_and_name() -> None:
    """At any depth, and it is no part of what holds it."""
    container = {"type": "containers", "name": "ledger", "properties": {}}
    blobs = {"type": "blobServices", "name": "default", "resources": [container]}

    found = held(template(storage({}, resources=[blobs])))

    assert [(one.type, one.name) for one in found] == [
        (kinds.STORAGE, "st"),
        (kinds.BLOBS, "st/default"),
        (kinds.CONTAINER, "st/default/ledger"),
    ]
    assert all("resources" not in one.body for one in found)


def test_the_path_leads_to_what_is_nested() -> None:
    """By which its line is found."""
    child = {"type": "blobServices", "name": "default"}
    deployment = {
        "type": "Microsoft.Resources/deployments",
        "name": "inner",
        "properties": {"template": {"resources": [storage({}, resources=[child])]}},
    }
    top = ("properties", "template", "resources", 0)

    paths = [path for path, _ in entries(template(storage({}), deployment))[1]]

    assert paths == [top, (*top, "resources", 0)]


def test_types_are_in_azures_spelling_however_they_are_written() -> None:
    """Azure tells no case apart, rules do."""
    (one,) = held(template({"type": "microsoft.storage/storageaccounts", "name": "st"}))

    assert one.type == kinds.STORAGE


def test_a_name_that_cannot_be_known_is_unknown() -> None:
    child = {"type": "blobServices", "name": "default"}
    found = held(
        template(storage({}, resources=[child]) | {"name": "[concat('st', uniqueString())]"})
    )

    assert [one.name for one in found] == [UNKNOWN, f"{UNKNOWN}/default"]


def nested(scope: str | None, **properties: Any) -> dict[str, Any]:
    """A deployment whose template declares a `tls` of its own and uses it."""
    one = storage({"minimumTlsVersion": "[parameters('tls')]"})
    own = {"tls": {"type": "string", "defaultValue": "inner"}}
    chosen = {"expressionEvaluationOptions": {"scope": scope}} if scope else {}
    return {
        "type": "Microsoft.Resources/deployments",
        "name": "inner",
        "properties": {"template": {"parameters": own, "resources": [one]}, **chosen, **properties},
    }


SCOPES = {
    "azure's own choice is the outer template": (nested(None), "TLS1_0"),
    "outer": (nested("outer"), "TLS1_0"),
    "inner": (nested("Inner"), "inner"),
    "inner, with a value": (
        nested("inner", parameters={"tls": {"value": "[variables('least')]"}}),
        "TLS1_2",
    ),
    "inner, with a secret": (
        nested("inner", parameters={"tls": {"value": "[parameters('password')]"}}),
        SECRET,
    ),
    "inner, with what is not known": (
        nested("inner", parameters={"tls": {"value": "[parameters('asked')]"}}),
        UNKNOWN,
    ),
    "inner, with text that looks like an expression": (
        nested("inner", parameters={"tls": {"value": "[[parameters('password')]"}}),
        "[parameters('password')]",
    ),
}


@pytest.mark.parametrize("case", SCOPES)
def test_an_expression_is_read_in_its_own_scope(case: str) -> None:
    """checkov puts the outer default in its place always."""
    document, expected = SCOPES[case]

    (one,) = held(template(document))

    assert one.at("properties.minimumTlsVersion") == expected


def test_a_template_that_is_somewhere_else_is_left_to_the_rules() -> None:
    """No type that they know, so they refuse it."""
    link = {"type": "Microsoft.Resources/deployments", "name": "far", "properties": {}}

    assert [one.type for one in held(template(link))] == ["Microsoft.Resources/deployments"]


@pytest.mark.parametrize("entry", [None, "x", [], {}, {"type": 3}, {"resources": [None]}])
def test_what_is_no_resource_is_one_of_no_known_type(entry: Any) -> None:
    assert not {one.type for one in held(template(entry))} & set(kinds.KNOWN)
