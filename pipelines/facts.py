"""What is: frozen values that a planner reads, and nothing else.

Gathering them is ``pipelines.gather``'s work. A planner that sees only these can be tested with
files, and a dry run sees what a real run sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.capacity import ALL, Room

SLOTS = ("blue", "green")

SlotState = Literal["starting", "ready", "failed", "stopping"]


@dataclass(frozen=True)
class SlotFacts:
    """One occupied slot. ``engine`` names the model server: equal names share one. ``share`` is
    per cent of the pods that it is to have: one that was started smaller has fewer. ``whole`` is
    whether its model server has all the pods that were asked for: some answer, or it is not ready.
    ``reachable`` is whether any of it takes requests, also while not all of it is ready.
    """

    release: str
    state: SlotState = "ready"
    reason: str = ""
    engine: str = ""
    share: int = ALL
    whole: bool = True
    reachable: bool = True


@dataclass(frozen=True)
class RolloutFacts:
    """A rollout that was begun and has not ended: ``release`` over ``before``.

    ``done`` is the index of the last step of the spec that was finished, -1 for none.
    ``measured`` is whether blue's baseline is known. ``allowed`` are the steps that somebody
    resumed or approved. ``keeps`` is whether blue shall still stand by: the soak and the delay of
    a release that is live already are not over.
    """

    release: str
    before: str = ""
    done: int = -1
    measured: bool = False
    allowed: frozenset[int] = frozenset()
    keeps: bool = False


@dataclass(frozen=True)
class EnvironmentFacts:
    """One environment: what runs there, and what its ledger says was live there.

    ``provisioned`` is whether its gateway answers at ``address``, ``reason`` why not, ``away``
    whether nobody there could even be asked. ``live`` is the release last recorded as live;
    ``before`` are the ones live earlier, newest first. ``returning`` is the release that a return
    began to bring back and has not finished; ``returned_from`` the one it left. ``arriving`` is the
    release last deployed here since something was recorded as live. ``rollout`` is the one under
    way, soak included. ``came_back`` is whether the last return brought what is live. ``room`` is
    what there is for the candidate, None where it is ready already or where nobody counts.
    ``notice`` is what somebody should know, and put right.
    """

    name: str
    provisioned: bool = False
    address: str = ""
    reason: str = ""
    slots: Mapping[str, SlotFacts] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    live: str = ""
    before: tuple[str, ...] = ()
    returning: str = ""
    returned_from: str = ""
    arriving: str = ""
    rollout: RolloutFacts | None = None
    came_back: bool = False
    room: Room | None = None
    notice: str = ""
    away: bool = False

    def slot_of(self, release: str) -> str:
        """The slot that holds ``release``, or an empty string."""
        names = [name for name, slot in self.slots.items() if release and slot.release == release]
        return max(names, key=lambda name: self.weights.get(name, 0), default="")

    def weight_of(self, release: str) -> int:
        """Per cent of requests that ``release`` answers now."""
        return self.weights.get(self.slot_of(release), 0) if release else 0

    def serves(self, release: str) -> bool:
        """Whether ``release`` is recorded as live, is ready, and answers every request.

        Alone, too, but for what stands by on purpose.
        """
        slot = self.slots.get(self.slot_of(release))
        return (
            self.provisioned
            and self.live == release
            and slot is not None
            and slot.state == "ready"
            and self.weight_of(release) == 100
            and (len(self.slots) == 1 or self.stands_by)
        )

    @property
    def stands_by(self) -> bool:
        """Whether what was live before is kept for an instant way back."""
        return self.rollout is not None and self.rollout.keeps


@dataclass(frozen=True)
class Facts:
    """Everything that a plan is made from.

    ``engines`` names the model server that each known release needs. ``provision_reason`` says why
    the engine has to run, empty when program, settings and outputs are as they were. ``evidence``
    holds the kinds that are valid now for the candidate; ``refusals`` the reasons of a gate that
    already refused exactly this; ``held`` why releases were brought back; ``revoked`` releases
    that may not come back either. ``seconds`` is how long each kind of step took the last time.
    """

    application: str
    candidate: str
    environments: tuple[EnvironmentFacts, ...]
    engines: Mapping[str, str] = field(default_factory=dict)
    provision_reason: str = ""
    evidence: frozenset[str] = frozenset()
    refusals: tuple[str, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def environment(self, name: str) -> EnvironmentFacts:
        """The environment called ``name``; KeyError when there is none."""
        for one in self.environments:
            if one.name == name:
                return one
        raise KeyError(name)
