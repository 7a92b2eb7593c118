"""Reading a stack's outputs: the contract, or a refusal that names what is not of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.outputs import read_local, read_outputs
from release.errors import GreenlightError
from release.outputs import LocalEnvironment

ENVIRONMENT = {"target": "local", "address": "http://127.0.0.1:1", "folder": "/there/a"}
LOCAL: dict[str, Any] = {"version": 1, "target": "local", "environments": {"a": ENVIRONMENT}}


def test_what_a_stack_of_this_machine_says_is_read() -> None:
    """Keys that a later program adds are passed over: within a version the contract only grows."""
    later = {**LOCAL, "more": 1, "environments": {"a": {**ENVIRONMENT, "more": 1}}}

    assert read_local(json.dumps(later)).environments == {
        "a": LocalEnvironment.model_validate(ENVIRONMENT)
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, expected 1: program and pipelines"),
        ({"version": None}, "version None"),
        ({"target": "kubernetes"}, "target 'kubernetes', expected local or azure"),
        ({"target": None}, "target None"),
        ({"environments": {"a": {**ENVIRONMENT, "address": 1}}}, r"environments\.a\.address: "),
        ({"environments": None}, "environments: "),
        ({"target": "azure"}, "environment: Field required"),
        ({"environments": {"a": {**ENVIRONMENT, "address": "[secret]"}}},
         r"a secret at environments\.a\.address"),
        ({"more": ["x", "[secret]"]}, r"a secret at more\.1"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    """Whoever went on would act on something else than what is there."""
    with pytest.raises(GreenlightError, match=said):
        read_outputs(json.dumps({**LOCAL, **change}))


def test_values_are_not_in_a_refusal() -> None:
    """They could be anything."""
    wrong = {**LOCAL, "environments": {"a": {**ENVIRONMENT, "folder": ["sk-in-the-clear"]}}}

    with pytest.raises(GreenlightError) as refused:
        read_outputs(json.dumps(wrong))

    assert "sk-in" not in str(refused.value)
