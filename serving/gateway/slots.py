"""The slots as they are now: who is ready, who is being visited, and how visits ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from serving.counting.counts import MirrorCounts, SlotCounts
from serving.counting.visits import Copy, Stays, Visit
from serving.gateway.limits import Limits
from serving.gateway.routes import SlotName
from serving.gateway.settings import Refusals
from serving.gateway.watched import Watched


class Endpoint(BaseModel):
    """Where a slot's application listens, which release it serves, whether it can."""

    model_config = ConfigDict(frozen=True)

    socket: str
    release: str
    ready: bool


class Endpoints(BaseModel):
    """``endpoints.json``."""

    model_config = ConfigDict(frozen=True)

    slots: Mapping[SlotName, Endpoint]


class Slots(Stays):
    """What the supervisor says of the slots, and the visits that we make to them."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        super().__init__()
        self._folder, self._limits = folder, limits
        self._refusals = Refusals(folder)
        self._file = Watched(folder / "endpoints.json", Endpoints)
        self._counts: defaultdict[tuple[str, str], SlotCounts] = defaultdict(SlotCounts)
        self.mirrors: defaultdict[str, MirrorCounts] = defaultdict(MirrorCounts)
        """Counts of the copies that each slot got, or should have got."""
        self._draining: list[str] = []

    def endpoints(self) -> Mapping[str, Endpoint]:
        """All slots now; none while the supervisor's file is absent or damaged."""
        found = self._file.get()
        return found.slots if found is not None else {}

    def problem(self) -> str:
        """What is wrong with the supervisor's file; empty when nothing is."""
        return self._file.problem

    def socket(self, endpoint: Endpoint) -> str:
        """The path of the endpoint's socket, as short as the environment's folder allows."""
        return str(self._folder / endpoint.socket)

    def is_draining(self, slot: str) -> bool:
        """Whether somebody waits for ``slot`` to become empty."""
        return slot in self._draining

    @contextmanager
    def visit(self, slot: str, endpoint: Endpoint, synthetic: bool) -> Iterator[Visit]:
        """Be inside ``slot``: in flight until the block is left."""
        counts, limit = self._counts[slot, endpoint.release], self._limits.answer_bytes
        visit = Visit(slot, endpoint.release, synthetic, counts, self._refusals.held_by, limit)
        with self.inside(visit):
            yield visit

    @contextmanager
    def copy(self, slot: str, endpoint: Endpoint) -> Iterator[Copy]:
        """Be inside ``slot`` with a mirrored request: in flight, and in the mirror's counts."""
        copy = Copy(slot, endpoint.release, self.mirrors[slot], self._limits.answer_bytes)
        with self.inside(copy):
            yield copy

    @contextmanager
    def draining(self, slot: str) -> Iterator[None]:
        """Keep pinned callers out of ``slot``; the mark goes with whoever set it."""
        self._draining.append(slot)
        try:
            yield
        finally:
            self._draining.remove(slot)

    def by_release(self) -> dict[tuple[str, str], SlotCounts]:
        """The counts of every slot and release that is, or was since the gateway's start."""
        now = {(name, endpoint.release) for name, endpoint in self.endpoints().items()}
        return {key: self._counts[key] for key in sorted(now | self._counts.keys())}

    def by_slot(self) -> dict[str, SlotCounts]:
        """As ``by_release``, summed up: a slot's counts only grow, whatever it serves."""
        sums: defaultdict[str, SlotCounts] = defaultdict(SlotCounts)
        for (slot, _), counts in self.by_release().items():
            sums[slot].add(counts)
        return dict(sums) | {slot: SlotCounts() for slot in self.mirrors if slot not in sums}

    def snapshot(self) -> dict[str, object]:
        """The counts of every slot as the admin API shows them."""
        return {
            slot: counts.snapshot(self.in_flight(slot)) | {"mirror": self.mirrors[slot].snapshot()}
            for slot, counts in self.by_slot().items()
        }


def ready(endpoints: Mapping[str, Endpoint]) -> set[str]:
    """The slots whose application is able to answer."""
    return {name for name, endpoint in endpoints.items() if endpoint.ready}
