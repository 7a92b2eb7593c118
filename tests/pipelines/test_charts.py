"""Charts: numbers to places, and an element that any reader of XML understands."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Mark,
    Scale,
    Series,
    clock,
    svg,
    ticks,
    time_ticks,
)


def chart(*series: Series, marks: tuple[Mark, ...] = (), seconds: float = 100) -> Chart:
    return Chart("c1", "Latency", "It rises.", "seconds", seconds, series, marks)


def drawn(*series: Series, marks: tuple[Mark, ...] = (), seconds: float = 100) -> ET.Element:
    return ET.fromstring(svg(chart(*series, marks=marks, seconds=seconds)))


def line(*points: tuple[float, float | None], steps: bool = False) -> Series:
    return Series("green", "green", points, steps)


def places(root: ET.Element) -> list[list[tuple[float, float]]]:
    """The corners of every line."""
    return [
        [(float(x), float(y)) for x, y in (one.split(",") for one in found.split())]
        for found in (each.get("points", "") for each in root.iter("polyline"))
    ]


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (100, (0, 20, 40, 60, 80, 100)),
        (1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (2.4, (0, 0.5, 1, 1.5, 2, 2.5)),
        (0.03, (0, 0.01, 0.02, 0.03)),
        (7, (0, 2, 4, 6, 8)),
        (0, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (math.inf, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    ],
)
def test_an_axis_has_round_values_up_to_all_that_it_shows(
    high: float, expected: tuple[float, ...]
) -> None:
    """Where there is nothing to show, it is that of one."""
    assert ticks(high) == pytest.approx(expected)


@given(st.floats(1e-9, 1e12))
def test_an_axis_is_never_crowded_nor_too_short(high: float) -> None:
    found = ticks(high)

    assert 2 <= len(found) <= 7
    assert found[0] == 0
    assert found[-1] >= high * (1 - 1e-6)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (3, (0, 1, 2, 3)),
        (40, (0, 10, 20, 30, 40)),
        (100, (0, 30, 60, 90)),
        (600, (0, 120, 240, 360, 480, 600)),
        (7000, (0, 1800, 3600, 5400)),
        (864_000, (0, 172_800, 345_600, 518_400, 691_200, 864_000)),
    ],
)
def test_a_time_axis_has_the_steps_of_a_clock(seconds: float, expected: tuple[float, ...]) -> None:
    assert time_ticks(seconds) == expected


@given(st.floats(0.1, 1e9))
def test_a_time_axis_is_never_crowded_and_ends_with_the_chart(seconds: float) -> None:
    found = time_ticks(seconds)

    assert 1 <= len(found) <= 7
    assert found[-1] <= seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (59, "59 s"), (60, "1 min"), (75, "1:15 min"), (3600, "1:00 h"),
     (90_000, "25:00 h")],
)  # fmt: skip
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_scale_puts_its_ends_on_the_edges() -> None:
    scale = Scale(0, 10, 100, 0)

    assert (scale(0), scale(10), scale(5)) == (100, 0, 50)


def test_a_line_joins_its_points_inside_the_axes() -> None:
    """Time to the right, values up; each point has a dot that says its value."""
    root = drawn(line((0, 0), (50, 1), (100, 2)))

    assert places(root) == [
        [
            (LEFT, HEIGHT - BOTTOM),
            ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2),
            (WIDTH - RIGHT, TOP),
        ]
    ]
    assert [one.findtext("title") for one in root.iter("circle")] == [
        "green, 0 s: 0", "green, 50 s: 1", "green, 1:40 min: 2"
    ]  # fmt: skip


def test_a_step_line_holds_each_value_until_the_next() -> None:
    """Nothing is drawn of what was never so: no slope between two weights, and no dot."""
    root = drawn(line((0, 0), (50, 100), (100, 100), steps=True))
    middle, low = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM

    assert places(root) == [
        [(LEFT, low), (middle, low), (middle, TOP), (WIDTH - RIGHT, TOP), (WIDTH - RIGHT, TOP)]
    ]
    assert list(root.iter("circle")) == []


def test_where_nothing_is_known_there_is_a_gap() -> None:
    """Not a line at zero, and not one across."""
    root = drawn(line((0, 1), (10, 1), (20, None), (30, 1), (40, 1), (50, None)))

    assert [len(one) for one in places(root)] == [2, 2]


def test_a_single_point_is_a_dot_without_a_line() -> None:
    root = drawn(line((50, 1)))

    assert (len(places(root)), len(list(root.iter("circle")))) == (0, 1)


def test_a_chart_has_a_name_and_a_description_for_whoever_cannot_see_it() -> None:
    root = drawn()

    assert root.get("role") == "img"
    assert (root.get("aria-labelledby"), root.get("aria-describedby")) == ("c1-title", "c1-desc")
    named = {one.get("id"): one.text for one in root if one.tag in ("title", "desc")}
    assert named == {"c1-title": "Latency", "c1-desc": "It rises."}


def test_axes_say_their_units() -> None:
    texts = [one.text for one in drawn(line((0, 2.4))).iter("text")]

    assert {"seconds", "time since it began", "0 s", "30 s", "1:30 min", "2.5"} <= set(texts)


def test_marks_that_are_close_are_written_below_each_other() -> None:
    """Far apart they share the first row; one that lasts is a shade behind the lines."""
    marks = (Mark(10, "return"), Mark(12, "back"), Mark(80, "waits", 90))
    root = drawn(marks=marks)
    rows = {one.text: one.get("y") for one in root.iter("text")}

    assert rows["return"] == rows["waits"]
    assert rows["return"] != rows["back"]
    (shade,) = root.iter("rect")
    assert float(shade.get("width", "")) == pytest.approx((WIDTH - RIGHT - LEFT) / 10, abs=0.1)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.none() | st.floats(0, 1e9)).map(lambda one: one), max_size=9
    ),
    st.text(),
    st.booleans(),
)
def test_any_numbers_and_any_name_make_one_element(
    points: list[tuple[float, float | None]], name: str, steps: bool
) -> None:
    """No name can end its element: what comes out has the same parts as with a plain name."""
    name = "".join(one for one in name if one.isprintable())
    series = Series(name, "green", tuple(points), steps)

    odd = ET.fromstring(svg(Chart("k", name, name, name, 1e6, (series,), (Mark(5, name),))))
    plain = ET.fromstring(svg(Chart("k", "a", "a", "a", 1e6, (series,), (Mark(5, "a"),))))
    assert [one.tag for one in odd.iter()] == [one.tag for one in plain.iter()]
