"""The targets in memory, so that what is tested on them proves something."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from release.bundle import Release
from tests.pipelines.memory import MemoryTarget, Scissors, Stream
from tests.pipelines.standin import StandIn
from tests.release.test_bundle import WEIGHTS
from tests.targets.conformance import Conformance
from tests.targets.releases import make


@dataclass(frozen=True)
class MemoryStream:
    """A stream that ends when the test looks."""

    stream: Stream

    def whole(self) -> bool:
        """Whether nobody cut it."""
        return not self.stream.cut


@dataclass
class MemoryBed:
    """A target in memory, whose users are this bed."""

    target: MemoryTarget
    labels: dict[str, str] = field(default_factory=dict)
    last: int = 0

    def nowhere(self) -> MemoryTarget:
        """Another one, that is not there."""
        return MemoryTarget(
            "nowhere", self.target.folder, StandIn("http://memory"), Scissors(), there=False
        )

    def fence(self) -> int:
        """Counted."""
        self.last += 1
        return self.last

    def release(self, name: str, *, broken: bool = False, dedicated: bool = False) -> Release:
        """The target knows which are broken."""
        made = make(name, broken, dedicated, WEIGHTS)
        self.labels[made.digest] = made.label
        if broken:
            self.target.broken.add(made.digest)
        return made

    def ask(self) -> str:
        """By weight, as the target's own users."""
        slot = max(self.target.weights, key=lambda name: self.target.weights[name])
        self.target.asked[slot] += 1
        return self._label(slot)

    def ask_pinned(self, slot: str) -> str:
        """At the path that the endpoint names."""
        place = self.target.endpoint(slot).url.rpartition("/")[2]
        self.target.model.asked.append((place, "Why?"))
        return self._label(place.removeprefix(f"{self.target.environment}-"))

    def stream(self, slot: str, seconds: float) -> MemoryStream:
        """Known to the target."""
        self.target.streams.append(made := Stream(slot, seconds))
        return MemoryStream(made)

    def restart(self) -> None:
        """What is in memory is not lost, but for the counts."""
        self.target.since += 1
        self.target.asked.clear()
        self.target.model.asked.clear()

    def watched(self) -> bool:
        """As it was told."""
        return self.target.watched

    def servers(self) -> int:
        """By their names."""
        return len({one.engine for one in self.target.slots.values()})

    def _label(self, slot: str) -> str:
        return self.labels[self.target.slots[slot].release]


class TestMemory(Conformance):
    """``MemoryTarget``."""

    @pytest.fixture
    def bed(self, tmp_path: Path) -> MemoryBed:
        """A new one for each test: it costs nothing."""
        target = MemoryTarget("staging", tmp_path, StandIn("http://memory"), Scissors(), users=0.0)
        for role in ("user", "tester", "operator"):
            target.key_file(role).write_text(role)
        return MemoryBed(target)
