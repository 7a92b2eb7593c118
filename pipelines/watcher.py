"""``python -m pipelines.watcher APP ENV``: stands by while a rollout is under way.

The command that began a rollout may be killed, stopped or cut off; this process belongs to the
environment's supervisor and outlives it. It looks, and writes only when it has to: a rollout whose
lease is not renewed is brought back, unjudged; a release that gets worse while it waits or soaks is
brought back and held; what stood by is retired when its time is over. To write it takes the lease
like anybody else, so whoever held it before is refused by the fence.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipelines import past, story
from pipelines.analysis import Side, Tally, Window
from pipelines.apply import apply
from pipelines.bringing_back import plan_return, plan_stand_down
from pipelines.clock import SYSTEM
from pipelines.gather import gather_for_return
from pipelines.observe import Look, Reading, measure_window, read
from pipelines.reporting import Reporter
from pipelines.run import WATCH, Run, open_run
from pipelines.targets.base import Target
from pipelines.workspace import Workspace, open_running
from release.errors import DONE, GreenlightError
from release.lease import is_gone
from release.ledger import Entry
from release.ledger.leases import Status, current_lease

LOOK_SECONDS = 1.0
LONGEST_PAUSE = 60.0  # seconds between turns that fail
NOTHING = Tally()


@dataclass(frozen=True)
class Situation:
    """What the watcher decides from. ``silent_for``: seconds since the last entry under a lease;
    ``live_for``: seconds since the release was recorded as live. Both by this process's own clock,
    so that a clock that jumps ends neither a lease nor a soak. ``unseen``: why nobody knows how the
    release does.
    """

    rollout: past.RolloutHistory | None
    returning: bool
    held: bool
    silent_for: float
    live_for: float = 0.0
    seen: Tally = NOTHING
    reasons: tuple[str, ...] = ()
    unseen: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do: one of wait, look, return, stand down, finish, leave. With the reason."""

    act: str
    reason: str = ""
    hold: bool = False


def decide(now: Situation) -> Decision:
    """What the watcher does next. Pure."""
    rollout = now.rollout
    if now.returning:
        return Decision("wait" if now.held else "finish", "a return was begun and is not finished")
    if rollout is None:
        return Decision("wait" if now.held else "leave", "no rollout is under way")
    limit = rollout.settings.analysis
    soaks = rollout.live_since is not None
    if now.seen.verdict(limit) == "return" and (soaks or not now.held):
        return Decision("return", "; ".join(now.reasons), hold=True)
    if soaks:
        return _after_the_switch(rollout, now)
    if rollout.waiting is not None and not now.held:
        return Decision("look", "somebody is waited for")
    if now.silent_for > rollout.settings.lease_duration:
        reason = f"nobody renewed the lease of the rollout for {now.silent_for:.0f} s"
        return Decision("return", reason)
    return Decision("wait", "somebody is at work")


def _after_the_switch(rollout: past.RolloutHistory, now: Situation) -> Decision:
    """Whoever holds the lease now ships the next one: what users have meanwhile is looked at."""
    if now.live_for >= rollout.stands_by and not now.held:
        if rollout.settings.soak and now.unseen:
            return Decision("look", f"its time is over, and {now.unseen}")
        return Decision("stand down", "soak and scale-down delay are over")
    if now.live_for < rollout.settings.soak:
        return Decision("look", "the release soaks")
    return Decision("wait", "what was live stands by")


@dataclass
class Stopwatch:
    """Seconds since something began to be so, by a clock that nobody can set."""

    clock: Callable[[], float]
    _of: object = None
    _since: float = 0.0

    def seconds(self, of: object, already: float = 0.0) -> float:
        """Seconds since ``of`` was first seen, when it had been so for ``already`` seconds."""
        if of != self._of:
            self._of, self._since = of, self.clock() - already
        return self.clock() - self._since


def newest_under_a_lease(entries: tuple[Entry, ...], environment: str) -> int:
    """The sequence of the newest entry that a holder of the lease wrote, 0 without any."""
    mine = (e.sequence for e in reversed(entries) if e.environment == environment and e.fence)
    return next(mine, 0)


class Times:
    """What outlives a watcher that had to begin anew: since when it is silent, and live."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.silence, self.soak = Stopwatch(clock), Stopwatch(clock)


class Watcher:
    """One environment's watcher."""

    def __init__(
        self, workspace: Workspace, environment: str, reporter: Reporter,
        times: Times | None = None,
    ) -> None:  # fmt: skip
        self._workspace, self._environment, self._reporter = workspace, environment, reporter
        self._ledger = workspace.open_ledger()
        self._clock = workspace.clock
        self._times = times or Times(self._clock.monotonic)
        self._too_little: tuple[Look, Reading] | None = None
        self._release, self._seen, self._reasons = "", NOTHING, tuple[str, ...]()
        self._unseen = ""

    @property
    def _target(self) -> Target:
        return self._workspace.targets[self._environment]

    def turn(self) -> bool:
        """Look once and do what has to be done; False when there is nothing left to watch."""
        entries = self._ledger.refresh()
        situation = self._situation(entries)
        decision = decide(situation)
        match decision.act:
            case "leave":
                return self._leave()
            case "look" if situation.rollout is not None:
                self._look(situation.rollout)
            case "return" | "finish":
                self._bring_back(decision)
            case "stand down" if situation.rollout is not None:
                self._stand_down(situation.rollout)
        return True

    def _situation(self, entries: tuple[Entry, ...]) -> Situation:
        name, now = self._environment, self._clock.time()
        rollout = past.rollout(entries, name)
        lease = current_lease(entries, now, name)
        silent = self._times.silence.seconds(newest_under_a_lease(entries, name))
        held = (
            lease is not None
            and lease.status is not Status.RELEASED
            and silent < lease.lease.ttl
            and not is_gone(lease.lease.holder)
        )
        returning = bool(past.live_history(entries, name).returning)
        live = self._live_for(rollout, now) if rollout else 0.0
        if rollout is not None and rollout.release != self._release:
            self._release, self._seen = rollout.release, NOTHING
            self._unseen = "nobody has looked at it"
            for one in past.soak_windows(entries, name):  # what a watcher before this one saw
                self._add(story.window(one))
                self._unseen = ""
        seen = self._seen, self._reasons, self._unseen
        return Situation(rollout, returning, held, silent, live, *seen)

    def _add(self, window: Window) -> None:
        self._seen, self._reasons = self._seen.add(window), window.reasons

    def _live_for(self, rollout: past.RolloutHistory, now: float) -> float:
        """The wall clock says it once, when it is first seen; a clock that went back says 0."""
        if rollout.live_since is None:
            return 0.0
        already = max(0.0, now - rollout.live_since)
        return self._times.soak.seconds((rollout.release, rollout.live_since), already)

    def _look(self, rollout: past.RolloutHistory) -> None:
        """One window of what users send; none is replayed. Too few of them judge nothing: the
        next window goes on from where this one began.
        """
        target = self._target
        weight = target.facts().weights.get(rollout.slot, 0)
        baseline = Side(**rollout.baseline) if rollout.baseline else None
        blue, analysis = rollout.blue, rollout.settings.analysis
        look = Look("soak", target, rollout.slot, blue, weight, analysis, baseline, self._clock)
        begun = self._too_little[1] if self._too_little and self._too_little[0] == look else None
        begun = begun or read(look)
        window = asyncio.run(measure_window(look, None, begun))
        few = window.green is not None and window.green.requests < analysis.min_requests
        self._too_little = (look, begun) if few else None
        counted = window.green is not None
        self._unseen = "" if counted else f"it is not measured: {'; '.join(window.reasons)}"
        if window.outcome != "inconclusive":
            self._record(rollout, window)

    def _record(self, rollout: past.RolloutHistory, window: Window) -> None:
        now = past.rollout(self._ledger.refresh(), self._environment)
        if now is None or now.begun != rollout.begun:
            return  # somebody began another one meanwhile, of which this says nothing
        self._add(window)
        data = {"release": rollout.release, "from": rollout.before, "slot": rollout.slot}
        self._ledger.append(past.WINDOW, self._environment, {**data, **window.as_json()})

    def _bring_back(self, decision: Decision) -> None:
        """Whoever is at work has to give way: they hang, or ship the next one over a sick one."""
        with self._run(takeover=True) as run:
            facts = gather_for_return(run.workspace, run.ledger.refresh(), self._environment)
            there = facts.environment(self._environment)
            if there.rollout is None and not there.returning:
                return  # somebody was quicker
            to = there.rollout.before if there.rollout else ""
            bad = there.rollout.release if there.rollout else ""
            reason = f"watcher: {decision.reason}"
            apply(run, plan_return(facts, there.name, reason, to=to, bad=bad, hold=decision.hold))

    def _stand_down(self, rollout: past.RolloutHistory) -> None:
        """What stands by is the only way back while the live release answers nobody."""
        live = self._target.facts().slots.get(rollout.slot)
        if live is None or not live.reachable:
            self._look(rollout)
            return
        with self._run() as run:
            facts = gather_for_return(run.workspace, run.ledger.refresh(), self._environment)
            apply(run, plan_stand_down(facts, self._environment))

    def _leave(self) -> bool:
        if not self._target.facts().watched:
            return False
        with self._run() as run:
            entries = run.ledger.refresh()
            if past.rollout(entries, self._environment) is None:
                run.target(self._environment).watch(False, run.lease(self._environment).fence)
        return False

    def _run(self, takeover: bool = False) -> AbstractContextManager[Run]:
        return open_run(self._workspace, WATCH, (self._environment,), self._reporter, takeover)


class Log:
    """Says in the environment's log what the watcher does."""

    def step(self, text: str) -> None:
        """A step begins."""
        self.note(f"• {text}")

    def note(self, text: str) -> None:
        """One line, with the time."""
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Nothing: a log has no bar."""


def stand_watch(
    opened: Callable[[], Watcher], log: Log, stop: threading.Event, look: float = LOOK_SECONDS
) -> None:
    """Watch until there is nothing left to watch, or ``stop``. A turn that fails is said once,
    however long it lasts, and tried again with longer and longer pauses.
    """
    said, pause = "", look
    while not stop.is_set():
        try:
            watcher = opened()
            while not stop.is_set() and watcher.turn():
                said, pause = "", look
                stop.wait(look)
            return
        except (GreenlightError, OSError) as error:
            if str(error) != said:
                log.note(said := str(error))
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)  # each turn that fails is in the ledger


def main() -> int:
    """Watch on this machine until there is nothing left to watch."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.watcher", description=__doc__)
    parser.add_argument("app", type=Path)
    parser.add_argument("environment")
    options = parser.parse_args()
    log, stop, times = Log(), threading.Event(), Times(SYSTEM.monotonic)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # a turn that was begun is finished

    def opened() -> Watcher:
        return Watcher(open_running(options.app), options.environment, log, times)

    stand_watch(opened, log, stop)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
