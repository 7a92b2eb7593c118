"""The gate asks every rule, and takes no silence for a yes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import pytest

from policies.arm.resource import ArmResource, Source
from policies.gate import judge, judge_resource, judge_whole
from policies.rules import azure
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds, bounds_of
from policies.rules.rule import PlanRule, Rule
from policies.suppressions import Suppression, suppress
from release.errors import BadInput
from tests.policies.rules.azure.cases import BOUNDS, Case, cases

STORE = ArmResource(
    kinds.STORAGE, "2024-01-01", "st", {}, urn="urn:st", source=Source("infra/azure/store.py", 9)
)


@pytest.mark.parametrize("case", cases("refuses"), ids=str)
def test_what_a_rule_refuses_the_gate_refuses(case: Case) -> None:
    """By that rule, whatever others have against it."""
    plan = case.plan or ((case.resource,) if case.resource else ())

    assert case.rule in {finding.rule for finding in judge(plan, BOUNDS)}


def _falls(_: ArmResource) -> str | None:
    raise KeyError("made-up secret")


def _plan_falls(_: Sequence[ArmResource]) -> Iterator[tuple[ArmResource | None, str]]:
    raise KeyError("made-up secret")
    yield None, ""


def test_s25_a_rule_that_falls_over_refuses_the_resource() -> None:
    """Even one that only warns; and what it stumbled over is not repeated."""
    rule = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls, "warn")

    (finding,) = judge_resource(STORE, (rule,))

    assert (finding.rule, finding.severity, finding.found) == (
        "GL-AZ-XXX-001-FELL",
        "refuse",
        "KeyError in the rule",
    )
    assert (finding.file, finding.line, finding.resource) == ("infra/azure/store.py", 9, "urn:st")
    assert "made-up" not in str(finding)


def test_s25_that_a_rule_fell_over_cannot_be_suppressed() -> None:
    """Who answers for a finding has seen it; of this nobody has."""
    rule = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls)
    day = date(2026, 11, 22)
    entry = Suppression(rule.id, "*", "Nothing to see here.", day, "suppressions.yaml", 2)

    left = suppress(judge_resource(STORE, (rule,)), (entry,), day)

    assert [finding.rule for finding in left.findings] == [f"{rule.id}-FELL", "GL-SUPPRESSION-002"]


def test_s25_a_rule_over_the_plan_that_falls_over_refuses_the_plan() -> None:
    rule = PlanRule("GL-AZ-XXX-002", "t", "e", "r.", "https://x", _plan_falls)

    assert [f.found for f in judge_whole((STORE,), (rule,))] == ["KeyError in the rule"]


def test_s25_one_that_falls_over_does_not_silence_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls)
    whole = azure.rules(BOUNDS)
    monkeypatch.setattr(azure, "rules", lambda _: (broken, *whole))

    found = {finding.rule for finding in judge((STORE,), BOUNDS)}

    assert {"GL-AZ-XXX-001-FELL", "GL-AZ-NET-001", "GL-AZ-ENC-001"} <= found


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, 'config["greenlight:azure"].environment'),
        ({"greenlight:azure": {"environment": "x"}}, 'config["greenlight:azure"].allowedLocations'),
        ({"greenlight:azure": {"environment": "x", "allowedLocations": []}}, "allowedLocations"),
        (
            {
                "greenlight:azure": {
                    "environment": "x",
                    "allowedLocations": ["a"],
                    "network": {"private": "no"},
                }
            },
            "network.private",
        ),
        (
            {
                "greenlight:azure": {"environment": "x", "allowedLocations": ["a"]},
                "greenlight:imageRegistries": "mcr.microsoft.com",
            },
            'config["greenlight:imageRegistries"]',
        ),
    ],
)
def test_bounds_that_are_not_said_are_refused(config: dict[str, object], path: str) -> None:
    """No default would be anybody's decision."""
    with pytest.raises(BadInput) as error:
        bounds_of(config)

    assert path in str(error.value)


def test_bounds_come_from_the_stacks_settings() -> None:
    azure = {
        "environment": "staging",
        "allowedLocations": ["a", "b"],
        "network": {"private": False},
    }

    bounds = bounds_of({"greenlight:azure": azure, "greenlight:modelRegistries": ["ours"]})

    assert bounds == Bounds("staging", ("a", "b"), private=False, models=("ours",))
