"""Line charts as inline SVG: scales, axes with units, lines and step lines, and nothing else.

Pure: numbers in, one element out. Colours are the page's (by class), so that one chart is right
in light, in dark and on paper; each series also has its own dashes, for eyes and printers that
see no colours. Why this is not a library: docs/decisions/0007-report.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET  # only ever written here, never read

WIDTH, HEIGHT = 680.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 14.0, 40.0  # room for the axes' texts
LEAST = 1e-9  # below it there is nothing to see, nor to measure with
TICKS = 5  # about as many as can be read beside each other
CLOSE = 12.0  # per cent of the width within which two marks would write over each other

Point = tuple[float, float | None]
"""Seconds since the chart's beginning, and a value; None is a gap."""


@dataclass(frozen=True)
class Series:
    """One line. ``style`` is a class of the page: its colour and dashes.

    ``steps``: each value holds until the next one; else the points are joined and dotted.
    """

    name: str
    style: str
    points: tuple[Point, ...]
    steps: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at ``at``, or from then until ``until``, in one or two words."""

    at: float
    text: str
    until: float | None = None


@dataclass(frozen=True)
class Chart:
    """What a chart shows. ``seconds`` is the length of its time axis, ``top`` the least that the
    other reaches, ``key`` an id that no other chart of the page has.
    """

    key: str
    title: str
    description: str
    unit: str
    seconds: float
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    top: float = 0.0


@dataclass(frozen=True)
class Scale:
    """A linear map from values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of ``value``."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(high: float, wanted: int = TICKS) -> tuple[float, ...]:
    """Round values from 0 to at least ``high``, in steps of 1, 2 or 5 times a power of ten."""
    if not LEAST <= high < math.inf:
        high = 1.0
    raw = high / wanted
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * one for one in (1, 2, 5, 10) if size * one >= raw * (1 - 1e-9))
    return _multiples(step, math.ceil(high / step - 1e-9))


def time_ticks(seconds: float, wanted: int = TICKS) -> tuple[float, ...]:
    """Round times from 0 to at most ``seconds``, in steps that a clock has."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
    if seconds < wanted:
        return tuple(one for one in ticks(seconds, wanted) if one <= seconds)
    step = next((one for one in steps if seconds / one <= wanted + 1), steps[-1])
    if seconds / step > wanted + 1:
        step *= math.ceil(seconds / step / wanted)
    return _multiples(step, math.floor(seconds / step))


def _multiples(step: float, count: int) -> tuple[float, ...]:
    return tuple(round(step * i, 12) for i in range(count + 1))


def clock(seconds: float) -> str:
    """A time since the beginning: ``40 s``, ``2:30 min``, ``1:05 h``."""
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02} h"


def svg(chart: Chart) -> str:
    """The chart as an ``svg`` element, everything in it escaped."""
    values = [v for one in chart.series for _, v in one.points if v is not None]
    up = ticks(max([chart.top, *values]))
    x = Scale(0.0, max(chart.seconds, 1e-9), LEFT, WIDTH - RIGHT)
    y = Scale(0.0, up[-1], HEIGHT - BOTTOM, TOP)
    root = _root(chart)
    _axes(root, chart, x, y, up)
    for mark, row in _rows(chart.marks, x):
        _mark(root, mark, x, row)
    for one in chart.series:
        _draw(root, one, x, y)
    return ET.tostring(root, encoding="unicode")


def _root(chart: Chart) -> ET.Element:
    names = {"title": chart.title, "desc": chart.description}
    root = ET.Element("svg", {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "class": "chart",
        "aria-labelledby": f"{chart.key}-title", "aria-describedby": f"{chart.key}-desc",
    })  # fmt: skip
    for name, text in names.items():
        ET.SubElement(root, name, {"id": f"{chart.key}-{name}"}).text = text
    return root


def _axes(root: ET.Element, chart: Chart, x: Scale, y: Scale, up: Sequence[float]) -> None:
    for value in up:
        _line(root, "grid", (x.start, y(value)), (x.end, y(value)))
        _text(root, "tick end", x.start - 7, y(value) + 4, f"{value:g}")
    for seconds in time_ticks(chart.seconds):
        _line(root, "axis", (x(seconds), y.start), (x(seconds), y.start + 4))
        side = "tick middle" if seconds else "tick"
        _text(root, side, x(seconds), y.start + 17, clock(seconds))
    _line(root, "axis", (x.start, y.start), (x.end, y.start))
    _text(root, "unit end", x.end, HEIGHT - 5, "time since it began")
    middle = (y.start + y.end) / 2
    turned = _text(root, "unit middle", 12, middle, chart.unit)
    turned.set("transform", f"rotate(-90 12 {middle:g})")


def _rows(marks: Sequence[Mark], x: Scale) -> Iterator[tuple[Mark, int]]:
    """Marks with the row that their text gets: those close together go below each other."""
    row, last = 0, -math.inf
    for mark in sorted(marks, key=lambda one: one.at):
        place = x(mark.at)
        row = row + 1 if place - last < (x.end - x.start) * CLOSE / 100 else 0
        last = place
        yield mark, row


def _mark(root: ET.Element, mark: Mark, x: Scale, row: int) -> None:
    place = x(mark.at)
    if mark.until is not None:
        ET.SubElement(root, "rect", {
            "class": "span", "x": f"{place:.1f}", "y": f"{TOP:g}",
            "width": f"{max(1.0, x(mark.until) - place):.1f}",
            "height": f"{HEIGHT - BOTTOM - TOP:g}",
        })  # fmt: skip
    _line(root, "mark", (place, TOP), (place, HEIGHT - BOTTOM))
    right = place > (x.start + x.end) / 2
    _text(root, "note end" if right else "note", place + (-4 if right else 4),
          TOP + 11 + 13 * row, mark.text)  # fmt: skip


def _draw(root: ET.Element, series: Series, x: Scale, y: Scale) -> None:
    for run in _runs(series.points):
        places = [(x(at), y(value)) for at, value in run]
        path = _stairs(places) if series.steps else places
        if len(path) > 1:
            points = " ".join(f"{left:.1f},{down:.1f}" for left, down in path)
            ET.SubElement(root, "polyline", {"class": f"line {series.style}", "points": points})
        if not series.steps:
            _dots(root, series, run, places)


def _dots(
    root: ET.Element,
    series: Series,
    run: Sequence[tuple[float, float]],
    places: Sequence[tuple[float, float]],
) -> None:
    """A dot for each point, which says its value when somebody rests on it."""
    for (at, value), (left, down) in zip(run, places, strict=True):
        where = {"class": f"dot {series.style}", "cx": f"{left:.1f}", "cy": f"{down:.1f}", "r": "3"}
        dot = ET.SubElement(root, "circle", where)
        ET.SubElement(dot, "title").text = f"{series.name}, {clock(round(at, 1))}: {value:.3g}"


def _runs(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """The stretches between gaps."""
    run: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _stairs(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    path = list(places[:1])
    for (_, before), (left, down) in pairwise(places):
        path += [(left, before), (left, down)]
    return path


def _line(
    root: ET.Element, style: str, start: tuple[float, float], end: tuple[float, float]
) -> None:
    (x1, y1), (x2, y2) = start, end
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    ET.SubElement(root, "line", {"class": style, **{k: f"{v:.1f}" for k, v in places.items()}})


def _text(root: ET.Element, style: str, x: float, y: float, text: str) -> ET.Element:
    found = ET.SubElement(root, "text", {"class": style, "x": f"{x:.1f}", "y": f"{y:.1f}"})
    found.text = text
    return found
