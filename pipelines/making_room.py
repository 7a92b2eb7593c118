"""What a plan does about room: capacity comes first, before anything is changed (S04).

Pure, as ``pipelines.plan`` is, which these steps are part of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipelines.capacity import Room
from pipelines.facts import SLOTS, EnvironmentFacts, Facts, RolloutFacts
from pipelines.steps import BeginRollout, Expose, Retire, Step, Verify
from release.bundle import label
from release.errors import Refused, Waiting


def at_full_size(there: EnvironmentFacts) -> EnvironmentFacts:
    """``there``, where the candidate is timed beside the incumbent: neither less of it nor without
    the other would be a comparison.
    """
    if there.room is None or there.room.verdict not in ("smaller", "outage"):
        return there
    why = "the candidate is evaluated here, with all of its pods and beside the incumbent"
    notes = (*there.room.notes, why)
    return replace(there, room=replace(there.room, verdict="wait", notes=notes, scale=None))


def stop_the_old_one_first(
    facts: Facts, there: EnvironmentFacts
) -> tuple[EnvironmentFacts, list[Step]]:
    """Steps of an agreed outage, and the facts after them. The rollout begins before the outage
    does: from then on a watcher stands by, who brings the old release back if nobody goes on.
    """
    blue, candidate, room = there.slot_of(there.live), facts.candidate, there.room
    if room is None or room.verdict != "outage" or not blue or there.live == candidate:
        return there, []
    name = there.name
    slots = {slot: one for slot, one in there.slots.items() if one.release == candidate}
    green = there.slot_of(candidate) or next(iter(SLOTS))
    reason = f"an agreed outage of about {room.seconds} s begins: {room.why_not}"
    steps: list[Step] = [
        Verify(environment=name, release=candidate, reason="before the old release is stopped")
    ]
    begun = there.rollout if there.rollout and there.rollout.release == candidate else None
    if begun is None:
        steps.append(BeginRollout(environment=name, slot=green, release=candidate, blue=blue,
                                  before=there.live, reason="a watcher stands by"))  # fmt: skip
    if there.weights:
        steps.append(Expose(environment=name, weights={}, reason=reason))
    steps += _emptied(there, candidate, blue)
    begun = begun or RolloutFacts(candidate, there.live)
    return replace(there, slots=slots, weights={}, rollout=begun), steps


def _emptied(there: EnvironmentFacts, candidate: str, blue: str) -> Iterator[Step]:
    """All but the candidate goes: the room was counted so. What is live goes last, so that whoever
    is killed on the way finds the outage still to be begun.
    """
    for slot in sorted(there.slots, key=lambda one: (one == blue, one)):
        if (release := there.slots[slot].release) != candidate:
            yield Retire(environment=there.name, slot=slot, release=release,
                         reason="it has the room")  # fmt: skip


def wait_for_room(facts: Facts, there: EnvironmentFacts, room: Room | None) -> None:
    """Waiting while there is none, Refused where waiting would change nothing. In an outage that
    has begun nobody waits: what is started then either gets ready or brings the old release back.
    """
    if room is None or room.verdict not in ("wait", "smaller", "refused") or is_out(there):
        return
    blue = there.slots.get(there.slot_of(there.live))
    if room.verdict == "smaller" and blue and blue.state in ("ready", "starting"):
        return  # who has the other share of the requests is there
    name = label(facts.application, facts.candidate)
    if room.verdict == "refused":
        raise Refused(
            f"no pod of {name} would be taken in {there.name}, and waiting does not change that. "
            "Nothing was changed. Ask for what is allowed there "
            f"(environments.{there.name}.kubernetes, a patch where it has no field), or let "
            "whoever keeps the namespace allow it",
            room.missing,
        )
    raise Waiting(
        f"{there.name} has no room for {name}: {room.why_not}. It {room.asks}. Nothing was "
        "changed. What ends it: room, then the same command again."
    )


def is_out(there: EnvironmentFacts) -> bool:
    """Whether an outage was begun: a rollout is under way, and nobody answers."""
    return there.rollout is not None and not there.weights


def make_room_for_return(
    there: EnvironmentFacts, goal: str, reason: str
) -> tuple[EnvironmentFacts, list[Step]]:
    """After an outage: whatever is there answers nobody, and has the room that ``goal`` needs."""
    if there.slot_of(goal) or there.weights:
        return there, []
    steps: list[Step] = [
        Retire(environment=there.name, slot=slot, release=occupant.release, reason=reason)
        for slot, occupant in sorted(there.slots.items())
    ]
    return replace(there, slots={}), steps
