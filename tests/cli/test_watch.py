"""``status --watch``: what is shown of two looks, and when it says something."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import watch as watching
from cli.__main__ import main
from cli.status import _lines as status_lines
from cli.watch import Look, block, essence, view
from pipelines.status import rollout_document
from pipelines.story import tell
from release.errors import GreenlightError, Refused
from tests.pipelines import rollouts
from tests.pipelines.rollouts import SETTINGS, START, Act, written

GREEN = {
    "requests": 40, "errors": 0, "truncated": 0, "cut": 0, "synthetic": 12, "in_flight": 3,
    "latency": {"count": 0, "sum": 0.0, "buckets": [[0.1, 0], [0.5, 0], [1.0, 0]]},
}  # fmt: skip
BUCKETS = [[0.1, 0], [0.5, 20], [1.0, 40]]


def slot(weight: int, digest: str = "a", **changes: Any) -> dict[str, Any]:
    """A slot as ``status`` shows it."""
    release = f"tiny-bot@{digest * 7}"
    return {
        "release": release, "state": "ready", "reason": "", "weight": weight,
        "counts": GREEN, **changes,
    }  # fmt: skip


def environment(acts: list[Act] | None = None, **changes: Any) -> dict[str, Any]:
    """An environment as ``status`` shows it, with the last rollout of ``acts``."""
    told = tell(written(rollouts.first(), acts or []), "production").rollouts
    rollout = rollout_document("tiny-bot", told[-1], SETTINGS) if acts else None
    return {
        "provisioned": True, "reason": "", "address": "http://127.0.0.1:1",
        "live": "tiny-bot@aaaaaaa", "before": [],
        "slots": {"blue": slot(75), "green": slot(25, "b")},
        "lease": None, "rollout": rollout, "drift": [], **changes,
    }  # fmt: skip


def document(production: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A status document."""
    return {
        "application": "tiny-bot", "candidate": "tiny-bot@bbbbbbb", "problem": None,
        "environments": {"production": production}, "held": {},
        "ledger": {"entries": 9, "last": None}, **changes,
    }  # fmt: skip


def look(found: dict[str, Any], at: float = 0) -> Look:
    return Look(found, START + 60 + at, at)


def shown(found: dict[str, Any], before: Look | None = None, at: float = 0) -> list[str]:
    """The view's lines, spaces between columns as one."""
    return [" ".join(one.split()) for one in block(look(found, at), before).splitlines()]


@pytest.mark.parametrize(
    ("different", "told"),
    [(3, "20 copies, 3 answered differently"), (None, "20 copies")],
)
def test_copies_are_told_with_what_is_known_of_them(different: int | None, told: str) -> None:
    """Where nobody compared answers, nothing is said of that."""
    green = rollouts.side(50, copies=20, different=different)
    lines = shown(document(environment(rollouts.half_way(green=green))))

    (line,) = (one for one in lines if one.startswith("window"))
    assert line.endswith(f"users' requests, {told}")


def test_a_waiting_rollout_is_shown_whole() -> None:
    """Weights, in flight, counts, last verdicts, and for what it waits, since when, until what."""
    since, until = (f"2026-01-01T12:0{minute}:00.000000Z" for minute in (0, 2))
    lease = {"holder": "ship (process 7 on host)", "fence": 3, "since": since, "until": until}
    lines = shown(document(environment(rollouts.waiting(), lease=lease)))

    assert lines == [
        "tiny-bot llm.yaml describes tiny-bot@bbbbbbb",
        "",
        "production tiny-bot@aaaaaaa is live, http://127.0.0.1:1",
        "blue ━━━━━━━━━━━━━━━ 75 % tiny-bot@aaaaaaa ready",
        "green ━━━━━ 25 % tiny-bot@bbbbbbb ready",
        "blue 3 in flight, 40 requests, no errors",
        "green 3 in flight, 40 requests, no errors",
        "rollout tiny-bot@bbbbbbb from tiny-bot@aaaaaaa, under way for 1 min",
        "steps done: 25 %; left: pause 20, 100 %",
        "window step, 25 %, 12:00:27 UTC, synthetic: no users",
        "verdict inconclusive: errors: 12 requests are too few to tell, 50 are needed",
        "waits for The last window is inconclusive.",
        "since 12:00:38 UTC, 22 s ago",
        "ends with 38 more requests, or the deadline in 600 s.",
        "lease ship (process 7 on host) since 12:00:00 UTC, fence 3",
    ]


def test_rates_are_of_the_time_since_the_last_look() -> None:
    before = look(document(environment(slots={"blue": slot(100)})))
    now = slot(100, counts={**GREEN, "requests": 52})

    lines = shown(document(environment(slots={"blue": now})), before, at=2)

    assert lines[4] == "blue 3 in flight, 6.0 requests/s, no errors"


LATER: dict[str, dict[str, Any]] = {
    "its gateway started again": {"counts": {**GREEN, "requests": 2}},
    "it is another release": {"release": "tiny-bot@ccccccc"},
}


@pytest.mark.parametrize("changes", LATER.values(), ids=LATER.keys())
def test_where_counts_cannot_be_compared_there_is_no_rate(changes: dict[str, Any]) -> None:
    before = look(document(environment(slots={"blue": slot(100)})))
    found = document(environment(slots={"blue": slot(100, **changes)}))

    assert "requests/s" not in shown(found, before, at=1)[4]


def test_latency_is_of_what_ended_since_the_last_look() -> None:
    """From the slot's histogram, where its counts have one."""

    def counted(buckets: list[list[float]]) -> dict[str, Any]:
        latency = {"count": int(buckets[-1][1]), "sum": 1.0, "buckets": buckets}
        counts = {**GREEN, "latency": latency}
        return document(environment(slots={"blue": slot(100, counts=counts)}))

    first = counted(BUCKETS)
    second = counted([[0.1, 0], [0.5, 20], [1.0, 50]])

    assert "p50 0.50 s, p95 0.95 s" in shown(first)[4]
    assert "p50 0.75 s, p95 0.97 s" in shown(second, look(first), at=1)[4]
    assert "p50" not in "".join(shown(document(environment())))


def test_a_slot_without_counts_says_so() -> None:
    """Unknown is not zero."""
    lines = shown(document(environment(slots={"blue": slot(100, counts=None)})))

    assert lines[4] == "blue no counts"


def test_errors_are_counted_by_kind() -> None:
    counts = {**GREEN, "errors": 2, "truncated": 1}
    lines = shown(document(environment(slots={"blue": slot(100, counts=counts)})))

    assert lines[4].endswith("2 errors, 1 truncated")


ENDED: dict[str, tuple[list[Act], str]] = {
    "completed": (
        rollouts.completed(),
        "rollout tiny-bot@bbbbbbb from tiny-bot@aaaaaaa, completed after 1:15 min: "
        "The soak time is over.",
    ),
    "returned": (
        rollouts.returned(),
        "rollout tiny-bot@bbbbbbb from tiny-bot@aaaaaaa, returned after 40 s: latency_p95_seconds "
        "is 2.4 beside blue's 0.8,",
    ),
}


@pytest.mark.parametrize(("acts", "expected"), ENDED.values(), ids=ENDED.keys())
def test_a_rollout_that_has_ended_says_how_and_why(acts: list[Act], expected: str) -> None:
    """It has no steps left to tell of, and verdicts only where something went wrong."""
    lines = shown(document(environment(acts)))

    assert expected in lines
    assert not any(line.startswith("steps") for line in lines)
    assert any(line.startswith("verdict") for line in lines) == ("returned" in expected)


def test_the_environment_that_users_see_comes_first() -> None:
    """A small screen cuts the end off."""
    found = document(environment())
    found["environments"] = {"staging": environment(), **found["environments"]}

    lines = shown(found)

    assert [one.split()[0] for one in lines if "is live" in one] == ["production", "staging"]


def test_before_the_first_window_the_gates_are_shown() -> None:
    lines = shown(document(environment(rollouts.begun()[:-1])))

    assert "gate pass: f1 is 0.81, the limit is at least 0.5" in lines


def test_what_is_not_there_is_said() -> None:
    """No gateway, a candidate that cannot be built, a release that is held."""
    down = environment(provisioned=False, reason="its gateway does not answer", live=None, slots={})
    found = document(down, candidate=None, problem="the model is gone", held={"a@b": "slow"})

    assert shown(found) == [
        "tiny-bot llm.yaml describes nothing that can be built",
        "the model is gone",
        "",
        "production nothing is live, its gateway does not answer",
        "held: a@b (slow)",
    ]


def test_nothing_in_a_document_is_markup() -> None:
    """A reason in square brackets is shown as it is."""
    found = document(environment(rollouts.begun(), slots={}), problem="[bold]x[/bold]")

    assert "[bold]x[/bold]" in shown(found)


def test_a_terminal_gets_colours_and_weights_as_bars() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=120)
    console.print(view(look(document(environment(rollouts.returned()))), None))

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[" in text
    assert text.count("━") + text.count("╸") + text.count("╺") >= 38


QUIET: dict[str, dict[str, Any]] = {
    "more requests": {"slots": {"blue": slot(75, counts={**GREEN, "requests": 99, "in_flight": 0}),
                                "green": slot(25, "b")}},
    "nothing": {},
}  # fmt: skip
LOUD: dict[str, dict[str, Any]] = {
    "a weight": {"slots": {"blue": slot(50), "green": slot(50, "b")}},
    "an error": {"slots": {"blue": slot(75, counts={**GREEN, "errors": 1}),
                           "green": slot(25, "b")}},
    "a state": {"slots": {"blue": slot(75, state="failed"), "green": slot(25, "b")}},
    "a lease": {"lease": {"holder": "ship", "fence": 1, "since": "x", "until": "y"}},
    "a rollout": {"rollout": {"release": "x"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "news"),
    [*((one, False) for one in QUIET.values()), *((one, True) for one in LOUD.values())],
    ids=[*QUIET, *LOUD],
)
def test_what_moves_by_itself_is_no_news(changes: dict[str, Any], news: bool) -> None:
    """Requests come in all the time; an error, a weight, a state or a holder is a change."""
    before, after = essence(document(environment())), essence(document(environment(**changes)))

    assert (before != after) == news


def test_a_renewed_lease_is_no_news() -> None:
    lease = {"holder": "ship", "fence": 1, "since": "x"}
    one, other = (document(environment(lease={**lease, "until": u})) for u in ("1", "2"))

    assert essence(one) == essence(other)


# The loop


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What ``status`` finds, one a look; when they are used up somebody presses Ctrl-C."""
    found: list[Any] = []

    def status(_: object) -> Any:
        if not found:
            raise KeyboardInterrupt
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(watching, "status", status)
    monkeypatch.setattr(watching, "EVERY", 0.0)
    return found


@pytest.fixture
def command(app: Path, own_cache: Path) -> list[str]:
    return ["status", str(app), "--watch"]


def test_with_json_there_is_one_document_a_change_on_a_line_of_its_own(
    looks: list[Any], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is how it ends, and is no failure."""
    same, other = document(environment()), document(environment(live="tiny-bot@bbbbbbb"))
    looks += [same, same, other, other, same]

    assert main([*command, "--json"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [same, other, same]


def test_where_there_is_no_terminal_a_block_is_printed_on_change(
    looks: list[Any], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a single escape character: it goes into a log."""
    same, other = document(environment()), document(environment(live="tiny-bot@bbbbbbb"))
    looks += [same, same, other]

    assert main(command) == 0

    out = capsys.readouterr().out
    assert out.count("production  ") == 2
    assert out.isprintable() or "\x1b" not in out


def test_a_look_that_fails_is_shown_and_the_next_one_sees_more(
    looks: list[Any], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that goes away between two calls is no reason to stop watching."""
    found = document(environment())
    looks += [found, GreenlightError("its gateway does not answer"), OSError("gone"), found]

    assert main([*command, "--json"]) == 0

    problems = [json.loads(line)["problem"] for line in capsys.readouterr().out.splitlines()]
    assert problems == [None, "its gateway does not answer", "gone", None]


@pytest.mark.parametrize(
    ("before", "error", "code"),
    [([], GreenlightError("nothing there"), 1), ([document(environment())], Refused("changed"), 3)],
    ids=["the first look", "a record that cannot be trusted"],
)
def test_what_will_not_get_better_ends_it(
    looks: list[Any], command: list[str], before: list[Any], error: Exception, code: int
) -> None:
    looks += [*before, error]

    assert main(command) == code


def test_before_the_first_ship_there_is_nothing_to_watch_yet(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real status document has everything that the view reads."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.watch.time.sleep", interrupted)

    assert main(command) == 0
    assert "staging  nothing is live, it is not provisioned" in capsys.readouterr().out


# Without --watch


WAITING = [
    "  rollout of tiny-bot@bbbbbbb since 2026-01-01T12:00:00.000000Z, left: pause 20, 100 %",
    "  waits since 2026-01-01T12:00:38.000000Z: The last window is inconclusive.",
    "    what ends it: 38 more requests, or the deadline in 600 s.",
]
PLAIN: dict[str, tuple[list[Act], list[str]]] = {
    "it waits": (rollouts.waiting(), WAITING),
    "it has ended": (rollouts.completed(), []),
}


@pytest.mark.parametrize(("acts", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_status_once_says_what_is_waited_for_too(acts: list[Act], expected: list[str]) -> None:
    """For what, since when, and what would end it; what has ended is left to the report."""
    lines = status_lines(document(environment(acts, slots={})))

    assert lines[2:] == expected
