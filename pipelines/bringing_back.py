"""Plans that bring back, and one that lets go of what stood by. Pure, as ``pipelines.plan`` is.

They ask for nothing but that the release was live: neither evidence nor policy stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.capacity import ALL
from pipelines.facts import EnvironmentFacts, Facts
from pipelines.making_room import make_room_for_return
from pipelines.placing import ensure
from pipelines.steps import (
    BeginReturn,
    Deploy,
    EndRollout,
    Expose,
    Plan,
    Record,
    Retire,
    Step,
)
from release.bundle import label
from release.errors import GreenlightError


def plan_refusal(facts: Facts) -> Plan:
    """After a gate's no: every environment goes back to what is live there."""
    steps = [
        step
        for environment in facts.environments
        for step in _put_back(facts, environment, facts.candidate)
    ]
    return Plan(tuple(steps), "every environment goes back to what is live there")


def plan_return(
    facts: Facts, environment: str, reason: str, to: str = "", bad: str = "", hold: bool = True
) -> Plan:
    """Back to a release that was live in ``environment``, with all requests, at once.

    ``bad`` is the release to leave; empty means the one on its way, else the live one. ``to`` is
    the one to return to; empty means the one recorded as live while another is on its way, else the
    newest one before it that is not revoked, one that was never brought back itself if there is
    any. Evidence and policy are not asked. Without ``hold`` nothing was judged, and ``bad`` may be
    shipped again.
    """
    there = facts.environment(environment)
    if there.returning:  # whoever finishes it: what it was begun for is what it was for
        bad = there.returned_from
        hold, reason = bad in facts.held, facts.held.get(bad, reason)
    by_hand = not bad  # nobody says which one is bad: the live one, if it is not back already
    bad = bad or _what_is_on_its_way(there) or there.live
    goal = to or there.returning or (there.live if bad != there.live else "")
    if not goal or goal in facts.revoked:
        left = [r for r in there.before if r not in facts.revoked and r != bad]
        goal = next((r for r in left if r not in facts.held), "")
        if by_hand and there.came_back and bad == there.live and not goal:
            name = label(facts.application, there.live)
            return Plan((), f"{environment} is back on {name} already; what else was live is held")
        goal = goal or next(iter(left), "")
    if not goal:
        raise GreenlightError(
            f"nothing to return to in {environment}: no release that was live there before "
            "is left that is not revoked. Ship a good release, or destroy the environment."
        )
    steps = list(_return_steps(facts, there, goal, bad, reason, hold))
    return Plan(tuple(steps), f"{environment} returns to {label(facts.application, goal)}")


def plan_stand_down(facts: Facts, environment: str) -> Plan:
    """After soak and delay: what stood by for an instant way back is retired."""
    there = facts.environment(environment)
    reason = "soak and scale-down delay are over"
    steps: list[Step] = [
        Retire(environment=there.name, slot=slot, release=occupant.release, reason=reason)
        for slot, occupant in sorted(there.slots.items())
        if occupant.release != there.live and not there.weights.get(slot)
    ]
    steps.append(
        EndRollout(environment=there.name, release=there.live, outcome="completed", reason=reason)
    )
    return Plan(tuple(steps), f"{environment}: {reason}")


def _put_back(facts: Facts, there: EnvironmentFacts, refused: str) -> Iterator[Step]:
    slot = there.slot_of(refused)
    if not slot or there.live == refused:
        return
    keep = next((r for r in (there.live, facts.environments[-1].live) if there.slot_of(r)), "")
    weights = {there.slot_of(keep): ALL} if keep else {}
    if dict(there.weights) != weights:
        yield Expose(environment=there.name, weights=weights, reason="the candidate was refused")
    if keep and keep != there.live:
        yield Record(environment=there.name, release=keep, reason="the candidate was refused")
    yield Retire(environment=there.name, slot=slot, release=refused, reason="it was refused")
    if there.rollout and there.rollout.release == refused:
        yield EndRollout(environment=there.name, release=refused, outcome="refused")


def _what_is_on_its_way(there: EnvironmentFacts) -> str:
    """The release that a rollout has begun to bring in; what is being retired is not it."""
    return there.arriving if there.slot_of(there.arriving) else ""


def _return_steps(
    facts: Facts, there: EnvironmentFacts, goal: str, bad: str, reason: str, hold: bool
) -> Iterator[Step]:
    """Users first, then the ledger's word on it: to take the other slot away may take long, or wait
    for Git. Only the last entry says that the return is finished.
    """
    if bad and not there.returning:
        yield BeginReturn(environment=there.name, release=bad, goal=goal, hold=hold, reason=reason)
    there, room = make_room_for_return(there, goal, reason)
    yield from room
    now, steps = ensure(facts, there, goal, spare=there.live, smoke=False)
    slot = now.slot_of(goal)
    if not steps:  # said again, so that from now on the target refuses a fence before ours
        steps = [
            Deploy(environment=there.name, slot=slot, release=goal, whole=False,
                   reason="it is there")
        ]  # fmt: skip
    yield from steps
    yield Expose(environment=there.name, weights={slot: ALL}, reason=reason)
    if not (there.returning and there.came_back and there.live == goal):
        yield Record(environment=there.name, release=goal, returned=True, reason=reason)
    for name, occupant in sorted(now.slots.items()):
        if name != slot:
            yield Retire(environment=there.name, slot=name, release=occupant.release, reason=reason)
    outcome = "returned" if hold else "expired"
    yield EndRollout(environment=there.name, release=bad, outcome=outcome, reason=reason)
