"""The story of an environment's rollouts, read out of ledgers of every age."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analysis import Side
from pipelines.reached import progress, steps_told
from pipelines.status import rollout_document
from pipelines.story import Rollout, Story, tell
from tests.pipelines import rollouts
from tests.pipelines.rollouts import (
    ENDINGS,
    NEW,
    OLD,
    OTHER,
    SETTINGS,
    SLOW,
    START,
    Act,
    act,
    begun,
    completed,
    deploy,
    evaluate,
    expired,
    first,
    half_way,
    live,
    refused,
    returned,
    step,
    waiting,
    weigh,
    window,
    written,
)


def story(*acts: Act | Sequence[Act], where: str = "production") -> Story:
    return tell(written(*acts), where)


def last(*acts: Act | Sequence[Act], where: str = "production") -> Rollout:
    return story(*acts, where=where).rollouts[-1]


def since(rollout: Rollout, at: float | None) -> float | None:
    """Seconds from the start of the made-up day."""
    return None if at is None else round(at - START, 3)


@pytest.mark.parametrize(("acts", "outcome", "reason"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_rollout_ends_as_the_ledger_says_and_for_its_reason(
    acts: list[Act], outcome: str, reason: str
) -> None:
    """And it is told from which release to which, in which slot."""
    found = last(acts)

    assert (found.outcome, found.release, found.previous) == (outcome, NEW, OLD)
    assert found.reason.startswith(reason)
    assert found.slot == "green"
    assert (found.ended is None) == (outcome == "under way")
    assert since(found, found.begun) == 0


WEIGHTS: dict[str, tuple[list[Act], list[tuple[float, dict[str, int]]]]] = {
    "completed": (
        completed(),
        [(0, {"blue": 100}), (16.5, {"blue": 75, "green": 25}), (61.5, {"blue": 0, "green": 100})],
    ),
    "returned": (
        returned(),
        [(0, {"blue": 100}), (16.5, {"blue": 75, "green": 25}), (38.3, {"blue": 100})],
    ),
    "before any weight": (begun(), [(0, {"blue": 100})]),
}


@pytest.mark.parametrize(("acts", "expected"), WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_are_those_that_were_read_back_after_those_found(
    acts: list[Act], expected: list[tuple[float, dict[str, int]]]
) -> None:
    found = last(first(), acts)

    assert [(since(found, one.at), one.slots) for one in found.weights] == expected


def test_an_intended_weight_that_was_never_read_back_is_no_weight() -> None:
    found = last(first(), begun(), weigh(16, blue=75, green=25)[:1])

    assert [one.slots for one in found.weights] == [{"blue": 100}]
    assert "set-weights blue 75 %, green 25 % was begun" in found.lines[-1].text


def test_windows_hold_both_sides_and_their_verdicts() -> None:
    """Green is the new release, None where it was not asked; unknown is not zero."""
    found = last(first(), returned())

    baseline, good, bad = found.windows
    assert (baseline.phase, baseline.green, baseline.verdicts) == ("baseline", None, ())
    assert good.green == Side(100, 0, 0, 0, 2, 0.4, 0.8, 0.2, 0.03)
    assert [(one.metric, one.outcome) for one in bad.verdicts] == [
        ("errors", "pass"), ("latency_p95_seconds", "fail")
    ]  # fmt: skip
    assert bad.verdicts[1].reason == SLOW


def test_what_a_later_version_adds_to_a_window_is_passed_over() -> None:
    entry = window(17, 25, green={**rollouts.side(), "tokens": 9}, colour="red")

    assert last(first(), begun(), entry).windows[-1].green == Side(
        100, 0, 0, 0, 2, 0.4, 0.8, 0.2, 0.03
    )


WAITS: dict[str, tuple[Act, float | None]] = {
    "a step that was begun": (step(50, "set-weights", weights={})[0], 50),
    "a step that was done": (step(49.5, "set-weights", "production", {"weights": {}})[1], 50),
    "the end of the rollout": (
        act(50, "rollout-ended", release=NEW, outcome="expired", reason=""),
        50,
    ),
    "a return that begins does not end it": (
        act(50, "return-begun", release=NEW, goal=OLD, reason=""),
        None,
    ),
    "a lease that is renewed does not end it": (act(50, "lease-renewed"), None),
    "another environment's step does not end it": (
        act(50, "done", "staging", step="deploy", seconds=1),
        None,
    ),
}


@pytest.mark.parametrize(("entry", "until"), WAITS.values(), ids=WAITS.keys())
def test_a_wait_lasts_until_something_ends_it(entry: Act, until: float | None) -> None:
    """It says for what, since when, and what would end it."""
    found = last(first(), waiting(), entry)

    (wait,) = found.waits
    assert wait.reason == "The last window is inconclusive."
    assert wait.ends == "38 more requests, or the deadline in 600 s."
    assert (since(found, wait.since), since(found, wait.until)) == (38, until)
    assert (found.waiting is None) == (until is not None)


WORDS: dict[str, Act] = {
    "resumed": act(50, "resumed", index=-1, at_work=False),
    "approved": act(50, "approved", by="ops", comment="", index=1),
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
def test_after_a_persons_word_whoever_ships_it_on_is_waited_for(word: Act) -> None:
    """Until a step of theirs begins."""
    found = last(first(), waiting(), word)
    on = last(first(), waiting(), word, step(60, "set-weights", weights={})[:1])

    assert [since(found, one.until) for one in found.waits] == [50, None]
    assert found.waiting is not None
    assert found.waiting.reason == "somebody to ship it on"
    assert [since(on, one.until) for one in on.waits] == [50, 60]


def test_a_pause_by_hand_is_over_when_it_is_resumed() -> None:
    """Whoever paused it is waited for; the command is still there, and goes on."""
    wait = act(
        50, "waiting", **{"for": "lunch", "since": START + 50, "ends": "r", "until": "pause"}
    )
    found = last(first(), half_way(), wait, act(60, "resumed", index=-1, at_work=True))

    assert [since(found, one.until) for one in found.waits] == [60]


def test_a_new_wait_ends_the_one_before() -> None:
    again = act(70, "waiting", **{"for": "An approval.", "since": START + 70, "ends": "One."})
    found = last(first(), waiting(), again)

    assert [since(found, one.until) for one in found.waits] == [70, None]
    assert found.waiting == found.waits[1]


def test_gates_are_those_of_the_release_in_whatever_environment_it_was_evaluated() -> None:
    """The newest before the end; another release's are not shown."""
    other = evaluate(-500, OTHER, OLD)
    found = last(first(), other, completed())

    assert [(one.metric, one.outcome, one.value) for one in found.gates] == [
        ("f1", "pass", 0.81), ("latency_p95_seconds", "pass", 0.9)
    ]  # fmt: skip
    assert last(first(), other, begun(OTHER)[1:]).gates
    assert not last(first(), evaluate(-60, NEW), begun(OTHER)[2:]).gates


def test_a_refusal_ends_the_story_where_the_release_was_and_is_told_where_it_was_going() -> None:
    acts = [*first(), *refused()]

    staging = last(acts, where="staging")
    assert (staging.outcome, staging.reason) == ("refused", "f1 is 0.31, the limit is at least 0.5")
    assert [(one.outcome, one.reason) for one in staging.gates] == [("fail", staging.reason)]

    production = story(acts)
    assert [one.release for one in production.rollouts] == [OLD]
    assert [(one.release, one.reasons) for one in production.refusals] == [
        (NEW, ("f1 is 0.31, the limit is at least 0.5",))
    ]


CUTS: dict[str, tuple[list[Act], list[tuple[str, str]]]] = {
    "nothing": ([], []),
    "only leases": ([act(0, "lease"), act(1, "lease-renewed")], []),
    "another environment": (deploy(0, NEW, "blue", "staging"), []),
    "one after the other": (
        [*first(), *completed()],
        [(OLD, "completed"), (NEW, "completed")],
    ),
    "the same again after a lease ran out": (
        [*first(), *expired(), *begun()],
        [(OLD, "completed"), (NEW, "expired"), (NEW, "under way")],
    ),
    "taken up again after a kill": (
        [*first(), *half_way(), *begun()[2:3], *weigh(90, green=100)],
        [(OLD, "completed"), (NEW, "under way")],
    ),
    "another one in its place": (
        [*first(), *half_way(), *begun(OTHER)],
        [(OLD, "completed"), (NEW, "taken over"), (OTHER, "under way")],
    ),
    "a return by hand, long after": (
        [*first(), *completed(), act(900, "return-begun", release=NEW, goal=OLD, reason="by hand"),
         *deploy(901, OLD, "blue"), *weigh(902, blue=100), *live(903, OLD, returned=True)],
        [(OLD, "completed"), (NEW, "completed"), (NEW, "returned")],
    ),
    "an approval that is waited for before it begins": (
        [*first(), act(-5, "waiting", release=NEW, **{"for": "a", "since": START, "ends": "b"}),
         *begun()[2:]],
        [(OLD, "completed"), (NEW, "under way")],
    ),
    "destroyed on the way": (
        [*first(), *half_way(), act(60, "destroyed", None)],
        [(OLD, "completed"), (NEW, "destroyed")],
    ),
    "destroyed afterwards": ([*first(), act(60, "destroyed", None)], [(OLD, "completed")]),
    "a new start": (
        [*first(), act(60, "destroyed", None), *deploy(70, OLD, "blue"), *live(71, OLD)],
        [(OLD, "completed"), (OLD, "completed")],
    ),
    "the live release is started again": (
        [*first(), *deploy(60, OLD, "blue"), *weigh(61, blue=100)],
        [(OLD, "completed")],
    ),
    "an old ledger's rollout that is under way": (
        [*first(), *deploy(0, NEW, "green"), *weigh(2, blue=95, green=5)],
        [(OLD, "completed"), (NEW, "under way")],
    ),
    "an old ledger's return": (
        [*first(), *deploy(0, NEW, "green"), *weigh(2, blue=95, green=5),
         act(3, "return-begun", release=NEW, goal=OLD, reason="slow"), *weigh(4, blue=100),
         *live(5, OLD, returned=True), *step(6, "retire", slot="green", release=NEW)],
        [(OLD, "completed"), (NEW, "returned")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("acts", "expected"), CUTS.values(), ids=CUTS.keys())
def test_a_ledger_is_cut_into_rollouts(acts: list[Act], expected: list[tuple[str, str]]) -> None:
    """By their own marks where there are any, else by what was deployed and recorded as live."""
    assert [(one.release, one.outcome) for one in story(acts).rollouts] == expected


def test_what_is_put_beside_the_candidate_to_be_compared_with_has_no_rollout() -> None:
    """Staging lost the live release, and gets it back for the evaluation."""
    acts = [
        *live(-900, OLD), *deploy(-80, OLD, "blue", "staging"),
        *deploy(-70, NEW, "green", "staging"), *evaluate(-60, NEW, OLD),
    ]  # fmt: skip

    assert [one.release for one in story(acts, where="staging").rollouts] == [NEW]


def test_what_follows_the_end_still_belongs_to_it() -> None:
    """A slot is retired after the release is live; the axis of its charts ends where it ended."""
    found = last(first(), completed())

    assert found.lines[-1].text == "retire blue tiny-bot@aaaaaaa"
    assert since(found, found.last) == 75


def test_it_is_told_line_by_line_with_reasons() -> None:
    """Each step once it has ended; windows that passed are left to the table."""
    found = last(first(), returned())

    assert [(since(found, one.at), one.text, one.tone) for one in found.lines] == [
        (0, "the rollout to tiny-bot@bbbbbbb from tiny-bot@aaaaaaa began", "plain"),
        (1.5, "deploy green tiny-bot@bbbbbbb", "plain"),
        (16.5, "set-weights blue 75 %, green 25 %", "plain"),
        (37, "window at 25 %: fail", "bad"),
        (37.2, "a return from tiny-bot@bbbbbbb to tiny-bot@aaaaaaa began", "bad"),
        (38.3, "set-weights blue 100 %", "plain"),
        (39.2, "tiny-bot@aaaaaaa is live again", "good"),
        (40, "the rollout ended: returned", "bad"),
        (41.5, "retire green tiny-bot@bbbbbbb", "plain"),
    ]
    assert found.lines[3].reason == SLOW


LINES: dict[str, tuple[list[Act], str, str]] = {
    "a step that failed": (
        [act(50, "intent", step="deploy", slot="green", release=NEW),
         act(51, "failed", step="deploy", reason="no port is free")],
        "deploy green tiny-bot@bbbbbbb failed", "no port is free",
    ),
    "a step that was cut and begun again": (
        [act(50, "intent", step="retire", slot="blue", release=OLD, reason="why"),
         act(51, "intent", step="retire", slot="blue", release=OLD)],
        "retire blue tiny-bot@aaaaaaa was begun, and its end is not recorded", "",
    ),
    "checks": (
        step(50, "check", "production", {"synthetic": 8, "slowest_seconds": 0.63}, slot="green"),
        "check green; 8 evaluation queries, synthetic; the slowest took 0.63 s",
        "check has its reason",
    ),
    "a drain that cut": (
        step(50, "retire", "production", {"cut": 3}, slot="blue"),
        "retire blue; 3 requests were cut at the deadline", "retire has its reason",
    ),
    "a step of a later version": (
        step(50, "mirror", "production", slot="green"), "mirror green", "mirror has its reason"
    ),
    "a wait": (
        [act(50, "waiting", **{"for": "An approval.", "since": START, "ends": "Somebody."})],
        "it waits: An approval.", "what ends it: Somebody.",
    ),
    "a pause": (
        [act(50, "paused", release=NEW, reason="lunch")], "it was paused by hand", "lunch"
    ),
    "an approval": (
        [act(50, "approved", by="k1", comment="looked at it", index=1)],
        "it was approved by k1", "looked at it",
    ),
    "a lease that was taken over": (
        [act(50, "lease", verb="rollback", replaces={"why": "taken over", "fence": 1})],
        "rollback took the lease over", "the one before it: taken over",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("acts", "text", "reason"), LINES.values(), ids=LINES.keys())
def test_a_line_for_what_happened(acts: list[Act], text: str, reason: str) -> None:
    line = last(first(), begun(), acts).lines[-1]

    assert (line.text, line.reason) == (text, reason)


QUIET: dict[str, Act] = {
    "a hold, which has said what it waits for": act(50, "failed", step="hold", reason="waits"),
    "a lease": act(50, "lease", verb="ship", replaces=None),
    "after one that was given back": act(50, "lease", verb="ship", replaces={"why": "released"}),
    "a renewal": act(50, "lease-renewed"),
    "a kind of a later version": act(50, "mirrored", colour="red"),
}


@pytest.mark.parametrize("entry", QUIET.values(), ids=QUIET.keys())
def test_no_line_for_what_says_nothing(entry: Act) -> None:
    assert last(first(), begun(), entry).lines == last(first(), begun()).lines


@given(st.data())
def test_any_beginning_of_a_ledger_has_a_story(data: Any) -> None:
    """A report can be asked for at any moment: whatever is cut off, nothing breaks."""
    name = data.draw(st.sampled_from(sorted(ENDINGS)))
    entries = written(ENDINGS[name][0], refused())
    cut = data.draw(st.integers(0, len(entries)))

    for where in ("staging", "production"):
        for one in tell(entries[:cut], where).rollouts:
            assert one.begun <= one.last
            assert all(line.sequence <= cut for line in one.lines)


def test_status_tells_how_a_rollout_stands() -> None:
    """One document with the last window, what it waits for, and the steps done and left."""
    found = rollout_document("tiny-bot", last(first(), waiting()), SETTINGS)

    assert {name: found[name] for name in ("release", "from", "slot", "outcome", "ended")} == {
        "release": "tiny-bot@bbbbbbb", "from": "tiny-bot@aaaaaaa", "slot": "green",
        "outcome": "under way", "ended": None,
    }  # fmt: skip
    assert found["waiting"] == {
        "for": "The last window is inconclusive.", "since": "2026-01-01T12:00:38.000000Z",
        "ends": "38 more requests, or the deadline in 600 s.",
    }  # fmt: skip
    assert found["steps"] == {"done": ["25 %"], "left": ["pause 20", "100 %"]}
    assert (found["window"]["started"], found["window"]["replayed"]) == (
        "2026-01-01T12:00:27.000000Z", True
    )  # fmt: skip
    assert [one["outcome"] for one in found["gates"]] == ["pass", "pass"]
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, allow_nan=False))


def test_before_there_is_a_window_status_has_none() -> None:
    found = rollout_document("tiny-bot", last(first()), {})

    assert (found["window"], found["waiting"], found["from"]) == (None, None, None)
    assert found["steps"] == {"done": [], "left": []}


STEPS: dict[str, tuple[list[Act], list[str], list[str]]] = {
    "nothing yet": (begun(), [], ["25 %", "pause 20", "100 %"]),
    "the first weight": (half_way(), ["25 %"], ["pause 20", "100 %"]),
    "and its pause": (
        [*half_way(), *step(38, "analyse", "production", {"index": 1})],
        ["25 %", "pause 20"],
        ["100 %"],
    ),
    "completed": (completed(), ["25 %", "pause 20", "100 %"], []),
    "returned": (returned(), ["25 %"], []),
}


@pytest.mark.parametrize(("acts", "done", "left"), STEPS.values(), ids=STEPS.keys())
def test_steps_are_done_up_to_the_last_weight_or_pause(
    acts: list[Act], done: list[str], left: list[str]
) -> None:
    """Once it has ended, none is left."""
    assert progress(last(first(), acts), SETTINGS) == {"done": done, "left": left}


def test_steps_in_words() -> None:
    settings = {"steps": [{"set_weight": 5, "pause": None}, {"pause": {}}, {"approval": "ops"}]}

    assert steps_told(settings) == ("5 %", "pause", "approval ops")
    assert steps_told({}) == ()
