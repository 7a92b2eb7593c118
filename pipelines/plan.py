"""From facts to steps. Pure: the same facts give the same plan, and a dry run prints it.

``plan_ship`` promotes, gates included; ``pipelines.bringing_back`` plans the way back. Every plan
starts from what is there, so a plan made after a kill is the rest of the one that was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.capacity import ALL
from pipelines.facts import EnvironmentFacts, Facts
from pipelines.making_room import (
    at_full_size,
    is_out,
    stop_the_old_one_first,
)
from pipelines.placing import ensure
from pipelines.steps import (
    Analyse,
    Baseline,
    BeginRollout,
    Check,
    Comply,
    EndRollout,
    Evaluate,
    Expose,
    Grow,
    Hold,
    Mirror,
    Plan,
    Provision,
    Record,
    Retire,
    Step,
    Verify,
)
from release.bundle import label
from release.errors import BadInput, Problem, Refused
from release.rollout_section import Rollout


def plan_ship(facts: Facts, rollout: Rollout, retry: bool = False) -> Plan:
    """Everything between the candidate and production. Raises Refused when it may not go there."""
    _refuse_what_may_not_be_shipped(facts, retry)
    name = label(facts.application, facts.candidate)
    if _nothing_to_do(facts):
        last = facts.environments[-1].name
        return Plan((), f"{name} answers all requests in {last} already, with valid evidence")
    first, *others = facts.environments
    steps = [*_before_loading(facts), *_stage(facts, first, rollout)]
    for environment in others:
        steps += _promote(facts, environment, rollout)
    return Plan(tuple(steps), f"ship {name} to {facts.environments[-1].name}")


def plan_evaluation(facts: Facts, rollout: Rollout, retry: bool = False) -> Plan:
    """Only the first environment: there, evaluated, and live where others come after it."""
    _refuse_what_may_not_be_shipped(facts, retry)
    name, first = label(facts.application, facts.candidate), facts.environments[0]
    if "evaluation" in facts.evidence and (
        len(facts.environments) == 1 or first.serves(facts.candidate)
    ):
        return Plan((), f"{name} has valid evaluation evidence already")
    steps = [*_before_loading(facts), *_stage(facts, first, rollout)]
    if len(facts.environments) == 1:
        steps = [*_until_evaluated(steps)]
    return Plan(tuple(steps), f"evaluate {name} in {first.name}")


def _until_evaluated(steps: list[Step]) -> Iterator[Step]:
    """The steps before traffic moves: the only environment has users."""
    for step in steps:
        if isinstance(step, Verify):
            return
        yield step


def plan_compliance(facts: Facts) -> Plan:
    """Only the checks that need no running model."""
    name = label(facts.application, facts.candidate)
    if "compliance" in facts.evidence:
        return Plan((), f"{name} has valid compliance evidence already")
    return Plan((Comply(release=facts.candidate, reason="asked for"),), f"check {name}")


def plan_promotion(facts: Facts, to: str, rollout: Rollout, retry: bool = False) -> Plan:
    """Only the promotion to environment ``to``; what comes before has to be done already."""
    _refuse_what_may_not_be_shipped(facts, retry)
    environment = facts.environment(to)
    name = label(facts.application, facts.candidate)
    if facts.environments[0] is environment and len(facts.environments) > 1:
        raise BadInput(
            Problem(
                path="--to",
                expected="an environment after the first",
                found=to,
                remedy="`greenlight ship` brings a release to the first one.",
            )
        )
    if environment.serves(facts.candidate):
        return Plan((), f"{name} answers all requests in {to} already")
    _refuse_what_was_not_staged(facts, to)
    return Plan(tuple(_promote(facts, environment, rollout)), f"promote {name} to {to}")


def _nothing_to_do(facts: Facts) -> bool:
    return (
        not facts.provision_reason
        and all(one.serves(facts.candidate) for one in facts.environments)
        and facts.evidence >= {"compliance", "evaluation"}
    )


def _refuse_what_may_not_be_shipped(facts: Facts, retry: bool) -> None:
    name = label(facts.application, facts.candidate)
    if facts.candidate in facts.revoked:
        raise Refused(f"{name} is revoked")
    if facts.candidate in facts.held and not retry:
        raise Refused(
            f"{name} was brought back and is held; change it, or ship it again with --retry",
            (facts.held[facts.candidate],),
        )
    if facts.refusals and not retry:
        raise Refused(
            f"{name} was refused with this evaluation data and these gates; change it, "
            "or evaluate it again with --retry",
            facts.refusals,
        )


def _refuse_what_was_not_staged(facts: Facts, to: str) -> None:
    name = label(facts.application, facts.candidate)
    before = facts.environments[[one.name for one in facts.environments].index(to) - 1]
    reasons = [
        f"no valid {kind} evidence" for kind in ("compliance", "evaluation")
        if kind not in facts.evidence
    ]  # fmt: skip
    if before is not facts.environment(to) and before.live != facts.candidate:
        reasons.append(f"it is not live in {before.name}, which comes before {to}")
    if not facts.environment(to).provisioned:
        reasons.append(f"{to} is not provisioned")
    if reasons:
        raise Refused(
            f"{name} cannot be promoted to {to}; `greenlight ship` does it all", (*reasons,)
        )


def _before_loading(facts: Facts) -> Iterator[Step]:
    if "compliance" not in facts.evidence:
        yield Comply(release=facts.candidate, reason="before any engine opens a file of it")
    if facts.provision_reason:
        names = tuple(one.name for one in facts.environments)
        yield Provision(environments=names, reason=facts.provision_reason)


def _stage(facts: Facts, first: EnvironmentFacts, rollout: Rollout) -> Iterator[Step]:
    """The first environment: candidate beside incumbent, evaluated, then live there."""
    alone = len(facts.environments) == 1
    evaluated = "evaluation" in facts.evidence
    if evaluated and first.serves(facts.candidate):
        return
    incumbent = facts.environments[-1].live
    incumbent = "" if incumbent == facts.candidate else incumbent
    keep = first.live if alone else incumbent
    there = at_full_size(first)
    if not evaluated and keep:
        there, steps = ensure(facts, there, keep, spare=facts.candidate)
        yield from steps
    there, steps = ensure(facts, there, facts.candidate, spare=keep or there.live)
    yield from steps
    if not evaluated:
        yield Evaluate(
            environment=first.name,
            slot=there.slot_of(facts.candidate),
            release=facts.candidate,
            incumbent=keep,
            incumbent_slot=there.slot_of(keep) if keep else "",
            reason=f"against {label(facts.application, keep)}, which is live"
            if keep
            else "against the limits alone: nothing is live yet",
        )
    yield from _take_over(facts, there, rollout, at_once=not alone)


def _promote(facts: Facts, environment: EnvironmentFacts, rollout: Rollout) -> Iterator[Step]:
    """A later environment: green beside blue, then traffic step by step."""
    if environment.serves(facts.candidate):
        return
    there, steps = stop_the_old_one_first(facts, environment)
    yield from steps
    there, steps = ensure(facts, there, facts.candidate, spare=environment.live)
    yield from steps
    yield from _take_over(facts, there, rollout, at_once=False)


def _take_over(
    facts: Facts, there: EnvironmentFacts, rollout: Rollout, at_once: bool
) -> Iterator[Step]:
    """Traffic moves to the candidate; what it replaces stands by, then is retired."""
    candidate, green = facts.candidate, there.slot_of(facts.candidate)
    blue = there.slot_of(there.live) if there.live != candidate else ""
    if blue and there.slots[blue].state not in ("ready", "starting"):
        blue = ""  # nobody can be sent there: waiting for it would keep the cure from the users
    name = there.name
    yield Verify(environment=name, release=candidate, reason="just before traffic moves")
    if blue and not at_once:
        yield from _roll_out(facts, there, rollout, green, blue)
    else:
        yield from _switch(facts, there, rollout, at_once)
    if there.live != candidate:
        yield Record(environment=name, release=candidate, reason="all requests, all checks passed")
    stands_by = blue and not at_once and max(rollout.soak, rollout.scale_down_delay) > 0
    for slot, occupant in sorted(there.slots.items()):
        if slot != green and not (stands_by and slot == blue):
            yield Retire(
                environment=name,
                slot=slot,
                release=occupant.release,
                reason="nothing is sent there",
            )
    if (there.rollout or (blue and not at_once)) and not stands_by:
        yield EndRollout(environment=name, release=candidate, outcome="completed")


def _switch(
    facts: Facts, there: EnvironmentFacts, rollout: Rollout, at_once: bool
) -> Iterator[Step]:
    """All traffic in one step, where there is nobody to move step by step."""
    green, name = there.slot_of(facts.candidate), there.name
    why = "it passed; this environment has no users to move step by step"
    begins = "the outage ends" if is_out(there) else "nothing is live here yet"
    why = why if at_once else begins
    if dict(there.weights) != {green: ALL}:
        yield Expose(environment=name, weights={green: ALL}, reason=why)
    if not at_once:
        yield _check(facts, name, green, ALL, rollout)


def _roll_out(
    facts: Facts, there: EnvironmentFacts, rollout: Rollout, green: str, blue: str
) -> Iterator[Step]:
    """The spec's steps in their order; those that an earlier run finished are not done again."""
    begun = there.rollout if there.rollout and there.rollout.release == facts.candidate else None
    candidate, before = facts.candidate, there.slots[blue].release
    name, done = there.name, begun.done if begun else -1
    if begun is None and there.weights.get(green):
        yield Expose(
            environment=name, weights={blue: ALL}, reason="it begins again, with blue alone"
        )
    if begun is None:
        reason = f"over {label(facts.application, before)}, step by step"
        yield BeginRollout(environment=name, slot=green, release=candidate, blue=blue,
                           before=before, reason=reason)  # fmt: skip
    if begun is None or not begun.measured:
        yield Baseline(environment=name, slot=blue, release=before, reason="before anything moves")
    weight = _reached(rollout, done)
    if (
        begun
        and weight
        and there.weights.get(green, 0) not in (weight, _next_weight(rollout, done))
    ):
        yield Expose(environment=name, weights=_split(blue, green, weight), reason=_step_to(weight))
    share = there.slots[green].share
    for index, step in [*enumerate(rollout.steps)][done + 1 :]:
        weight = step.set_weight or weight
        if max(weight, step.set_mirror or 0) > share:
            yield Grow(environment=name, slot=green, release=candidate,
                       reason=f"until now it has {share} % of its pods")  # fmt: skip
            share = ALL
        yield from _one_step(facts, there, rollout, (green, blue), index, weight)


def _one_step(
    facts: Facts, there: EnvironmentFacts, rollout: Rollout, slots: tuple[str, str],
    index: int, weight: int,
) -> Iterator[Step]:  # fmt: skip
    (green, blue), step = slots, rollout.steps[index]
    where: dict[str, Any] = {"environment": there.name, "release": facts.candidate, "slot": green}
    allowed = there.rollout.allowed if there.rollout else frozenset()
    if step.set_weight is not None:
        split = _split(blue, green, weight)
        yield Expose(environment=there.name, weights=split, reason=_step_to(weight))
        yield _check(facts, there.name, green, weight, rollout, index)
    elif step.set_mirror is not None:
        yield Mirror(**where, percent=step.set_mirror, index=index, reason="compared, never seen")
    elif step.pause is not None and step.pause.duration is not None:
        yield Analyse(**where, blue=blue, weight=weight, seconds=step.pause.duration, index=index,
                      reason="green against blue and against its baseline")  # fmt: skip
    elif index not in allowed:
        until, why = ("approve", step.approval.message) if step.approval else ("resume", "")
        yield Hold(**where, until=until, index=index, reason=why or "the spec asks for it")


def _check(
    facts: Facts, environment: str, slot: str, weight: int, rollout: Rollout, index: int = -1
) -> Check:
    return Check(
        environment=environment, slot=slot, release=facts.candidate, weight=weight,
        queries=rollout.checks, index=index, reason="synthetic: evaluation queries, pinned",
    )  # fmt: skip


def _reached(rollout: Rollout, done: int) -> int:
    """The weight that the steps up to ``done`` led to; 0 before the first."""
    return max((step.set_weight or 0 for step in rollout.steps[: done + 1]), default=0)


def _next_weight(rollout: Rollout, done: int) -> int:
    """The weight after that. Killed right behind it, users are not moved there and back."""
    return next((step.set_weight for step in rollout.steps[done + 1 :] if step.set_weight), ALL)


def _split(blue: str, green: str, weight: int) -> dict[str, int]:
    return {blue: ALL - weight, green: weight} if weight < ALL else {green: ALL}


def _step_to(weight: int) -> str:
    return f"step to {weight} %"
