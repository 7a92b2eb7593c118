"""What is shown of a plan holds no secret, wherever the program wrote one."""

from __future__ import annotations

import json

from policies.arm.resource import ArmResource
from policies.redaction import redacted, redacted_plan
from policies.rules.azure import kinds

FLUX = ArmResource(
    kinds.FLUX,
    "x",
    "one",
    {
        "tags": {"note": "AccountKey=bWFkZS11cA==", "ghp_madeupmadeupmadeup": "x"},
        "properties": {
            "gitRepository": {"url": "https://made-up@git.example.com/it"},
            "configurationProtectedSettings": {"git": "made-up"},
            "kustomizations": {"app": {"path": "./production", "password": "[secret]"}},
        },
    },
)
STATE = {
    "type": "azure-native:keyvault:Secret",
    "inputs": {"secretName": "openai", "properties": {"value": "made-up"}},
    "outputs": {"properties": {"value": "made-up", "contentType": "text"}},
}


def test_a_resource_is_shown_without_what_it_has_in_the_clear() -> None:
    """And with all the rest, so that a reader sees what it is."""
    shown = redacted(FLUX).body

    assert shown["tags"] == {"note": "<redacted>", "<redacted>": "x"}
    assert shown["properties"] == {
        "gitRepository": {"url": "<redacted>git.example.com/it"},
        "configurationProtectedSettings": {"git": "<redacted>"},
        "kustomizations": {"app": {"path": "./production", "password": "[secret]"}},
    }


def test_the_engines_plan_is_shown_without_it_too() -> None:
    """In every state, and in what the program said to the engine."""
    told = "cloning https://made-up@git.example.com/it"
    plan = {
        "steps": [{"op": "update", "newState": STATE, "oldState": STATE}],
        "diagnostics": [{"message": told}],
    }

    shown = redacted_plan(plan)

    assert "made-up" not in json.dumps(shown)
    assert shown["steps"][0]["newState"]["inputs"]["secretName"] == "openai"
    assert shown["steps"][0]["newState"]["outputs"]["properties"]["contentType"] == "text"
