"""What the gateway tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from serving.counting import families
from serving.gateway.rates import Rates
from serving.gateway.routes import RouteStore
from serving.gateway.slots import Slots

_SLOT = ("slot",)


class Metrics:
    """Everything that is counted, collected when somebody asks for it."""

    def __init__(self, application: str, slots: Slots, routes: RouteStore, rates: Rates) -> None:
        self._application, self._slots = application, slots
        self._routes, self._rates = routes, rates
        self.page = families.Page(self._collect).text

    def _collect(self) -> Iterator[Metric]:
        yield from families.of_answers(self._application, self._slots.by_release())
        by_slot = self._slots.by_slot()
        rows: families.Rows = {(slot,): counts for slot, counts in by_slot.items()}
        yield families.outcomes(_SLOT, rows)
        yield families.synthetic(_SLOT, rows)
        yield families.refusals(_SLOT, rows)
        mirrors: families.CopyRows = {(slot,): self._slots.mirrors[slot] for slot in by_slot}
        yield from families.mirrored(_SLOT, mirrors, families.ANSWERED | families.COMPARED)
        yield from self._of_now(by_slot)
        limited = [([caller], number) for caller, number in self._rates.limited.items()]
        about = "Requests beyond their key's rate"
        yield families.counter("rate_limited", about, ["caller"], limited)

    def _of_now(self, slots: Iterable[str]) -> Iterator[Metric]:
        flight = GaugeMetricFamily(
            "greenlight_in_flight", "Requests and copies under way", labels=_SLOT
        )
        weight = GaugeMetricFamily("greenlight_weight", "Per cent of the requests", labels=_SLOT)
        routes = self._routes.current
        for slot in slots:
            flight.add_metric([slot], self._slots.in_flight(slot))
            if routes is not None:  # while nobody knows the weights, none are told
                weight.add_metric([slot], routes.weight(slot))
        yield flight
        yield weight
