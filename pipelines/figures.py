"""From a rollout's story to what its page shows: charts, each with the table beside it.

Pure. Two releases are compared throughout: the new one, drawn green, and the old one, drawn
blue, whatever slots they are in. A share of no requests is unknown and leaves a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.analysis import Side, Window
from pipelines.charts import Chart, Mark, Point, Series, clock
from pipelines.past import LIVE, RETURN_BEGUN
from pipelines.story import Rollout
from release.bundle import label

UNKNOWN = "\N{EN DASH}"
Rows = tuple[tuple[str, ...], ...]
Value = Callable[[Side, Window], float | None]
"""A number of one side of a window; None where there is none."""


@dataclass(frozen=True)
class Figure:
    """A chart, what stands below it, and its numbers."""

    chart: Chart
    note: str
    head: tuple[str, ...]
    rows: Rows


@dataclass(frozen=True)
class Frame:
    """What all charts of a rollout share: their ids, names of the releases, time and marks."""

    key: str
    new: str
    old: str
    begun: float
    seconds: float
    marks: tuple[Mark, ...]

    def chart(
        self, key: str, title: str, says: str, unit: str, series: Sequence[Series], top: float = 0.0
    ) -> Chart:
        """A chart in this frame. A series that has no value at all is left out."""
        seen = tuple(one for one in series if any(v is not None for _, v in one.points))
        return Chart(
            f"{self.key}-{key}", title, says, unit, self.seconds, seen, self.marks, top
        )  # fmt: skip


def figures(application: str, rollout: Rollout, key: str) -> tuple[Figure, ...]:
    """The figures of ``rollout``; ``key`` begins their ids. Only what was recorded is drawn."""
    frame = _frame(application, rollout, key)
    found = [_weights(frame, rollout)] if rollout.weights else []
    if rollout.windows:
        found += [draw(frame, rollout.windows) for draw in (_traffic, _latency, _failed, _refused)]
    return tuple(found)


def _frame(application: str, rollout: Rollout, key: str) -> Frame:
    old = f"old, {label(application, rollout.previous)}" if rollout.previous else "old"
    return Frame(
        key=key,
        new=f"new, {label(application, rollout.release)}",
        old=old,
        begun=rollout.begun,
        seconds=max(1.0, rollout.last - rollout.begun),
        marks=tuple(_marks(rollout)),
    )


def _marks(rollout: Rollout) -> Iterator[Mark]:
    words = {RETURN_BEGUN: "return", LIVE: "live"}
    for line in rollout.lines:
        if line.kind in words and line.at <= rollout.last:
            back = line.kind == LIVE and rollout.outcome == "returned"
            yield Mark(line.at - rollout.begun, "back" if back else words[line.kind])
    for wait in rollout.waits:
        until = rollout.last if wait.until is None else wait.until
        yield Mark(wait.since - rollout.begun, "waits", until - rollout.begun)


def _weights(frame: Frame, rollout: Rollout) -> Figure:
    rows = [(one.at - frame.begun, one.slots.get(rollout.slot, 0), one) for one in rollout.weights]
    new: list[Point] = [(at, weight) for at, weight, _ in rows]
    old: list[Point] = [(at, sum(one.slots.values()) - weight) for at, weight, one in rows]
    series = [
        Series(frame.old, "blue", (*old, (frame.seconds, old[-1][1])), steps=True),
        Series(frame.new, "green", (*new, (frame.seconds, new[-1][1])), steps=True),
    ]
    slots = sorted({slot for one in rollout.weights for slot in one.slots})
    says = f"The new release has {new[0][1]:g} % at first and {new[-1][1]:g} % at the end."
    return Figure(
        frame.chart("weights", "Weights", says, "per cent of requests", series, 100),
        f"The new release is in slot {rollout.slot}." if rollout.slot else "",
        ("time", *slots),
        tuple((clock(round(at)), *(f"{one.slots.get(s, 0)} %" for s in slots))
              for at, _, one in rows),
    )  # fmt: skip


def _traffic(frame: Frame, windows: Sequence[Window]) -> Figure:
    def rate(side: Side, window: Window) -> float | None:
        return side.requests / window.seconds if window.seconds > 0 else None

    series = [_steps(frame, windows, new, "", rate) for new in (False, True)]
    most = max((v for one in series for _, v in one.points if v is not None), default=0.0)
    return Figure(
        frame.chart("traffic", "Traffic", f"At most {most:.3g} requests a second.",
                    "requests a second", series),
        "",
        ("time", "phase", "weight", "requests, new", "requests, old", "synthetic", "whose"),
        tuple(
            (*_when(frame, w), w.phase, f"{w.weight} %", *_each(w, lambda s, _: s.requests),
             str(sum(s.synthetic for s in (w.green, w.blue) if s)),
             "synthetic: no users" if w.replayed else "users")
            for w in windows
        ),
    )  # fmt: skip


def _latency(frame: Frame, windows: Sequence[Window]) -> Figure:
    p50: Value = lambda side, _: side.latency_p50_seconds  # noqa: E731 - read as a pair
    p95: Value = lambda side, _: side.latency_p95_seconds  # noqa: E731
    series = [
        _dots(frame, windows, new, name, value)
        for new in (False, True)
        for name, value in (("p50", p50), ("p95", p95))
    ]
    worst = [_greatest(one) for one in (series[3], series[1])]
    says = f"The greatest p95 is {worst[0]} of the new release, {worst[1]} of the old one."
    values: list[Value] = [
        p50, p95, lambda s, _: s.first_token_p95_seconds, lambda s, _: s.inter_token_p95_seconds
    ]  # fmt: skip
    names = ("p50", "p95", "first token p95", "between tokens p95")
    return Figure(
        frame.chart("latency", "Latency", says, "seconds", series),
        "From the request to the last byte of its answer.",
        ("time", *(f"{name}, {who}" for name in names for who in ("new", "old"))),
        tuple((*_when(frame, w), *(t for v in values for t in _each(w, v, "s"))) for w in windows),
    )


def _failed(frame: Frame, windows: Sequence[Window]) -> Figure:
    errors, truncated = _share(lambda s: s.errors), _share(lambda s: s.truncated)
    series = [
        _steps(frame, windows, new, name, value)
        for new in (False, True)
        for name, value in (("errors", errors), ("truncated", truncated))
    ]
    count = sum(s.errors + s.truncated for w in windows for s in (w.green, w.blue) if s)
    says = f"{count} requests failed or were cut off in all windows together."
    return Figure(
        frame.chart("failed", "Errors and truncated streams", says, "per cent of requests", series,
                    top=1),
        says,
        ("time", "errors, new", "errors, old", "truncated, new", "truncated, old"),
        tuple((*_when(frame, w), *_each(w, lambda s, _: s.errors),
               *_each(w, lambda s, _: s.truncated)) for w in windows),
    )  # fmt: skip


def _refused(frame: Frame, windows: Sequence[Window]) -> Figure:
    series = [_steps(frame, windows, new, "", _share(lambda s: s.refused)) for new in (False, True)]
    count = sum(side.refused for w in windows for side in (w.green, w.blue) if side)
    says = f"{count} whole answers in all windows together are refusals of the application."
    return Figure(
        frame.chart("refused", "Refusals", says, "per cent of requests", series, top=1),
        says,
        ("time", "new", "old"),
        tuple((*_when(frame, w), *_each(w, lambda s, _: s.refused)) for w in windows),
    )


def _share(count: Callable[[Side], int]) -> Value:
    return lambda side, _: 100 * count(side) / side.requests if side.requests else None


def _of(window: Window, new: bool) -> Side | None:
    return window.green if new else window.blue


def _named(frame: Frame, new: bool, name: str) -> tuple[str, str]:
    """A series' name and style; the first of a pair is drawn thin."""
    thin = " thin" if name in ("p50", "truncated") else ""
    who = frame.new if new else frame.old
    return (f"{name}, {who}" if name else who), ("green" if new else "blue") + thin


def _steps(frame: Frame, windows: Sequence[Window], new: bool, name: str, value: Value) -> Series:
    """A value that holds for the whole of each window; a gap where nothing was watched."""
    points: list[Point] = []
    for window in windows:
        side, start = _of(window, new), window.started - frame.begun
        if points and start > points[-1][0] + 1:
            points.append((points[-1][0], None))
        found = value(side, window) if side else None
        points += [(start, found), (start + window.seconds, found)]
    return Series(*_named(frame, new, name), tuple(points), steps=True)


def _dots(frame: Frame, windows: Sequence[Window], new: bool, name: str, value: Value) -> Series:
    """A value in the middle of each window."""
    points = tuple(
        (w.started + w.seconds / 2 - frame.begun, value(side, w) if side else None)
        for w in windows
        for side in (_of(w, new),)
    )
    return Series(*_named(frame, new, name), points)


def _greatest(series: Series) -> str:
    values = [value for _, value in series.points if value is not None]
    return f"{max(values):.3g} s" if values else "unknown"


def _when(frame: Frame, window: Window) -> tuple[str]:
    return (clock(max(0, round(window.started - frame.begun))),)


def _each(window: Window, value: Value, unit: str = "") -> tuple[str, str]:
    """The value of the new release and of the old one, as texts."""
    found = [value(side, window) if side else None for side in (window.green, window.blue)]
    new, old = (UNKNOWN if one is None else f"{one:.3g} {unit}".strip() for one in found)
    return new, old
