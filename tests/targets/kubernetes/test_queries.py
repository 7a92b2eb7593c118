"""What answers of Prometheus say of a slot; the answers are data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.targets.kubernetes.queries import (
    COPIES,
    COPIES_ERRORS,
    COPIES_IN_FLIGHT,
    COPIES_LATENCY,
    FIRST_TOKEN,
    HISTOGRAMS,
    IN_FLIGHT,
    INTER_TOKEN,
    LATENCY,
    OUTCOMES,
    REFUSALS,
    REQUESTS,
    SYNTHETIC,
    Place,
    Process,
    Reading,
    Series,
    counts,
    in_flight,
    measured,
    merge,
    parse,
    taken,
    unread,
)
from release.errors import GreenlightError
from serving.counting.counts import Ending

PLACE = Place("shop", "assist", "blue")
BOUNDS = ("0.1", "1.0")


def told(**numbers: float) -> dict[Series, float]:
    """All that a process tells: zeros, but for ``numbers`` by outcome or in short."""
    series: dict[Series, float] = {
        (REQUESTS, one): numbers.get(one, 0) for one in OUTCOMES
    } | {
        (SYNTHETIC, ""): numbers.get("synthetic", 0),
        (REFUSALS, ""): numbers.get("refused", 0),
        (IN_FLIGHT, ""): numbers.get("in_flight", 0) + numbers.get("copying", 0),
        (COPIES, ""): numbers.get("copies", 0),
        (COPIES_ERRORS, ""): numbers.get("copies_errors", 0),
        (COPIES_IN_FLIGHT, ""): numbers.get("copying", 0),
    }  # fmt: skip
    timed = {LATENCY: numbers.get("whole", 0), COPIES_LATENCY: numbers.get("copies", 0)}
    for name in HISTOGRAMS:
        whole = timed.get(name, 0)
        series |= {(f"{name}_bucket", bound): whole for bound in (*BOUNDS, "+Inf")}
        series |= {(f"{name}_count", ""): whole, (f"{name}_sum", ""): whole * 0.05}
    return series


def reading(*processes: Process, at: float = 100, **numbers: float) -> Reading:
    """Each process told ``numbers``, and was read just now."""
    return Reading(at, dict.fromkeys(processes, told(**numbers)), dict.fromkeys(processes, at))


def row(value: float, **labels: str) -> dict[str, Any]:
    """One row of an answer."""
    named = {"__name__" if name == "name" else name: text for name, text in labels.items()}
    return {"metric": named, "value": [100.0, str(value)]}


A, B = Process("assist-blue-1-a", "1"), Process("assist-blue-1-b", "2")
NOW = row(100, kind="now")


def test_an_answer_is_counts_times_and_the_time() -> None:
    rows = [
        row(3, name=REQUESTS, pod=A.pod, process="1", outcome="whole"),
        row(2, name=f"{LATENCY}_bucket", pod=A.pod, process="1", le="0.5"),
        row(98.5, kind="scraped", pod=A.pod, process="1"),
        NOW,
    ]

    found = parse(rows)

    assert found.at == 100
    assert found.counts == {A: {(REQUESTS, "whole"): 3, (f"{LATENCY}_bucket", "0.5"): 2}}
    assert found.scraped == {A: 98.5}


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([], "what time it is"),
        ([NOW, row(1, name=REQUESTS, pod="p", outcome="whole")], "`process`.*kubernetes.image"),
    ],
)
def test_an_answer_that_is_no_measurement_is_refused(rows: list[Any], what: str) -> None:
    with pytest.raises(GreenlightError, match=what):
        parse(rows)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1.0])
def test_s13_what_is_no_number_of_anything_is_an_error_and_no_zero(value: float) -> None:
    """A stale mark that another storage hands on, or a rule that divided by nothing."""
    rows = [NOW, row(value, name=REQUESTS, outcome="whole", pod=A.pod, process=A.begun)]

    with pytest.raises(GreenlightError, match=rf"{REQUESTS} of the pod {A.pod} as .*, expected a"):
        parse(rows)


def test_a_slot_is_the_sum_of_its_processes() -> None:
    """Those that have gone as well; in flight is only what is still read."""
    both = reading(A, B, whole=3, error=1, cut=1, synthetic=2, refused=1, in_flight=4)
    gone = replace(both, scraped={A: 100.0})

    found = measured(gone, since=7)

    assert (found.since, found.requests, found.errors, found.cut) == (7, 10, 2, 2)
    assert (found.synthetic, found.refused, found.in_flight) == (4, 2, 4)
    assert found.latency.buckets == ((0.1, 6), (1.0, 6))
    assert found.latency.count == 6
    assert found.latency.sum == pytest.approx(0.3)
    assert found.first_token.count == found.inter_token.count == 0


def test_copies_are_counted_apart_and_their_difference_is_not_known() -> None:
    """No pod sees what a caller got elsewhere; what is under way for users is no copy."""
    found = measured(
        reading(A, B, whole=1, copies=3, copies_errors=2, in_flight=1, copying=4), since=1
    )

    assert (found.requests, found.errors, found.in_flight, found.latency.count) == (2, 0, 2, 2)
    assert found.copies is not None
    assert (found.copies.requests, found.copies.errors, found.copies.different) == (6, 4, None)
    assert found.copies.latency.count == 6


def test_nobody_is_cut_whose_copy_was_under_way() -> None:
    assert taken(reading(A, in_flight=1, copying=5), [A.pod]) == 1


def test_every_way_a_request_can_end_is_counted() -> None:
    assert set(OUTCOMES) == {one.value for one in Ending}


@pytest.mark.parametrize("missing", sorted(one for one in told() if "bucket" not in one[0]))
def test_s13_a_series_that_is_missing_is_an_error_and_no_zero(missing: Series) -> None:
    part = {one: value for one, value in told().items() if one != missing}

    with pytest.raises(GreenlightError, match=missing[0]):
        measured(Reading(1, {A: told(), B: part}, {A: 1, B: 1}), since=1)


def test_s13_buckets_that_were_dropped_are_an_error() -> None:
    part = {one: value for one, value in told().items() if not one[0].endswith("_bucket")}

    with pytest.raises(GreenlightError, match="no buckets"):
        measured(Reading(1, {A: part}), since=1)


@pytest.mark.parametrize("name", [LATENCY, FIRST_TOKEN, INTER_TOKEN, COPIES_LATENCY])
def test_buckets_of_two_kinds_are_not_added_up(name: str) -> None:
    other = told() | {(f"{name}_bucket", "0.7"): 0.0}

    with pytest.raises(GreenlightError, match=f"{name} in different buckets"):
        measured(Reading(1, {A: told(), B: other}), since=1)


@pytest.mark.parametrize(
    ("pods", "found"),
    [
        (None, {A.pod: "was read 30 s ago for the last time"}),
        ([], {}),
        ([B.pod], {}),
        ([B.pod, "assist-blue-1-c"], {"assist-blue-1-c": "is not read"}),
        ([A.pod, B.pod], {A.pod: "was read 30 s ago for the last time"}),
    ],
)
def test_s13_a_pod_that_is_not_read_now_is_named(
    pods: list[str] | None, found: Mapping[str, str]
) -> None:
    """Among those that have to be there; without such a list, among those that are read."""
    known = Reading(100, {}, {A: 70, B: 99, Process(B.pod, "0"): 60})

    assert unread(known, pods, within=20) == found


def test_what_a_pod_took_is_what_it_cut_and_what_was_under_way_when_last_read() -> None:
    told_all = reading(A, B, cut=1, in_flight=2)

    assert taken(told_all, [A.pod]) == 3
    assert taken(told_all, [A.pod, B.pod]) == 6
    assert taken(told_all, []) == 0
    with pytest.raises(GreenlightError, match="never read assist-blue-1-c"):
        taken(told_all, [A.pod, "assist-blue-1-c"])


def test_a_query_is_of_one_slot_of_one_application() -> None:
    """Two applications may share a namespace; names that begin alike are not mixed up."""
    query = counts(PLACE, 30)

    assert 'namespace="shop",slot="blue",pod=~"assist-blue-[a-z0-9]+-[a-z0-9]+"' in query
    assert "[30000ms]" in query


@dataclass
class Life:
    """A process as it is: what it has counted, when it is read, whether it is still there."""

    who: Process
    whole: int = 0
    last: int = 0
    seen: bool = False
    gone: bool = False


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3), st.integers(1, 5)),
        st.tuples(st.just("restart"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("look"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 3), st.just(0)),
    ),
    max_size=40,
)  # fmt: skip


@given(steps)
def test_counts_only_grow_and_lose_nothing_that_was_read(moves: list[tuple[str, int, int]]) -> None:
    """Whatever restarts, goes, or is forgotten by Prometheus between two looks, which see what was
    read since the look before.
    """
    lives = {pod: Life(Process(f"pod-{pod}", "0")) for pod in range(4)}
    ever: list[Life] = list(lives.values())
    known, before = Reading(0), 0
    visible: set[int] = set()
    for number, (move, pod, count) in enumerate(moves):
        life = lives[pod]
        if move == "ask":
            life.whole += count
        elif move == "restart":
            life.gone = True
            lives[pod] = Life(Process(f"pod-{pod}", str(number + 1)))
            ever.append(lives[pod])
        elif move == "read":
            life.last, life.seen = life.whole, True
            visible.add(id(life))
        else:
            found = [one for one in ever if id(one) in visible and one.seen]
            known = merge(known, Reading(
                number,
                {one.who: told(whole=one.last) for one in found},
                {one.who: float(number) for one in found if not one.gone},
            ))  # fmt: skip
            if move == "forget":
                visible.clear()
            now = measured(known, since=0)
            assert now.requests == sum(one.last for one in ever if one.seen) >= before
            assert now.latency.count == now.requests
            before = now.requests


@given(st.lists(st.integers(0, 100), min_size=1))
def test_no_count_falls_though_two_servers_answer_in_turn(values: list[int]) -> None:
    """One may be a reading behind the other; in flight is as the last one says."""
    known = Reading(0)
    for value in values:
        known = merge(known, reading(A, whole=value, in_flight=value, copying=100 - value))

    assert measured(known, since=0).requests == max(values)
    assert in_flight(known) == values[-1]
