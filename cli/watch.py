"""``status --watch``: what is happening now, redrawn every second.

The drawing is a pure function of two looks at the status document, the newer and the one before
it, so that what people see can be compared as text. On a terminal it is redrawn in place;
elsewhere a block is printed when something has changed that somebody would want to know.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.latency import percentiles
from pipelines.charts import clock
from pipelines.status import status
from pipelines.workspace import Workspace
from release.errors import FAILED, GreenlightError
from release.timestamps import epoch

EVERY = 1.0  # seconds between looks
WIDTH = 120  # columns of a block where there is no terminal to ask
BAR = 20  # columns of a bar of weight

_STYLES = {
    "pass": "green", "completed": "green", "ready": "green",
    "fail": "bold red", "void": "bold red", "returned": "bold red", "failed": "bold red",
    "refused": "bold red", "inconclusive": "yellow", "starting": "yellow", "stopping": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """A status document, and when it was read: ``now`` in seconds since 1970, ``at`` monotonic."""

    document: Mapping[str, Any]
    now: float
    at: float


def watch(workspace: Workspace, as_json: bool) -> int:
    """Look until Ctrl-C, which is how it is meant to end."""
    console = Console()
    try:
        if as_json:
            _tell_changes(workspace, _print_json)
        elif console.is_terminal:
            _redraw(workspace, console)
        else:
            _tell_changes(workspace, _print_block)
    except KeyboardInterrupt:
        pass
    return 0


def _looks(workspace: Workspace) -> Iterator[tuple[Look, Look | None]]:
    """A look a second with the one before it.

    An environment that is being changed can be caught half-way: that is shown as the problem it
    is, and the next look sees more. A record that cannot be trusted ends it.
    """
    before: Look | None = None
    while True:
        try:
            document: Mapping[str, Any] = status(workspace)
        except (GreenlightError, OSError) as error:
            if before is None or getattr(error, "exit_code", FAILED) != FAILED:
                raise
            document = {**before.document, "problem": str(error)}
        look = Look(document, time.time(), time.monotonic())
        yield look, before
        before = look
        time.sleep(EVERY)


def _redraw(workspace: Workspace, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for look, before in _looks(workspace):
            live.update(view(look, before), refresh=True)


def _tell_changes(workspace: Workspace, tell: Callable[[Look, Look | None], None]) -> None:
    told: Any = None
    for look, before in _looks(workspace):
        news = essence(look.document)
        if news != told:
            tell(look, before)
            told = news


def _print_json(look: Look, before: Look | None) -> None:
    print(json.dumps(look.document), flush=True)


def _print_block(look: Look, before: Look | None) -> None:
    print(block(look, before), flush=True)


def block(look: Look, before: Look | None, width: int = WIDTH) -> str:
    """The view as plain text, for a log: no colours, nothing that moves."""
    console = Console(width=width, color_system=None, force_terminal=False, file=sys.stdout)
    with console.capture() as captured:
        console.print(view(look, before))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def essence(document: Mapping[str, Any]) -> Any:
    """What counts as a change: everything but what moves by itself while nothing happens.

    Counts of requests go up with every user, and a lease is renewed; errors are news.
    """
    plain: dict[str, Any] = json.loads(json.dumps(document))
    plain.pop("ledger", None)
    for environment in plain["environments"].values():
        if environment["lease"]:
            environment["lease"].pop("until")
        for slot in environment["slots"].values():
            counts = slot.pop("counts") or {}
            slot["counts"] = {name: counts.get(name) for name in ("errors", "truncated", "cut")}
    return plain


def view(look: Look, before: Look | None) -> RenderableType:
    """The whole screen. ``before`` is what rates are taken from, None at the first look.

    The last environment comes first: on a small screen, what users see is what is kept.
    """
    document = look.document
    candidate = document["candidate"] or "nothing that can be built"
    head = Text.assemble((document["application"], "bold"), f"  llm.yaml describes {candidate}")
    parts: list[RenderableType] = [head]
    if document["problem"]:
        parts.append(Text(document["problem"], "yellow"))
    for name in reversed(document["environments"]):
        parts += _environment(name, look, before)
    for release, reason in document["held"].items():
        parts.append(Text(f"held: {release} ({reason})", "yellow"))
    return Group(*parts)


def _environment(name: str, look: Look, before: Look | None) -> list[RenderableType]:
    one = look.document["environments"][name]
    where = one["address"] if one["provisioned"] else one["reason"]
    said = f"  {one['live'] or 'nothing'} is live, {where}"
    parts: list[RenderableType] = [Text(), Text.assemble((name, "bold underline"), said)]
    for table in (_slots(one["slots"]), _facts(name, look, before)):
        if table.row_count:
            parts.append(Padding(table, (0, 0, 0, 2)))
    return parts


def _slots(slots: Mapping[str, Any]) -> Table:
    """Weights as bars, one below the other."""
    table = Table.grid(padding=(0, 2))
    for slot, one in slots.items():
        state = Text(one["state"] + (f" ({one['reason']})" if one["reason"] else ""))
        state.stylize(_STYLES.get(one["state"], ""))
        bar = ProgressBar(total=100, completed=one["weight"], width=BAR)
        name = Text(slot, slot if slot in ("blue", "green") else "")
        table.add_row(name, bar, Text(f"{one['weight']:3} %"), Text(one["release"]), state)
    return table


def _same_slot(before: Look | None, name: str, slot: str, release: str) -> Any:
    """The slot's counts at the look before, None when it was another release's or not there."""
    found = before.document["environments"].get(name, {}).get("slots", {}) if before else {}
    then = found.get(slot)
    return then["counts"] if then and then["release"] == release else None


def _numbers(counts: Any, then: Any, seconds: float) -> Text:
    if counts is None:
        return Text("no counts")
    bad = [f"{counts[name]} {name}" for name in ("errors", "truncated", "cut") if counts.get(name)]
    good = [
        f"{counts['in_flight']} in flight",
        _rate(counts, then, seconds),
        _latency(counts, then),
    ]
    text = Text(", ".join(filter(None, good)) + ", ")
    return text.append(", ".join(bad) or "no errors", "bold red" if bad else "")


def _rate(counts: Any, then: Any, seconds: float) -> str:
    """Requests a second since the last look; a gateway that started again counts from 0."""
    fresh = counts["requests"] - then["requests"] if then else -1
    if fresh < 0 or seconds <= 0:
        return f"{counts['requests']} requests"
    return f"{fresh / seconds:.1f} requests/s"


def _latency(counts: Any, then: Any) -> str:
    found = percentiles(counts, then, (50, 95))
    if found is None:
        return ""
    return ", ".join(f"{name} {value:.2f} s" for name, value in found.items())


def _facts(name: str, look: Look, before: Look | None) -> Table:
    """What there is to say below the bars: a word, and what it says."""
    one = look.document["environments"][name]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    seconds = look.at - before.at if before else 0.0
    for slot, found in one["slots"].items():
        then = _same_slot(before, name, slot, found["release"])
        table.add_row(slot, _numbers(found["counts"], then, seconds))
    if one["rollout"]:
        _add_rollout(table, one["rollout"], look.now)
    lease = one["lease"]
    if lease:
        text = f"{lease['holder']} since {_short(lease['since'])}, fence {lease['fence']}"
        table.add_row("lease", Text(text))
    return table


def _add_rollout(table: Table, rollout: Mapping[str, Any], now: float) -> None:
    table.add_row("rollout", _rollout(rollout, now))
    if not rollout["ended"]:
        table.add_row("steps", _steps(rollout["steps"]))
    _add_verdicts(table, rollout)
    if rollout["waiting"]:
        _add_waiting(table, rollout["waiting"], now)


def _rollout(rollout: Mapping[str, Any], now: float) -> Text:
    origin = f" from {rollout['from']}" if rollout["from"] else ""
    end = epoch(rollout["ended"]) if rollout["ended"] else now
    verb = "after" if rollout["ended"] else "for"
    text = Text(f"{rollout['release']}{origin}, ")
    text.append(rollout["outcome"], _STYLES.get(rollout["outcome"], "bold"))
    text.append(f" {verb} {_lasted(end - epoch(rollout['begun']))}")
    if rollout["reason"]:
        text.append(f": {rollout['reason']}")
    return text


def _steps(steps: Mapping[str, list[str]]) -> Text:
    done, left = (", ".join(steps[name]) or "none" for name in ("done", "left"))
    return Text(f"done: {done}; left: {left}")


def _add_verdicts(table: Table, rollout: Mapping[str, Any]) -> None:
    """The last window's; before there is one, what the gates said. None of what went well."""
    window = rollout["window"]
    if rollout["outcome"] == "completed":
        return
    verdicts = window["verdicts"] if window else rollout["gates"]
    whose = "synthetic: no users" if window and window["replayed"] else "users' requests"
    if window:
        at = f"{window['phase']}, {window['weight']} %, {_short(window['started'])}, {whose}"
        table.add_row("window", Text(at + _copies(window["green"])))
    for one in verdicts:
        outcome = Text(one["outcome"], _STYLES.get(one["outcome"], ""))
        table.add_row("verdict" if window else "gate", outcome + Text(f": {one['reason']}"))


def _copies(green: Mapping[str, Any] | None) -> str:
    """What the mirror showed in the window."""
    if not green or not green["copies"]:
        return ""
    different = green["different"]
    compared = "" if different is None else f", {different} answered differently"
    return f", {green['copies']} copies{compared}"


def _add_waiting(table: Table, waiting: Mapping[str, str], now: float) -> None:
    since = f"{_short(waiting['since'])}, {_lasted(now - epoch(waiting['since']))} ago"
    table.add_row("waits for", Text(waiting["for"], "yellow"))
    table.add_row("since", Text(since))
    table.add_row("ends with", Text(waiting["ends"]))


def _lasted(seconds: float) -> str:
    return clock(max(0, round(seconds)))


def _short(stamp: str) -> str:
    """``12:00:38 UTC`` of a time: whoever watches knows the day."""
    return f"{stamp[11:19]} UTC"
