"""What a pod tells Prometheus: the gateway's names, of one release in one slot.

Every series says which process counts. A container that starts again begins at zero in series of
its own, so none ever falls, and whoever adds up a slot loses nothing and counts nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric

from serving.counting import families
from serving.counting.counts import MirrorCounts, SlotCounts
from serving.counting.visits import Stays

LABELS = ("slot", "release")
PROCESS = "process"


@dataclass(frozen=True)
class Tally:
    """What one pod counts: users' requests, and apart from them the copies that a mirror sent.

    ``visits`` and ``copying`` are those of either that are under way.
    """

    requests: SlotCounts = field(default_factory=SlotCounts)
    copies: MirrorCounts = field(default_factory=MirrorCounts)
    visits: Stays = field(default_factory=Stays)
    copying: Stays = field(default_factory=Stays)

    @property
    def ended(self) -> int:
        """Requests and copies that have ended."""
        return self.requests.requests + self.copies.requests + self.copies.dropped


class Metrics:
    """All that is counted, from zero on: what nobody has asked for yet is there as well.

    ``refuses``: whether anybody has said how the application refuses. Without it there is no
    count of refusals, since its zero would be a claim.
    """

    def __init__(
        self, application: str, place: tuple[str, str], tally: Tally, refuses: bool
    ) -> None:
        self._application, self._place = application, place
        self._tally, self._refuses = tally, refuses
        self._process = str(time.time_ns() // 1_000_000)  # no pod starts two in a millisecond
        self._page = families.Page(self._marked)
        self._told = -1

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        self._told = self._tally.ended
        return self._page.text()

    @property
    def told(self) -> bool:
        """Whether somebody has read of everything that has ended."""
        return self._told == self._tally.ended or not self._tally.ended

    def _marked(self) -> Iterator[Metric]:
        for family in self._collect():
            for sample in family.samples:
                sample.labels[PROCESS] = self._process
            yield family

    def _collect(self) -> Iterator[Metric]:
        counts = self._tally.requests
        yield from families.of_answers(self._application, {self._place: counts})
        rows: families.Rows = {self._place: counts}
        yield families.outcomes(LABELS, rows)
        yield families.synthetic(LABELS, rows)
        if self._refuses:
            yield families.refusals(LABELS, rows)
        # What callers got elsewhere is not known here: nothing is told of a comparison.
        copies: families.CopyRows = {self._place: self._tally.copies}
        yield from families.mirrored(LABELS, copies, families.ANSWERED)
        visits, copying = self._tally.visits.in_flight(), self._tally.copying.in_flight()
        yield self._gauge("in_flight", "Requests and copies under way", visits + copying)
        yield self._gauge("mirror_in_flight", "Copies under way", copying)

    def _gauge(self, name: str, about: str, value: int) -> Metric:
        family = GaugeMetricFamily(f"greenlight_{name}", about, labels=LABELS)
        family.add_metric(self._place, value)
        return family
