"""What a plan is, as files: facts in, the whole plan out. A new behaviour is first a new file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.bringing_back import plan_refusal, plan_return
from pipelines.capacity import Room
from pipelines.facts import EnvironmentFacts, Facts, RolloutFacts, SlotFacts
from pipelines.plan import plan_compliance, plan_evaluation, plan_promotion, plan_ship
from pipelines.steps import Deploy, Plan, describe, step_from_json
from release.errors import GreenlightError
from release.rollout_section import Rollout

CASES = sorted((Path(__file__).parent.parent / "cases/plan").glob("*.yaml"))


def environment(name: str, value: Mapping[str, Any]) -> EnvironmentFacts:
    """An environment's facts from a case; slots are written ``blue: RELEASE STATE ENGINE``."""
    slots = {}
    for slot, text in value.get("slots", {}).items():
        release, state, engine = (*text.split(), "ready", "e")[:3]
        share = value.get("shares", {}).get(slot, 100)
        whole = slot not in value.get("short", ())
        slots[slot] = SlotFacts(release, state, engine=engine, share=share, whole=whole)
    return EnvironmentFacts(
        name=name,
        provisioned=value.get("provisioned", True),
        slots=slots,
        weights=value.get("weights", {}),
        live=value.get("live", ""),
        before=tuple(value.get("before", ())),
        returning=value.get("returning", ""),
        returned_from=value.get("returned_from", ""),
        arriving=value.get("arriving", ""),
        came_back=value.get("came_back", False),
        rollout=rollout_facts(value["rollout"]) if "rollout" in value else None,
        room=room_facts(value["room"]) if "room" in value else None,
    )


def room_facts(value: Mapping[str, Any]) -> Room:
    """What room the candidate has, from a case."""
    listed = {key: tuple(value.get(key, ())) for key in ("missing", "notes", "later")}
    return Room(**{**value, **listed})


def rollout_facts(value: Mapping[str, Any]) -> RolloutFacts:
    """A rollout under way, from a case."""
    return RolloutFacts(**{**value, "allowed": frozenset(value.get("allowed", ()))})


def facts(value: Mapping[str, Any]) -> Facts:
    """Facts from a case."""
    return Facts(
        application="app",
        candidate=value.get("candidate", "new"),
        environments=tuple(environment(k, v or {}) for k, v in value["environments"].items()),
        engines={"new": "e", "old": "e", "older": "e", **value.get("engines", {})},
        provision_reason=value.get("provision_reason", ""),
        evidence=frozenset(value.get("evidence", ())),
        refusals=tuple(value.get("refusals", ())),
        held=value.get("held", {}),
        revoked=frozenset(value.get("revoked", ())),
    )


def plan(case: Mapping[str, Any]) -> Plan:
    """The plan that a case asks for."""
    steps = [{"setWeight": 25}, {"pause": {"duration": 10.0}}, {"setWeight": 100}]
    asked_for = {"steps": steps, "soakSeconds": 0.0, "scaleDownDelaySeconds": 0.0}
    rollout = Rollout.model_validate_json(json.dumps(asked_for | case.get("rollout", {})))
    given, asked = facts(case["facts"]), dict(case["plan"])
    verb = asked.pop("verb")
    match verb:
        case "ship":
            return plan_ship(given, rollout, **asked)
        case "promote":
            return plan_promotion(given, rollout=rollout, **asked)
        case "evaluate":
            return plan_evaluation(given, rollout, **asked)
        case "comply":
            return plan_compliance(given)
        case "refusal":
            return plan_refusal(given)
    return plan_return(given, **asked)


def outcome(case: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as a case writes it: reason and lines, or the refusal with its exit code."""
    try:
        made = plan(case)
    except GreenlightError as error:
        return {"exit_code": error.exit_code, "says": str(error).split("\n")}
    return {"reason": made.reason, "steps": [describe(step, "app") for step in made.steps]}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_these_facts_give_this_plan(path: Path) -> None:
    """Facts in, the whole plan out."""
    case = yaml.safe_load(path.read_text())

    assert case["expected"] == outcome(case)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_step_survives_the_ledger(path: Path) -> None:
    """A step that was written as JSON is the same step when it is read again."""
    case = yaml.safe_load(path.read_text())
    try:
        steps = plan(case).steps
    except GreenlightError:
        return

    assert steps == tuple(step_from_json(step.as_json()) for step in steps)


RETURNS = [path for path in CASES if path.stem.startswith("return-")]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_S02_a_candidate_alone_waits_for_every_model_server(path: Path) -> None:
    """Users come first on the way back: one that answers is better than none. What is live is not
    held to what the candidate has to show.
    """
    case = yaml.safe_load(path.read_text())
    try:
        steps = plan(case).steps
    except GreenlightError:
        return

    returns = any(step.kind == "begin-return" for step in steps) or path in RETURNS
    whole = {step.release for step in steps if isinstance(step, Deploy) and step.whole}
    assert whole <= (set() if returns else {facts(case["facts"]).candidate})
