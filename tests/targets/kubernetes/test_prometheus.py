"""Slots measured by a real Prometheus that reads real pods."""

from __future__ import annotations

import time
from typing import Any

import pytest

from manifests.render import render
from pipelines.targets.base import Measured
from pipelines.targets.kubernetes.prometheus import Meter, Prometheus
from pipelines.targets.kubernetes.queries import Place
from release.errors import GreenlightError
from tests.cluster.scraping import Prometheus as Scraping
from tests.manifests.making import release, rendering, settings
from tests.serving.making import eventually
from tests.serving.test_pods import FOR_EVER, SYNTHETIC, Stream, ask, copy
from tests.serving.testers import as_
from tests.targets.kubernetes.pods import Namespace

BLUE = Place("assist-production", "assist", "blue")
GREEN = Place("assist-production", "assist", "green")


def meter(url: str, place: Place = BLUE, anchor: float | None = None, fresh: float = 20) -> Meter:
    """A meter of its own memory, which asks each time."""
    began = time.time() - 60 if anchor is None else anchor
    return Prometheus(url, fresh=fresh, remembered=0, timeout=2).meter(place, began)


def numbers(found: Measured) -> tuple[int, ...]:
    """What is compared mostly."""
    return found.requests, found.synthetic, found.errors, found.latency.count, found.in_flight


def test_a_slot_is_all_its_pods_and_nobody_else(scraped: Namespace, prometheus: Scraping) -> None:
    """Counts, histograms, what is in flight; the other slot's stay its own."""
    first, second = scraped.add("blue"), scraped.add("blue")
    other = scraped.add("green")
    for pod in (first, first, second):
        ask(scraped.pods[pod])
    ask(scraped.pods[second], headers=as_("tester", **SYNTHETIC))
    copy(scraped.pods[first])
    copy(scraped.pods[second])
    ask(scraped.pods[other])
    stream = Stream(scraped.pods[second], FOR_EVER)
    scraped.read()

    found = meter(prometheus.url).measure([first, second])

    assert numbers(found) == (4, 1, 0, 4, 1)
    assert found.latency.buckets[-1][1] == 4
    assert found.first_token.count == 1
    assert found.copies is not None
    assert (found.copies.requests, found.copies.latency.count) == (2, 2)
    assert meter(prometheus.url).in_flight() == 1
    assert numbers(meter(prometheus.url, GREEN).measure([other])) == (1, 0, 0, 1, 0)
    assert stream.is_alive()


def test_a_pod_that_has_gone_still_counts(scraped: Namespace, prometheus: Scraping) -> None:
    """For who has looked before, and for who looks for the first time."""
    first, second = scraped.add("blue"), scraped.add("blue")
    ask(scraped.pods[first])
    one = meter(prometheus.url)
    scraped.read()
    before = one.measure([first, second])

    ask(scraped.pods[first])
    scraped.read()
    scraped.lose(first)
    third = scraped.add("blue")
    ask(scraped.pods[third])
    scraped.read()

    after = one.measure([second, third])
    assert (before.requests, after.requests) == (1, 3)
    assert after.since == before.since
    assert numbers(meter(prometheus.url).measure([second, third])) == numbers(after)


def test_a_container_that_starts_again_loses_nothing(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """It begins at zero, at the same address, and what was there before is added to."""
    pod = scraped.add("blue")
    ask(scraped.pods[pod])
    ask(scraped.pods[pod])
    scraped.read()
    one = meter(prometheus.url)
    before = one.measure([pod])

    scraped.restart(pod)
    ask(scraped.pods[pod])
    scraped.read()

    after = one.measure([pod])
    assert (before.requests, after.requests, after.latency.count) == (2, 3, 3)
    assert before.since == after.since
    assert meter(prometheus.url).measure([pod]).requests == 3


def test_counts_do_not_fall_though_prometheus_lost_its_storage(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """What a meter knew of pods that have gone, it still knows."""
    first, second = scraped.add("blue"), scraped.add("blue")
    ask(scraped.pods[first])
    scraped.read()
    one = meter(prometheus.url)
    before = one.measure()
    scraped.lose(first)
    prometheus.stop()
    prometheus.forget()
    prometheus.start()
    object.__setattr__(one.prometheus, "url", prometheus.url)  # as behind a Service
    ask(scraped.pods[second])
    scraped.read()

    after = one.measure([second])

    assert (before.requests, after.requests) == (1, 2)
    assert before.since == after.since


def test_what_was_counted_before_the_anchor_is_not_looked_for(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """A pod that went before belongs to whatever was in the slot then."""
    ask(scraped.pods[(first := scraped.add("blue"))])
    scraped.read()
    scraped.lose(first)
    eventually(lambda: not prometheus.ask('up{pod=~"assist-blue.*"}'), "it is gone")
    time.sleep(1.1)  # the shortest look back is a second
    anchor = time.time()
    second = scraped.add("blue")

    found = meter(prometheus.url, anchor=anchor).measure([second])

    assert found.requests == 0
    assert found.since == anchor


def test_s13_a_slot_that_nobody_reads_is_an_error(scraped: Namespace, prometheus: Scraping) -> None:
    """Never zeros; the text leads to the PodMonitor."""
    scraped.add("blue", read=False)

    with pytest.raises(
        GreenlightError, match=r"reads no pod of assist/blue .* a PodMonitor assist "
    ):
        meter(prometheus.url).measure()


def test_s13_a_pod_that_has_to_be_there_and_is_no_target_is_named(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """Half of a slot is no measurement of it."""
    read, hidden = scraped.add("blue"), scraped.add("blue", read=False)
    one = meter(prometheus.url)

    assert one.measure([read]).requests == 0
    with pytest.raises(GreenlightError, match=rf"{hidden} is not read\. .*PodMonitor"):
        one.measure([read, hidden])


def test_s13_a_pod_whose_page_does_not_come_is_named(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """Its last numbers are of the past; whoever did not ask for it is not held up."""
    good, bad = scraped.add("blue"), scraped.add("blue")
    one = meter(prometheus.url)
    scraped.pods[bad].process.send_signal(19)  # SIGSTOP
    eventually(lambda: prometheus.ask(f'up{{pod="{bad}"}} == 0'), "Prometheus has seen it")

    with pytest.raises(GreenlightError, match=rf"{bad} is not read\. .*NetworkPolicy"):
        one.measure([good, bad])
    assert one.measure([good]).requests == 0


def test_s13_scraping_that_hangs_is_an_error(scraped: Namespace, prometheus: Scraping) -> None:
    """Prometheus answers all the while, with numbers of the past."""
    pod = scraped.add("blue")
    one = meter(prometheus.url, fresh=1.5)
    scraped.read()
    assert one.measure([pod]).requests == 0
    prometheus.hang_scraping()

    def why() -> str:
        try:
            one.measure([pod])
        except GreenlightError as error:
            return str(error)
        return ""

    said = eventually(why, "it is noticed")
    assert f"{pod} was read" in said
    assert "s ago for the last time. It has only just begun, or reading hangs" in said
    assert eventually(lambda: "was read" in str(_error(one)), "without a list as well")

    prometheus.go_on_scraping()
    scraped.read()
    assert one.measure([pod]).requests == 0


def _error(one: Meter) -> GreenlightError | None:
    try:
        one.measure()
    except GreenlightError as error:
        return error
    return None


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_s13_without_prometheus_nothing_is_measured(
    scraped: Namespace, prometheus: Scraping, how: str
) -> None:
    """Gone, or there and silent: an error in seconds, and afterwards it is as before."""
    pod, url = scraped.add("blue"), prometheus.url
    one = meter(url)
    one.measure([pod])
    getattr(prometheus, how)()

    with pytest.raises(GreenlightError, match=rf"{url} does not answer .*kubernetes\.prometheus"):
        one.measure([pod])


def test_s03_what_a_drain_cut_is_told(scraped: Namespace, prometheus: Scraping) -> None:
    """By the pod, which waits until its last numbers were read."""
    pod = scraped.add("blue")
    one = meter(prometheus.url)
    scraped.read()
    one.measure([pod])
    stream = Stream(scraped.pods[pod], FOR_EVER)

    assert scraped.pods[pod].stop() == 0
    scraped.lose(pod)

    assert stream.ended() == "APIConnectionError"
    assert one.taken([pod]) == 1
    assert one.measure([]).cut == 1


def test_s03_what_a_killed_pod_had_under_way_is_told(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """It tells nothing more: what Prometheus read last is what is known."""
    pod = scraped.add("blue")
    Stream(scraped.pods[pod], FOR_EVER)
    scraped.read()
    scraped.lose(pod)

    one = meter(prometheus.url)
    assert one.taken([pod]) == 1
    with pytest.raises(GreenlightError, match="never read assist-blue-5d8f-99999"):
        one.taken([pod, "assist-blue-5d8f-99999"])


IN_CLUSTER, FROM_HERE = "http://prometheus.monitoring:9090", "https://prometheus.example.com"


@pytest.mark.parametrize(
    ("given", "asked", "scaler"),
    [
        ({}, None, "HorizontalPodAutoscaler"),
        ({"prometheus": FROM_HERE}, FROM_HERE, "HorizontalPodAutoscaler"),
        ({"scaling": {"prometheus": IN_CLUSTER}}, IN_CLUSTER, "ScaledObject"),
        (
            {"prometheus": FROM_HERE, "scaling": {"prometheus": IN_CLUSTER}},
            FROM_HERE,
            "ScaledObject",
        ),
    ],
)
def test_where_slots_are_measured_brings_no_other_autoscaler(
    given: dict[str, Any], asked: str | None, scaler: str
) -> None:
    """KEDA is used only where its own address is given; with that alone, both ask there."""
    what = rendering(release(), given=settings(**given))

    assert what.settings.measured_at == asked
    assert scaler in {one.kind for one in render(what)}


class Hand:
    """A clock that is set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def time(self) -> float:
        """The same."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.now += seconds


def test_an_answer_is_remembered_for_a_moment(scraped: Namespace, prometheus: Scraping) -> None:
    """A watcher looks four times a second, a pod is read every few seconds."""
    pod, clock = scraped.add("blue"), Hand()
    one = Prometheus(prometheus.url, clock).meter(BLUE, 900.0)
    before = one.measure([pod])
    ask(scraped.pods[pod])
    scraped.read()

    clock.now += 0.5
    assert one.measure([pod]) == before
    clock.now += 0.6
    assert one.measure([pod]).requests == before.requests + 1


def test_who_has_not_looked_for_too_long_begins_anew(
    scraped: Namespace, prometheus: Scraping
) -> None:
    """Pods may have come and gone unseen: nobody may subtract across that."""
    pod, clock = scraped.add("blue"), Hand()
    one = Prometheus(prometheus.url, clock).meter(BLUE, 0.0)
    before = one.measure([pod])

    clock.now += 3601

    assert one.measure([pod]).since > before.since
