"""Counts as Prometheus' metric families, under OpenTelemetry's names for generative AI.

Names are written as Prometheus exporters translate them: dots become underscores, the unit is
appended. https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from serving.counting.counts import Ending, Histogram, MirrorCounts, SlotCounts

CONTENT_TYPE = CONTENT_TYPE_LATEST
OPERATION = "chat"
_GEN_AI = ("gen_ai_operation_name", "gen_ai_request_model", "slot", "release")

_HISTOGRAMS = {
    "request_duration": ("latency", "Whole answers, from the choice of a slot to the last byte"),
    "time_to_first_token": ("first_token", "Streams, from the choice of a slot to the first bytes"),
    "time_per_output_token": ("inter_token", "Streams, from one chunk to the next"),
}

ANSWERED = {
    "requests": "Copies that were answered or failed",
    "errors": "Copies without a whole answer",
    "dropped": "Copies that were not sent, cut by a drain, or left by their sender",
}
COMPARED = {
    "same": "Copies whose text was that of the caller's answer",
    "different": "Copies whose text was another",
}

Rows = Mapping[tuple[str, ...], SlotCounts]
"""Label values → what was counted under them."""
CopyRows = Mapping[tuple[str, ...], MirrorCounts]
"""The same of copies."""


class Page(Collector):
    """Everything that ``families`` yields, whenever somebody asks for it."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        return self._families()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


def of_answers(application: str, counts: Mapping[tuple[str, str], SlotCounts]) -> Iterator[Metric]:
    """How long answers took, by slot and release."""
    for name, (attribute, about) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(f"gen_ai_server_{name}_seconds", about, labels=_GEN_AI)
        for (slot, release), one in counts.items():
            observe(family, [OPERATION, application, slot, release], getattr(one, attribute))
        yield family


def outcomes(labels: Sequence[str], counts: Rows) -> Metric:
    """How requests ended; each way from its zero on."""
    family = CounterMetricFamily(
        "greenlight_requests", "Requests that ended, by how", labels=[*labels, "outcome"]
    )
    for values, one in counts.items():
        for ending in Ending:
            family.add_metric([*values, ending.value], one.endings[ending])
    return family


def synthetic(labels: Sequence[str], counts: Rows) -> Metric:
    """Requests that nobody waited for."""
    numbers = [(values, one.synthetic) for values, one in counts.items()]
    return counter("synthetic_requests", "Requests that stood in for users", labels, numbers)


def refusals(labels: Sequence[str], counts: Rows) -> Metric:
    """The application's own way of saying no."""
    numbers = [(values, one.refused) for values, one in counts.items()]
    return counter("refusals", "Whole answers that hold a refusal", labels, numbers)


def mirrored(labels: Sequence[str], counts: CopyRows, told: Mapping[str, str]) -> Iterator[Metric]:
    """Copies, in the numbers that are ``told``, and how long whole answers to them took."""
    for name, about in told.items():
        numbers = [(values, getattr(one, name)) for values, one in counts.items()]
        yield counter(f"mirror_{name}", about, labels, numbers)
    name, about = "greenlight_mirror_duration_seconds", "Whole answers to copies"
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, one in counts.items():
        observe(family, values, one.latency)
    yield family


def counter(
    name: str, about: str, labels: Sequence[str], numbers: Iterable[tuple[Sequence[str], int]]
) -> Metric:
    """One of our own counters."""
    family = CounterMetricFamily(f"greenlight_{name}", about, labels=labels)
    for values, number in numbers:
        family.add_metric(values, number)
    return family


def observe(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    """``histogram`` as a sample of ``family``."""
    buckets = [(str(bound), float(number)) for bound, number in histogram.cumulative()]
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum)
