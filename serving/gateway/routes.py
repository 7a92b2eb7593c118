"""Who gets how much of the traffic: a whole map, under a fence, on disk before it is true.

A map replaces the one before it and is never merged into it (S12). A writer whose fence is
behind the stored one has lost its lease and is refused. What is on disk is only ever replaced
as a whole, so a kill leaves the old map or the new one (S23); a file that somebody else
damaged is not guessed at: nothing is routed until a map is written again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from release.errors import BadInput, GreenlightError, Problem
from release.files import write_json
from serving.gateway.watched import load
from serving.log import log
from serving.slots import SLOT_NAME

SlotName = Annotated[str, StringConstraints(pattern=rf"^{SLOT_NAME.pattern}$", strict=True)]
Fence = Annotated[int, Field(strict=True, ge=0)]


class MirrorRoute(BaseModel):
    """The slot that gets copies, and of what share of the requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slot: SlotName
    percent: Annotated[int, Field(strict=True, ge=1, le=100)]


class Routes(BaseModel):
    """Weights in percent by slot, the mirror if any, and the fence of the writer's lease."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fence: Fence
    weights: Mapping[SlotName, Annotated[int, Field(strict=True, ge=0, le=100)]]
    mirror: MirrorRoute | None = None

    @field_validator("weights")
    @classmethod
    def _whole(cls, weights: Mapping[str, int]) -> Mapping[str, int]:
        if (total := sum(weights.values())) not in (0, 100):
            raise ValueError(f"weights that total 0 or 100, not {total}")
        return weights

    @field_validator("mirror")
    @classmethod
    def _weightless(cls, mirror: MirrorRoute | None, info: ValidationInfo) -> MirrorRoute | None:
        if mirror is not None and info.data.get("weights", {}).get(mirror.slot):
            raise ValueError("a slot without weight: one with weight gets requests of its own")
        return mirror

    def document(self) -> dict[str, object]:
        """As JSON: in the file, in answers and in the log."""
        return self.model_dump(exclude_none=True)

    def weight(self, slot: str) -> int:
        """The percentage of ``slot``; a slot that the map does not name has none."""
        return self.weights.get(slot, 0)


class Desired(BaseModel):
    """Of ``desired.json`` only the fence, which the lease's holder wrote there before us."""

    fence: Fence


class StaleFence(GreenlightError):
    """A map whose writer no longer holds the lease."""

    def __init__(self, given: int, stored: int) -> None:
        super().__init__(
            f"fence {given} is behind {stored}: somebody else has taken the lease since. "
            "Read the ledger again before the next step."
        )


def choose(weights: Mapping[str, int], usable: Collection[str], point: float) -> str | None:
    """The slot at ``point`` (0 <= point < 1) of the weights, among those that are usable.

    Weights of unusable slots are shared out in proportion. Slots lie on the line by name, so
    that the same point keeps its slot while the weights hold. None when nothing usable has
    weight.
    """
    line = [(slot, weights[slot]) for slot in sorted(usable) if slot in weights]
    rest = int(point * sum(weight for _, weight in line))
    for slot, weight in line:
        if rest < weight:
            return slot
        rest -= weight
    return None


def point_of(user: str, releases: Iterable[str]) -> float:
    """Where ``user`` is on the line of weights while ``releases`` share it (0 <= point < 1).

    It depends on nothing else, so a user keeps a side through restarts, and changes it only
    when the weights pass over it. Other releases deal the users anew: it is not always the
    same ones who try what is new.
    """
    salted = "\0".join([*sorted(set(releases)), user]).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(salted, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53  # as many bits as a float holds exactly


def unready(routes: Routes, known: Collection[str], ready: Collection[str]) -> list[Problem]:
    """Why ``routes`` would send requests where nobody can serve them; empty if it would not."""
    used = {f"weights.{slot}": slot for slot, weight in routes.weights.items() if weight > 0}
    if routes.mirror is not None:
        used["mirror.slot"] = routes.mirror.slot
    return [
        Problem(
            path=path,
            expected="a slot that is ready" if slot in known else "a slot of this environment",
            found="one that is not ready" if slot in known else "no slot of that name",
            remedy="Leave it out, or wait until it is ready.",
        )
        for path, slot in used.items()
        if slot not in ready
    ]


class RouteStore:
    """The routes in force, and their file. ``current`` is None while the file is damaged."""

    def __init__(self, folder: Path) -> None:
        self.path, self._desired = folder / "routes.json", folder / "desired.json"
        self._writing = asyncio.Lock()
        self.current: Routes | None = None
        self.damage = ""
        self._sweep()
        self._load()

    async def replace(self, wanted: Routes, check: Callable[[Routes], list[Problem]]) -> Routes:
        """Make ``wanted`` durable, then true. StaleFence, BadInput by ``check``, or OSError."""
        async with self._writing:
            if wanted.fence < (stored := self._fence()):
                raise StaleFence(wanted.fence, stored)
            if problems := check(wanted):
                raise BadInput(*problems)
            try:
                await asyncio.to_thread(write_json, self.path, wanted.document())
            except OSError:
                self._load()  # a failed sync may have left either map: what is on disk counts
                raise
            self.current, self.damage = wanted, ""
        log.info("routes replaced", extra=wanted.document())
        return wanted

    def _fence(self) -> int:
        """The fence that a writer must reach: that of the last map or, where somebody newer has
        deployed since, of that. Of a damaged file it is lost, and the other is what is left."""
        routed = self.current.fence if self.current is not None else 0
        try:
            return max(routed, load(self._desired, Desired).fence)
        except BadInput:
            return routed

    def _load(self) -> None:
        try:
            found = load(self.path, Routes) if self.path.exists() else Routes(fence=0, weights={})
            self.current, self.damage = found, ""
        except BadInput as error:
            self.current, self.damage = None, str(error)
            log.error("routes are damaged, nothing is routed", extra={"why": self.damage})

    def _sweep(self) -> None:
        """Remove what a kill in the middle of a write left behind; only we write here."""
        for leftover in self.path.parent.glob(f".{self.path.name}.*"):
            leftover.unlink(missing_ok=True)
