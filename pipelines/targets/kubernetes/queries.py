"""What Prometheus is asked about a slot, and what its answers say. Pure.

A pod marks all that it exposes with the start of its process (serving/pod/metrics.py). So a series
never falls, a container that starts again is a series beside the old one, and a slot's count is
the sum over every process that there was. Nothing is extrapolated, as ``increase()`` does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipelines.targets.base import Copies, Histogram, Measured
from release.errors import GreenlightError

IN_FLIGHT = "greenlight_in_flight"
REQUESTS = "greenlight_requests_total"
SYNTHETIC = "greenlight_synthetic_requests_total"
REFUSALS = "greenlight_refusals_total"
LATENCY = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105 - no password
INTER_TOKEN = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105
COPIES = "greenlight_mirror_requests_total"
COPIES_ERRORS = "greenlight_mirror_errors_total"
COPIES_LATENCY = "greenlight_mirror_duration_seconds"
COPIES_IN_FLIGHT = "greenlight_mirror_in_flight"
HISTOGRAMS = (LATENCY, FIRST_TOKEN, INTER_TOKEN, COPIES_LATENCY)
GAUGES = (IN_FLIGHT, COPIES_IN_FLIGHT)
NUMBERS = (*GAUGES, REQUESTS, SYNTHETIC, REFUSALS, COPIES, COPIES_ERRORS)

OUTCOMES = ("whole", "declined", "error", "truncated", "cut", "abandoned")
"""The label ``outcome`` of REQUESTS; each request that ended has exactly one."""

_KIND = "kind"
"""A label of ours in the answer: what a row is, where it is no count."""


@dataclass(frozen=True)
class Place:
    """One slot of one application. ``pods``: pattern of its pods' names, since two applications
    may share a namespace: those of a Deployment called APPLICATION-SLOT.
    """

    namespace: str
    application: str
    slot: str

    @property
    def pods(self) -> str:
        """What the names of its pods look like."""
        return f"{self.application}-{self.slot}-[a-z0-9]+-[a-z0-9]+"

    def __str__(self) -> str:
        return f"{self.application}/{self.slot} in namespace {self.namespace}"


@dataclass(frozen=True, order=True)
class Process:
    """One life of a pod's container. ``begun``: the mark that the process gave itself."""

    pod: str
    begun: str


Series = tuple[str, str]
"""A metric's name, and its outcome or its bucket's bound; "" where it has neither."""


@dataclass(frozen=True)
class Reading:
    """What is known at ``at``, by Prometheus' clock (epoch seconds).

    ``counts``: the last value of each series of each process in sight. ``scraped``: when those that
    Prometheus still reads were read last; a process that is gone is not there.
    """

    at: float
    counts: Mapping[Process, Mapping[Series, float]] = field(default_factory=dict)
    scraped: Mapping[Process, float] = field(default_factory=dict)

    def age(self, pod: str) -> float | None:
        """Seconds since ``pod`` was read last; None where it is not read."""
        times = [at for process, at in self.scraped.items() if process.pod == pod]
        return self.at - max(times) if times else None


def counts(place: Place, seconds: float) -> str:
    """PromQL: every process that was read within the last ``seconds``, its last values, when those
    that are still there were read, and Prometheus' own time; one vector.
    """
    names = "|".join([*NUMBERS, *(f"{name}_(bucket|count|sum)" for name in HISTOGRAMS)])
    of = _selector(place)
    last = f'last_over_time({{__name__=~"{names}",{of}}}[{round(seconds * 1000)}ms])'
    scraped = f"max by (pod, process) (timestamp({IN_FLIGHT}{{{of}}}))"
    return (
        f"max by (__name__, pod, process, outcome, le) ({last})"  # of doubles, where two read it
        f' or label_replace({scraped}, "{_KIND}", "scraped", "", "")'
        f' or label_replace(vector(time()), "{_KIND}", "now", "", "")'
    )


def targets(place: Place) -> str:
    """PromQL: whether Prometheus gets the page of each pod (1) or not (0)."""
    return f'max by (pod) (up{{namespace="{place.namespace}",pod=~"{place.pods}"}})'


def _selector(place: Place) -> str:
    return f'namespace="{place.namespace}",slot="{place.slot}",pod=~"{place.pods}"'


def parse(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """The answer to ``counts``: the rows of its vector. GreenlightError where it is another's."""
    at, scraped = None, {}
    found: dict[Process, dict[Series, float]] = {}
    for row in rows:
        labels, value = row["metric"], _number(row)
        if labels.get(_KIND) == "now":
            at = value
        elif labels.get(_KIND) == "scraped":
            scraped[_process(labels)] = value
        else:
            series = labels["__name__"], labels.get("outcome") or labels.get("le") or ""
            found.setdefault(_process(labels), {})[series] = value
    if at is None:
        raise GreenlightError("Prometheus did not say what time it is: is it Prometheus?")
    return Reading(at, found, scraped)


def _number(row: Mapping[str, Any]) -> float:
    """A count or a time. NaN, such as a stale mark that was handed on, is none."""
    labels, text = row["metric"], str(row["value"][1])
    with suppress(ValueError):
        if 0 <= (value := float(text)) < math.inf:
            return value
    series = f"{labels.get('__name__', 'its time')} of the pod {labels.get('pod', '?')}"
    raise GreenlightError(
        f"Prometheus gives {series} as {text[:40]!r}, expected a number from zero on. Compare the "
        "pod's own /metrics, and rules or storages that hand the series on."
    )


def _process(labels: Mapping[str, str]) -> Process:
    if "process" not in labels:
        raise GreenlightError(
            f"the pod {labels.get('pod')} does not say which process counts (label `process`). Its "
            "image is of another version: set `kubernetes.image` to the one of this Greenlight."
        )
    return Process(labels["pod"], labels["process"])


def merge(past: Reading, new: Reading) -> Reading:
    """``new``, and what is known of processes that have gone out of its sight.

    Two Prometheus behind one address may be one scrape apart: no count falls for that.
    """
    merged = {**past.counts}
    for process, now in new.counts.items():
        before = past.counts.get(process, {})
        merged[process] = {
            one: value if one[0] in GAUGES else max(value, before.get(one, value))
            for one, value in now.items()
        }
    return Reading(new.at, merged, new.scraped)


def unread(reading: Reading, pods: Collection[str] | None, within: float) -> dict[str, str]:
    """Pods whose counts are not known now, each with the reason; empty where all is well.

    ``pods`` have to be there and be read within the last ``within`` seconds, and no others; None:
    those that Prometheus reads, and there is at least one.
    """
    found = {}
    for pod in {one.pod for one in reading.scraped} if pods is None else pods:
        age = reading.age(pod)
        if age is None:
            found[pod] = "is not read"
        elif age > within:
            found[pod] = f"was read {age:.0f} s ago for the last time"
    return found


def in_flight(reading: Reading) -> int:
    """Requests under way in the processes that are still read; copies are none."""
    return sum(_under_way(reading, one) for one in reading.scraped)


def _under_way(reading: Reading, process: Process) -> int:
    return int(_of(reading, process, IN_FLIGHT) - _of(reading, process, COPIES_IN_FLIGHT))


def taken(reading: Reading, pods: Collection[str]) -> int:
    """Answers that ``pods``, which are gone, took from callers: cut by their drains, or under way
    when they were read for the last time.

    GreenlightError for a pod that was never read.
    """
    if missing := set(pods) - {one.pod for one in reading.counts}:
        names = ", ".join(sorted(missing))
        raise GreenlightError(f"Prometheus never read {names}: what they cut is not known")
    gone = [one for one in reading.counts if one.pod in pods]
    return sum(int(_of(reading, one, REQUESTS, "cut")) + _under_way(reading, one) for one in gone)


def measured(reading: Reading, since: float) -> Measured:
    """The slot's counts over every process. GreenlightError where one of them tells too little.

    A pod never learns what the caller of a request got elsewhere, of which it answered a copy.
    """

    def total(name: str, what: str = "") -> int:
        return sum(int(_of(reading, one, name, what)) for one in reading.counts)

    ends = {outcome: total(REQUESTS, outcome) for outcome in OUTCOMES}
    return Measured(
        since=since,
        requests=sum(ends.values()),
        errors=ends["error"],
        truncated=ends["truncated"],
        cut=ends["cut"],
        abandoned=ends["abandoned"],
        declined=ends["declined"],
        refused=total(REFUSALS),
        synthetic=total(SYNTHETIC),
        in_flight=in_flight(reading),
        latency=_histogram(reading, LATENCY),
        first_token=_histogram(reading, FIRST_TOKEN),
        inter_token=_histogram(reading, INTER_TOKEN),
        copies=Copies(
            requests=total(COPIES),
            errors=total(COPIES_ERRORS),
            different=None,
            latency=_histogram(reading, COPIES_LATENCY),
        ),
    )


def _of(reading: Reading, process: Process, name: str, what: str = "") -> float:
    try:
        return reading.counts[process][name, what]
    except KeyError:
        series = name + (f" of {what}" if what else "")
        raise GreenlightError(
            f"Prometheus has no {series} of the pod {process.pod}, which is not zero. Compare the "
            "pod's own /metrics; a pod without refusals was not told what a refusal is."
        ) from None


def _histogram(reading: Reading, name: str) -> Histogram:
    whole = Histogram()
    for process in reading.counts:
        one = Histogram(
            tuple(_buckets(reading.counts[process], name)),
            int(_of(reading, process, f"{name}_count")),
            _of(reading, process, f"{name}_sum"),
        )
        if whole.buckets and [b for b, _ in whole.buckets] != [b for b, _ in one.buckets]:
            raise GreenlightError(
                f"the pods count {name} in different buckets: their images are of different "
                "versions. Wait until the older ones have gone, or retire that slot."
            )
        whole = whole.plus(one)
    return whole


def _buckets(known: Mapping[Series, float], name: str) -> Iterator[tuple[float, int]]:
    found = {float(le): value for (one, le), value in known.items() if one == f"{name}_bucket"}
    if not found:
        raise GreenlightError(f"Prometheus has no buckets of {name}: were they dropped there?")
    for bound in sorted(found):
        if bound != float("inf"):  # the count says the same
            yield bound, int(found[bound])
