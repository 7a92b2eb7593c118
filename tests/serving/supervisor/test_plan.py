"""Every decision of the supervisor about one process, as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.processes import Identity
from serving.supervisor.plan import (
    FAILED_AFTER,
    LONGEST_PAUSE,
    SILENT_SECONDS,
    STEADY_SECONDS,
    Act,
    Answer,
    Kind,
    Life,
    Seen,
    Unit,
    advance,
    crashed,
    pause,
    still_wanted,
    while_stopping,
)

NOW = 1000.0
RUNNING = Seen(alive=True)
WELL = Seen(alive=True, answer=Answer(answered=True, healthy=True))
LOADING = Seen(alive=True, answer=Answer(answered=True, healthy=False, reason="loading"))
SILENT = Seen(alive=True, answer=Answer(answered=False, healthy=False, reason="silent"))
DEAD = Seen(alive=False, reason="ended by SIGKILL")
HOPELESS = Seen(alive=False, reason="the digest is wrong", hopeless=True)


def unit(
    name: str = "gateway", kind: Kind = "gateway", command: str = "v1", engine: str = ""
) -> Unit:
    return Unit(name, kind, (command,), "run/x.sock", "/health", grace=5.0, engine=engine)


NEW = Life(unit())
UP = Life(unit(), process=Identity(7, 1.0))
READY = replace(UP, ready=True, healthy_since=NOW - 1, answered_at=NOW - 1)
OTHER = unit(command="v2")
STOPPING = replace(READY, ready=False, kill_at=NOW + 5)

CASES = {
    "a wanted process is started": (unit(), NEW, DEAD, (NEW, Act.START)),
    "one that runs is left alone": (unit(), UP, RUNNING, (UP, Act.NOTHING)),
    "a healthy one is ready": (
        unit(),
        UP,
        WELL,
        (replace(UP, ready=True, healthy_since=NOW, answered_at=NOW), Act.NOTHING),
    ),
    "one that is loading says so": (
        unit(),
        UP,
        LOADING,
        (replace(UP, reason="loading", answered_at=NOW), Act.NOTHING),
    ),
    "one that is not wanted is asked to end": (
        None,
        READY,
        RUNNING,
        (STOPPING, Act.TERMINATE),
    ),
    "one that is ending is waited for": (None, STOPPING, RUNNING, (STOPPING, Act.NOTHING)),
    "one that does not end in time is killed": (
        None,
        replace(STOPPING, kill_at=NOW),
        RUNNING,
        (replace(STOPPING, kill_at=NOW), Act.KILL),
    ),
    "one that has ended and is not wanted is forgotten": (
        None,
        STOPPING,
        DEAD,
        (None, Act.NOTHING),
    ),
    "one with another command is ended first": (
        OTHER,
        READY,
        RUNNING,
        (STOPPING, Act.TERMINATE),
    ),
    "and replaced when it is gone": (OTHER, STOPPING, DEAD, (Life(OTHER), Act.START)),
    "one that is wanted again while it ends is started afresh": (
        unit(),
        STOPPING,
        DEAD,
        (Life(unit()), Act.START),
    ),
    "a crash is waited out": (
        unit(),
        READY,
        DEAD,
        (
            Life(unit(), reason="ended by SIGKILL", restarts=1, crashes=1, retry_at=NOW + pause(1)),
            Act.NOTHING,
        ),
    ),
    "what cannot get better has failed at once": (
        unit(),
        UP,
        HOPELESS,
        (
            Life(
                unit(),
                failed=True,
                reason="the digest is wrong",
                restarts=1,
                crashes=1,
                retry_at=NOW + LONGEST_PAUSE,
            ),
            Act.NOTHING,
        ),
    ),
    "a crash of another command does not delay this one": (
        OTHER,
        crashed(UP, "bad", False, NOW),
        DEAD,
        (Life(OTHER), Act.START),
    ),
    "before the pause is over nothing happens": (
        unit(),
        replace(NEW, retry_at=NOW + 0.1),
        DEAD,
        (replace(NEW, retry_at=NOW + 0.1), Act.NOTHING),
    ),
    "one that was never healthy may stay silent": (
        unit(),
        UP,
        SILENT,
        (replace(UP, reason="silent"), Act.NOTHING),
    ),
    "one that falls silent is not ready": (
        unit(),
        READY,
        SILENT,
        (replace(READY, ready=False, healthy_since=None, reason="silent"), Act.NOTHING),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decision(case: str) -> None:
    """The case's name is the behaviour."""
    wanted, life, seen, expected = CASES[case]

    assert advance(wanted, life, seen, NOW) == expected


def test_one_that_hangs_is_killed_and_counts_as_crashed() -> None:
    """Silence for long enough ends a process that used to answer."""
    silent = replace(READY, answered_at=NOW - SILENT_SECONDS)

    life, act = advance(unit(), silent, SILENT, NOW)
    assert act is Act.KILL
    assert life is not None

    after, act = advance(unit(), life, DEAD, NOW)
    assert after is not None
    assert (after.crashes, act) == (1, Act.NOTHING)
    assert after.reason.startswith("hung")


def test_steady_health_leaves_crashes_behind() -> None:
    """After a minute of health the next crash is the first again."""
    steady = replace(READY, crashes=4, healthy_since=NOW - STEADY_SECONDS)

    life, _ = advance(unit(), steady, WELL, NOW)

    assert life is not None
    assert life.crashes == 0


def test_s06_it_has_failed_after_crashes_in_a_row_and_is_still_tried() -> None:
    """A process that keeps crashing is called failed, with its reason, and tried slowly."""
    life = NEW
    for _ in range(FAILED_AFTER):
        assert not life.failed
        life = crashed(life, "port taken", False, NOW)

    assert (life.failed, life.reason, life.retry_at) == (True, "port taken", NOW + LONGEST_PAUSE)
    assert advance(unit(), life, DEAD, life.retry_at)[1] is Act.START


def test_failed_ends_with_health_only() -> None:
    """A failed process that runs again is not yet well."""
    failed = replace(UP, failed=True, reason="bad")

    assert advance(unit(), failed, RUNNING, NOW)[0] == failed
    recovered, _ = advance(unit(), failed, WELL, NOW)
    assert recovered is not None
    assert (recovered.failed, recovered.reason) == (False, "")


@given(st.integers(1, 10_000))
def test_pauses_grow_and_are_bounded(crashes: int) -> None:
    """No crash count waits less than the one before, nor longer than the longest."""
    assert 0 < pause(crashes) <= pause(crashes + 1) <= LONGEST_PAUSE


def test_an_engine_outlives_the_applications_that_ask_it() -> None:
    """When a slot goes, its engine stays until its application has ended."""
    engine, application = unit("e", "engine"), unit("a", "application", engine="e")
    lives = {"e": Life(engine), "a": Life(application)}

    assert still_wanted({}, lives) == {"e": engine}
    assert still_wanted({}, {"e": Life(engine)}) == {}


def test_everything_stops_in_order() -> None:
    """Gateway, then applications, then engines: callers are answered to the end."""
    units = {
        "g": unit("g", "gateway"),
        "a": unit("a", "application", engine="e"),
        "e": unit("e", "engine"),
    }
    lives = {name: Life(one) for name, one in units.items()}

    assert while_stopping(units, lives).keys() == {"a", "e"}
    del lives["g"]
    assert while_stopping(units, lives).keys() == {"e"}
    del lives["a"]
    assert while_stopping(units, lives).keys() == set()
