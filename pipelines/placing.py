"""Steps that bring a release into a slot. Pure; promotions and returns both begin with them."""

from __future__ import annotations

from dataclasses import replace

from pipelines.capacity import ALL
from pipelines.facts import SLOTS, EnvironmentFacts, Facts, SlotFacts
from pipelines.making_room import is_out, wait_for_room
from pipelines.steps import Deploy, Expose, Retire, Smoke, Step
from release.bundle import label


def ensure(
    facts: Facts, there: EnvironmentFacts, release: str, spare: str, smoke: bool = True
) -> tuple[EnvironmentFacts, list[Step]]:
    """Steps after which ``release`` is ready in a slot, and the facts as they will be.

    ``spare`` is the release whose slot must not be taken. A return does without the smoke test:
    what was live needs no evaluation data to be live again. The candidate alone has to have every
    pod of its model server, and not in an outage: there the first that answers ends it.
    """
    slot, promoted = there.slot_of(release), smoke and release == facts.candidate
    whole = promoted and not is_out(there)
    begun = there.slots[slot] if slot else None
    if begun and begun.state == "ready" and (begun.whole or begun.share < ALL or not whole):
        return there, []
    room = there.room if promoted and (begun is None or begun.share < ALL) else None
    wait_for_room(facts, there, room)
    steps: list[Step] = []
    taken = [name for name, one in there.slots.items() if name != slot]
    if not slot:
        slot = next((name for name in SLOTS if name not in taken), "") or next(
            name for name in taken if there.slots[name].release != spare
        )
    there = _free(facts, there, slot, release, steps)
    steps.append(
        Deploy(
            environment=there.name,
            slot=slot,
            release=release,
            scale=room.scale if room else None,
            whole=whole,
            reason=_why(facts, there, release, slot) + (f"; {room}" if room else ""),
        )
    )
    if smoke:
        reason = "a real prompt, pinned"
        steps.append(Smoke(environment=there.name, slot=slot, release=release, reason=reason))
    return _with(there, slot, release, facts, room.share if room else ALL), steps


def _free(
    facts: Facts, there: EnvironmentFacts, slot: str, release: str, steps: list[Step]
) -> EnvironmentFacts:
    """Empty ``slot`` of any other release, moving what weight it has to the slot beside it."""
    occupant = there.slots.get(slot)
    if occupant is None or occupant.release == release:
        return there
    if there.weights.get(slot, 0):
        beside = next((name for name in there.slots if name != slot), "")
        weights = {beside: ALL} if beside else {}
        steps.append(Expose(environment=there.name, weights=weights, reason=f"{slot} is needed"))
        there = replace(there, weights=weights)
    steps.append(
        Retire(
            environment=there.name,
            slot=slot,
            release=occupant.release,
            reason=f"the slot is needed for {label(facts.application, release)}",
        )
    )
    return replace(there, slots={k: v for k, v in there.slots.items() if k != slot})


def _with(
    there: EnvironmentFacts, slot: str, release: str, facts: Facts, share: int = ALL
) -> EnvironmentFacts:
    occupant = SlotFacts(release, engine=facts.engines.get(release, ""), share=share)
    return replace(there, slots={**there.slots, slot: occupant})


def _why(facts: Facts, there: EnvironmentFacts, release: str, slot: str) -> str:
    occupant = there.slots.get(slot)
    if occupant and occupant.state == "ready" and not occupant.whole:
        return "some pods of its model server are still awaited"
    beside = {one.engine for one in there.slots.values() if one.release != release}
    if facts.engines.get(release, "") in beside:
        return "shares the model server beside it: no second copy of the weights"
    return "with a model server of its own: one more copy of the weights in memory"
