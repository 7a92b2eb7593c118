"""The counts for Prometheus, under OpenTelemetry's names for generative AI.

Names are written as Prometheus exporters translate them: dots become underscores, the unit is
appended. https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from serving.gateway.counts import Ending, Histogram, MirrorCounts, SlotCounts
from serving.gateway.rates import Rates
from serving.gateway.routes import RouteStore
from serving.gateway.slots import Slots

CONTENT_TYPE = CONTENT_TYPE_LATEST
OPERATION = "chat"
_GEN_AI = ("gen_ai_operation_name", "gen_ai_request_model", "slot", "release")

_HISTOGRAMS = {
    "request_duration": ("latency", "Whole answers, from the choice of a slot to the last byte"),
    "time_to_first_token": ("first_token", "Streams, from the choice of a slot to the first bytes"),
    "time_per_output_token": ("inter_token", "Streams, from one chunk to the next"),
}
_SUMS = {
    "synthetic_requests": ("synthetic", "Requests that stood in for users"),
    "refusals": ("refused", "Whole answers that hold a refusal"),
}
_MIRROR = {
    "requests": "Copies that were answered or failed",
    "errors": "Copies without a whole answer",
    "same": "Copies whose text was that of the caller's answer",
    "different": "Copies whose text was another",
    "dropped": "Copies that were not sent, or cut by a drain",
}


class Metrics(Collector):
    """Everything that is counted, collected when somebody asks for it."""

    def __init__(self, application: str, slots: Slots, routes: RouteStore, rates: Rates) -> None:
        self._application, self._slots = application, slots
        self._routes, self._rates = routes, rates
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        by_release, by_slot = self._slots.by_release(), self._slots.by_slot()
        yield from self._of_answers(by_release)
        yield _outcomes(by_slot)
        for name, (attribute, about) in _SUMS.items():
            yield _counter(name, about, "slot", _each(by_slot, attribute))
        yield from _of_mirrors({slot: self._slots.mirrors[slot] for slot in by_slot})
        yield from self._of_now(by_slot)
        limited = self._rates.limited.items()
        yield _counter("rate_limited", "Requests beyond their key's rate", "caller", limited)

    def _of_answers(self, counts: Mapping[tuple[str, str], SlotCounts]) -> Iterator[Metric]:
        for name, (attribute, about) in _HISTOGRAMS.items():
            family = HistogramMetricFamily(f"gen_ai_server_{name}_seconds", about, labels=_GEN_AI)
            for (slot, release), one in counts.items():
                labels = [OPERATION, self._application, slot, release]
                _observe(family, labels, getattr(one, attribute))
            yield family

    def _of_now(self, slots: Iterable[str]) -> Iterator[Metric]:
        flight = GaugeMetricFamily(
            "greenlight_in_flight", "Requests and copies under way", labels=["slot"]
        )
        weight = GaugeMetricFamily("greenlight_weight", "Per cent of the requests", labels=["slot"])
        routes = self._routes.current
        for slot in slots:
            flight.add_metric([slot], self._slots.in_flight(slot))
            if routes is not None:  # while nobody knows the weights, none are told
                weight.add_metric([slot], routes.weight(slot))
        yield flight
        yield weight


def _outcomes(counts: Mapping[str, SlotCounts]) -> Metric:
    family = CounterMetricFamily(
        "greenlight_requests", "Requests that ended, by how", labels=["slot", "outcome"]
    )
    for slot, one in counts.items():
        for ending in Ending:
            family.add_metric([slot, ending.value], one.endings[ending])
    return family


def _of_mirrors(mirrors: Mapping[str, MirrorCounts]) -> Iterator[Metric]:
    for name, about in _MIRROR.items():
        yield _counter(f"mirror_{name}", about, "slot", _each(mirrors, name))
    name, about = "greenlight_mirror_duration_seconds", "Whole answers to copies"
    family = HistogramMetricFamily(name, about, labels=["slot"])
    for slot, mirror in mirrors.items():
        _observe(family, [slot], mirror.latency)
    yield family


def _each(counts: Mapping[str, object], attribute: str) -> list[tuple[str, int]]:
    return [(slot, getattr(one, attribute)) for slot, one in counts.items()]


def _counter(name: str, about: str, label: str, values: Iterable[tuple[str, int]]) -> Metric:
    family = CounterMetricFamily(f"greenlight_{name}", about, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _observe(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    buckets = [(str(bound), float(number)) for bound, number in histogram.cumulative()]
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum)
