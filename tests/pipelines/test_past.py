"""What the ledger says of the past: which release was live, what was refused, held or measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.past import (
    BUILT,
    DESTROYED,
    DONE,
    EVIDENCE,
    FAILED,
    INTENT,
    LIVE,
    REFUSED,
    RETRY,
    RETURN_BEGUN,
    REVOKED,
    ROLLOUT_ENDED,
    LiveHistory,
    evidence_entries,
    held,
    live_history,
    refusals,
    revoked,
    seconds,
)
from release.evidence import Binding
from release.ledger import Entry

BINDING = Binding("new", "set", "policy")


def entry(kind: str, environment: str | None = None, /, **data: Any) -> Entry:
    return Entry("tiny-bot", 1, "", 0.0, kind, environment, None, None, data, (), "")


def live(release: str, environment: str = "production", *, returned: bool = False) -> Entry:
    return entry(LIVE, environment, release=release, returned=returned, reason="")


def ended(environment: str = "production") -> Entry:
    return entry(DONE, environment, step="end-rollout")


def begun(release: str, goal: str, environment: str = "production") -> Entry:
    return entry(RETURN_BEGUN, environment, release=release, goal=goal, reason=f"{release} is bad")


def retry(release: str) -> Entry:
    return entry(RETRY, release=release)


def evidence(kind: str, release: str = "new", note: str = "") -> Entry:
    return entry(
        EVIDENCE, kind=kind, release=release, evaluation_set="set", policy="policy", note=note
    )


def refused(reason: str, incumbent: str = "old", **changes: str) -> Entry:
    data = {**vars(BINDING), "incumbent": incumbent, "reasons": [reason], **changes}
    return entry(REFUSED, **data)


HISTORIES: dict[str, tuple[list[Entry], LiveHistory]] = {
    "nothing has happened": ([], LiveHistory()),
    "one release": ([live("a")], LiveHistory("a")),
    "newest first": ([live("a"), live("b"), live("c")], LiveHistory("c", ("b", "a"))),
    "another environment": ([live("a"), live("b", "staging")], LiveHistory("a")),
    "back to an older one": ([live("a"), live("b"), live("a")], LiveHistory("a", ("b",))),
    "the same again": ([live("a"), live("a")], LiveHistory("a")),
    "a release that was only built": (
        [live("a"), entry(BUILT, release="b", label="b")],
        LiveHistory("a"),
    ),
    "a step that was meant and failed": (
        [live("a"), entry(INTENT, "production", release="b"), entry(FAILED, "production")],
        LiveHistory("a"),
    ),
    "a return that was begun": (
        [live("a"), live("b"), begun("c", "b")],
        LiveHistory("b", ("a",), returning="b", returned_from="c"),
    ),
    "a return elsewhere": ([live("a"), begun("c", "b", "staging")], LiveHistory("a")),
    "a return that is live and not finished": (
        [live("a"), live("b"), begun("b", "a"), live("a", returned=True)],
        LiveHistory("a", ("b",), returning="a", returned_from="b", came_back=True),
    ),
    "a return that ended": (
        [live("a"), live("b"), begun("b", "a"), live("a", returned=True), ended()],
        LiveHistory("a", ("b",), came_back=True),
    ),
    "a return whose watcher is still to go": (
        [live("a"), live("b"), begun("b", "a"), live("a", returned=True), entry(ROLLOUT_ENDED)],
        LiveHistory("a", ("b",), returning="a", returned_from="b", came_back=True),
    ),
    "a release after a return that never said that it ended": (
        [live("a"), live("b"), begun("b", "a"), live("a", returned=True), live("c")],
        LiveHistory("c", ("a", "b")),
    ),
    "a return before anything was live": (
        [begun("a", "b")],
        LiveHistory(returning="b", returned_from="a"),
    ),
    "everything was destroyed": ([live("a"), live("b"), entry(DESTROYED)], LiveHistory()),
    "destroyed in the middle of a return": (
        [live("a"), begun("b", "a"), entry(DESTROYED)],
        LiveHistory(),
    ),
    "another environment was destroyed": (
        [live("a"), entry(DESTROYED, environments=["staging"])],
        LiveHistory("a"),
    ),
    "this one was destroyed, among others": (
        [live("a"), entry(DESTROYED, environments=["production", "staging"])],
        LiveHistory(),
    ),
    "a new start": ([live("a"), entry(DESTROYED), live("b")], LiveHistory("b")),
}


@pytest.mark.parametrize(("entries", "expected"), HISTORIES.values(), ids=HISTORIES.keys())
def test_what_was_live(entries: list[Entry], expected: LiveHistory) -> None:
    """Only what was recorded as live was live; after a destroy nothing is left to return to."""
    assert live_history(entries, "production") == expected


@given(st.lists(st.sampled_from("abc")))
def test_every_release_that_was_live_is_in_the_history_once(releases: list[str]) -> None:
    found = live_history([live(one) for one in releases], "production")

    assert found.live == (releases[-1] if releases else "")
    assert sorted((found.live, *found.before)) == (sorted(set(releases)) or [""])


HELD: dict[str, tuple[list[Entry], dict[str, str]]] = {
    "nothing": ([live("a")], {}),
    "what was brought back": ([begun("b", "a")], {"b": "b is bad"}),
    "also once it is back": ([begun("b", "a"), live("a")], {"b": "b is bad"}),
    "also after a destroy": ([begun("b", "a"), entry(DESTROYED)], {"b": "b is bad"}),
    "until it is tried again": ([begun("b", "a"), retry("b")], {}),
    "not by another's retry": ([begun("b", "a"), retry("c")], {"b": "b is bad"}),
    "again after a second return": (
        [begun("b", "a"), retry("b"), begun("b", "a")],
        {"b": "b is bad"},
    ),
    "a retry of what was not held": ([retry("b")], {}),
    "several": ([begun("b", "a"), begun("c", "a")], {"b": "b is bad", "c": "c is bad"}),
}


@pytest.mark.parametrize(("entries", "expected"), HELD.values(), ids=HELD.keys())
def test_what_is_held(entries: list[Entry], expected: dict[str, str]) -> None:
    """A release that was brought back stays back until somebody says to try it again."""
    assert held(entries) == expected


def test_a_revoked_release_stays_revoked() -> None:
    """No retry brings it back."""
    entries = [entry(REVOKED, release="a"), retry("a"), entry(DESTROYED)]

    assert revoked(entries) == {"a"}


REFUSALS: dict[str, tuple[list[Entry], tuple[str, ...]]] = {
    "nothing": ([], ()),
    "exactly this": ([refused("too low")], ("too low",)),
    "the last word": ([refused("too low"), refused("too slow")], ("too slow",)),
    "another release": ([refused("too low", release="other")], ()),
    "another set": ([refused("too low", evaluation_set="other")], ()),
    "another policy": ([refused("too low", policy="other")], ()),
    "another incumbent": ([refused("too low", incumbent="other")], ()),
    "no incumbent": ([refused("too low", incumbent="")], ()),
    "tried again": ([refused("too low"), retry("new")], ()),
    "another tried again": ([refused("too low"), retry("other")], ("too low",)),
    "refused after a retry": ([refused("a"), retry("new"), refused("b")], ("b",)),
}


@pytest.mark.parametrize(("entries", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_holds_for_exactly_what_was_refused(
    entries: list[Entry], expected: tuple[str, ...]
) -> None:
    """The same release on the same set under the same policy, against the same incumbent."""
    assert refusals(entries, BINDING, "old") == expected


def notes(entries: list[Entry], kind: str = "evaluation") -> list[str]:
    return [one.data["note"] for one in evidence_entries(entries, kind, "new")]


def test_evidence_is_looked_at_from_the_newest_on() -> None:
    """The last verification counts first."""
    entries = [evidence("evaluation", note="1"), evidence("evaluation", note="2")]

    assert notes(entries) == ["2", "1"]


def test_S10_evidence_for_another_release_or_of_another_kind_is_not_used() -> None:
    entries = [
        evidence("evaluation", release="other"),
        evidence("compliance", note="c"),
        evidence("evaluation", note="e"),
    ]

    assert notes(entries) == ["e"]
    assert notes(entries, "compliance") == ["c"]


def test_S10_a_stale_verification_is_not_used_again_after_a_retry() -> None:
    """A retry means: measure anew. What was measured before it proves nothing any more."""
    entries = [evidence("evaluation", note="old"), retry("new"), evidence("evaluation", note="new")]

    assert notes(entries[:2]) == []
    assert notes(entries) == ["new"]


def test_S10_the_retry_of_another_release_takes_no_evidence_away() -> None:
    assert notes([evidence("evaluation", note="1"), retry("other")]) == ["1"]


def test_a_step_takes_as_long_as_the_last_time() -> None:
    """Only what was done counts, not what failed."""
    entries = [
        entry(DONE, step="deploy", seconds=3),
        entry(DONE, step="deploy", seconds=2.5),
        entry(DONE, step="expose", seconds=1),
        entry(FAILED, step="deploy", reason="port taken"),
    ]

    assert seconds(entries) == {"deploy": 2.5, "expose": 1.0}
