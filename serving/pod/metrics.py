"""What a pod tells Prometheus: the gateway's names, of one release in one slot.

Every series says which process counts. A container that starts again begins at zero in series of
its own, so none ever falls, and whoever adds up a slot loses nothing and counts nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from serving.counting import families
from serving.counting.counts import SlotCounts

LABELS = ("slot", "release")
PROCESS = "process"


class Metrics:
    """All that is counted, from zero on: what nobody has asked for yet is there as well.

    ``refuses``: whether anybody has said how the application refuses. Without it there is no
    count of refusals, since its zero would be a claim.
    """

    def __init__(
        self,
        application: str,
        place: tuple[str, str],
        counts: SlotCounts,
        in_flight: Callable[[], int],
        refuses: bool,
    ) -> None:
        self._application, self._place, self._counts = application, place, counts
        self._in_flight, self._refuses = in_flight, refuses
        self._process = str(time.time_ns() // 1_000_000)  # no pod starts two in a millisecond
        self._page = families.Page(self._marked)
        self._told = -1

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        self._told = self._counts.requests
        return self._page.text()

    @property
    def told(self) -> bool:
        """Whether somebody has read of every request that has ended."""
        return self._told == self._counts.requests or not self._counts.requests

    def _marked(self) -> Iterator[Metric]:
        for family in self._collect():
            for sample in family.samples:
                sample.labels[PROCESS] = self._process
            yield family

    def _collect(self) -> Iterator[Metric]:
        yield from families.of_answers(self._application, {self._place: self._counts})
        rows: families.Rows = {self._place: self._counts}
        yield families.outcomes(LABELS, rows)
        yield families.synthetic(LABELS, rows)
        if self._refuses:
            yield families.refusals(LABELS, rows)
        flight = GaugeMetricFamily("greenlight_in_flight", "Requests under way", labels=LABELS)
        flight.add_metric(self._place, self._in_flight())
        yield flight
