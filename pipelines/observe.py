"""Looking at traffic: windows are measured, judged and recorded, one after the other.

Where users send too little, evaluation queries are replayed to both slots in turn, marked as
synthetic; every window says whether that was so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines import past
from pipelines.analysis import (
    Finding,
    Reach,
    Side,
    Tally,
    Window,
    judge,
    judge_reach,
    side,
)
from pipelines.asking import NoAnswerError, UnansweredError, ask_once, ask_stream, open_session
from pipelines.clock import SYSTEM, Clock
from pipelines.run import BreachError, Run
from pipelines.steps import Analyse, Baseline
from pipelines.targets.base import Measured, Target
from release.bundle import label
from release.errors import GreenlightError, Waiting
from release.rollout_section import Analysis

TICK = 0.25  # seconds between looks within a window
LONGEST = 3.0  # times the interval, after which a window is judged with what it has
PAUSE = 1.0  # seconds before who got no answer asks again
LOOK_FIRST = 0.25  # share of the interval after which it is known whether users are there

PAUSED_BY = "whoever paused it by hand"

Phase = Literal["baseline", "step", "soak"]


@dataclass(frozen=True)
class Look:
    """What a window needs: where, which slots, and how it is judged. A slot may be empty.

    ``back``: the slot to go back to; ``weight``: per cent of requests on green.
    """

    phase: Phase
    target: Target
    green: str
    back: str
    weight: int
    analysis: Analysis
    baseline: Side | None = None
    clock: Clock = SYSTEM

    @property
    def blue(self) -> str:
        """What green is compared with: nothing where nobody is sent there any more."""
        return self.back if self.weight < 100 else ""


@dataclass(frozen=True)
class Reading:
    """The counts of the slots at one moment; what could not be read is left out, never zero.

    ``why``: by slot, what kept it from being read.
    """

    counts: Mapping[str, Measured]
    at: float
    monotonic: float
    why: Mapping[str, str] = field(default_factory=dict)


def observe_baseline(run: Run, step: Baseline) -> Window:
    """Blue alone, for one window. A baseline that cannot be measured ends the rollout."""
    look = Look(
        "baseline", run.target(step.environment), "", step.slot, 0, _analysis(run), clock=run.clock
    )
    window = _window(run, look, step.release, step.environment)
    _record(run, step.environment, window, release="", before=step.release, slot=step.slot)
    if window.blue is None or window.blue.requests == 0:
        why = window.why.get(step.slot) or "nothing was counted in time"
        raise GreenlightError(
            f"{step.environment}: blue could not be measured: {why.rstrip('.')}. Run again"
        )
    return window


def observe_step(run: Run, step: Analyse) -> tuple[Window, ...]:
    """Windows until the pause is over. BreachError when one limit too many was passed."""
    name, analysis = step.environment, _analysis(run)
    history = past.rollout(run.ledger.refresh(), name)
    baseline = Side(**history.baseline) if history and history.baseline else None
    target = run.target(name)
    look = Look("step", target, step.slot, step.blue, step.weight, analysis, baseline, run.clock)
    windows: list[Window] = []
    found, now = Tally(), run.clock.monotonic
    end, patience = now() + step.seconds, run.workspace.spec.rollout.progress_deadline
    deadline = end + patience
    while now() < end or _is_open(windows) or _is_paused(run, name):
        _tell_of_a_pause(run, name)
        window = _window(run, look, step.release, name)
        before = history.before if history else ""
        _record(run, name, window, release=step.release, before=before, slot=step.slot)
        windows.append(window)
        found = found.add(window)
        _act_on(run, step, window, found, analysis)
        if _is_paused(run, name):  # whoever paused it is not late
            deadline = now() + patience
        elif now() > deadline and _is_open(windows):
            raise BreachError(name, step.release, "the progress deadline has passed")
    return tuple(windows)


def _is_open(windows: list[Window]) -> bool:
    """Whether the last window said neither yes nor no: nothing goes on from there."""
    return not windows or windows[-1].outcome == "inconclusive"


def _act_on(run: Run, step: Analyse, window: Window, found: Tally, analysis: Analysis) -> None:
    for reason in window.reasons:
        run.reporter.note(f"{window.outcome}: {reason}")
    verdict = found.verdict(analysis)
    if verdict == "return":
        raise BreachError(step.environment, step.release, "; ".join(window.reasons))
    if verdict == "ask":
        reason = f"{found.unjudged} windows in a row could not be judged: {window.reasons[0]}"
        ends = f"`greenlight ship` to go on, `greenlight rollback --env {step.environment}`"
        raise waiting(run, step.environment, reason, ends)


def waiting(
    run: Run, environment: str, reason: str, ends: str, until: str = "ship", index: int = -1
) -> Waiting:
    """Record what is waited for, since when, and what would end it; the error that says so."""
    history = past.rollout(run.ledger.refresh(), environment)
    run.append(past.WAITING, _wait(run, history, reason, ends, until, index), environment)
    return Waiting(
        f"{environment} waits for {reason}. What ends it: {ends}. Weights stay as they are, and "
        "the watcher brings blue back if green gets worse."
    )


def _analysis(run: Run) -> Analysis:
    return run.workspace.spec.rollout.analysis


def _is_paused(run: Run, environment: str) -> bool:
    history = past.rollout(run.ledger.refresh(), environment)
    return bool(history and history.paused)


def require_not_paused(run: Run, environment: str, weights: Mapping[str, int]) -> None:
    """Waiting when ``weights`` would give green more while somebody has paused the rollout by hand.

    Less is never held up.
    """
    history = past.rollout(run.ledger.refresh(), environment)
    if history is None or not history.paused or history.live_since is not None:
        return
    now = run.target(environment).facts().weights
    if weights.get(history.slot, 0) > now.get(history.slot, 0):
        ends = f"{_resume(run, environment)}, then the same command again"
        raise waiting(run, environment, PAUSED_BY, ends, "resume")


def _tell_of_a_pause(run: Run, environment: str) -> None:
    """Somebody paused it by hand: from now on it says so wherever a rollout is shown."""
    history = past.rollout(run.ledger.entries, environment)
    if history is None or not history.paused or history.waiting:
        return
    ends = _resume(run, environment)
    run.append(past.WAITING, _wait(run, history, PAUSED_BY, ends, "pause"), environment)
    run.reporter.note(f"paused by hand; what ends it: {ends}")


def _resume(run: Run, environment: str) -> str:
    return f"`greenlight resume {run.workspace.sources.app} --env {environment}`"


def _wait(
    run: Run, history: past.RolloutHistory | None, reason: str, ends: str, until: str,
    index: int = -1,
) -> dict[str, Any]:  # fmt: skip
    release = history.release if history else ""
    return {"release": release, "for": reason, "since": run.clock.time(), "ends": ends,
            "until": until, "index": index}  # fmt: skip


def _record(
    run: Run, environment: str, window: Window, release: str, before: str, slot: str
) -> None:
    data = {"release": release, "from": before, "slot": slot, **window.as_json()}
    run.append(past.WINDOW, data, environment)


def _window(run: Run, look: Look, release: str, environment: str) -> Window:
    name = label(run.workspace.application, release)
    run.reporter.note(f"{environment}: a window of {look.analysis.interval:g} s, {name}")
    replayer = Replayer(run, environment, look)
    window = asyncio.run(measure_window(look, replayer))
    for slot, why in window.why.items():
        run.reporter.note(f"{environment}: {slot} is not measured: {why}")
    return window


async def measure_window(
    look: Look, replayer: Replayer | None, since: Reading | None = None
) -> Window:
    """One window: as long as the interval, longer while a slot has too few requests, and no
    longer where green takes none.

    ``since``: it goes on from there, with what was counted and was too little to be judged.
    """
    interval, clock = look.analysis.interval, look.clock
    first, began = since or read(look), clock.monotonic()
    before, silence = first.counts, Silence(look)
    async with contextlib.AsyncExitStack() as stack:
        while (past_ := clock.monotonic() - began) < interval * LONGEST:
            await clock.sleep(min(TICK, interval / 4))
            now = _sides(before, read(look).counts)
            enough = all(_has_enough(one, look.analysis) for one in now.values())
            silence.listen()
            if past_ >= interval and (enough or replayer is None):
                break
            if look.green in silence.lasting:
                break
            if replayer and not replayer.at_work and past_ >= interval * LOOK_FIRST and not enough:
                await stack.enter_async_context(replayer.replaying())
    last = read(look)
    sides = _sides(before, last.counts)
    green, blue = sides.get(look.green), sides.get(look.blue)
    verdicts: tuple[Finding, ...] = ()
    if look.phase != "baseline":
        ours, back = (_reach(slot, silence, replayer) for slot in (look.green, look.back))
        verdicts = judge_reach(ours, back, look.analysis.min_requests)
        verdicts = verdicts or judge(green, blue, look.baseline, look.analysis)
    return Window(
        phase=look.phase,
        weight=look.weight,
        started=first.at,
        seconds=round(clock.monotonic() - first.monotonic, 3),
        replayed=bool(replayer and replayer.at_work),
        green=green,
        blue=blue,
        verdicts=verdicts,
        why={**first.why, **last.why},
    )


def read(look: Look) -> Reading:
    """The counts of both slots now."""
    found: dict[str, Measured] = {}
    why: dict[str, str] = {}
    for slot in filter(None, (look.green, look.blue)):
        try:
            found[slot] = look.target.measure(slot)
        except GreenlightError as error:
            why[slot] = str(error)
    return Reading(found, look.clock.time(), look.clock.monotonic(), why)


class Silence:
    """Which slots take no requests. A pod that is not ready for a moment is not dead, so it is
    looked at once an interval, and twice in a row has to find it so.
    """

    def __init__(self, look: Look) -> None:
        self._look, self._at = look, look.clock.monotonic()
        self._begun = self._unreachable()
        self.lasting: Mapping[str, str] = {}

    def listen(self) -> None:
        """Look again where it is time to."""
        now, interval = self._look.clock.monotonic(), self._look.analysis.interval
        if now - self._at < interval:
            return
        found = self._unreachable()
        self.lasting = {
            slot: f"for {now - self._at:.0f} s and longer, {why}"
            for slot, why in found.items()
            if slot in self._begun
        }
        self._at, self._begun = now, found

    def _unreachable(self) -> Mapping[str, str]:
        """Why, by slot; nothing where there is no green yet. A slot to go back to that is not there
        can be started again.
        """
        green = self._look.green
        if not green:
            return {}
        try:
            facts = self._look.target.facts()
        except GreenlightError:
            return {}  # what is not known is not held against it, nor for it: nothing is counted
        if facts.away or not (facts.provisioned or facts.slots):
            return {}
        found = {
            slot: f"it is {one.state}: {one.reason or 'nothing says why'}"
            for slot, one in facts.slots.items()
            if slot in (green, self._look.back) and not one.reachable
        }
        return found if green in facts.slots else {**found, green: "it is not there"}


def _reach(slot: str, silence: Silence, replayer: Replayer | None) -> Reach:
    why = silence.lasting.get(slot, "")
    return Reach(why, replayer.asked[slot], replayer.unanswered[slot]) if replayer else Reach(why)


def _sides(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> dict[str, Side | None]:
    return {
        slot: side(before[slot], after[slot]) if slot in before and slot in after else None
        for slot in {*before, *after}
    }


def _has_enough(one: Side | None, analysis: Analysis) -> bool:
    return one is not None and one.requests >= analysis.min_requests


class Replayer:
    """Asks evaluation queries, half of them streaming, the slots in turn, a few at a time."""

    def __init__(self, run: Run, environment: str, look: Look) -> None:
        self._target = run.target(environment)
        self._slots = [slot for slot in (look.green, look.blue) if slot]
        facts = self._target.facts()
        self._inputs = {
            slot: run.workspace.release(facts.slots[slot].release).prompt.inputs
            for slot in self._slots
            if slot in facts.slots
        }
        self._cases = run.workspace.dataset.cases
        patience = look.analysis.interval * LONGEST  # who waits longer finds out too late
        self._timeout = min(run.workspace.spec.evaluation.timeout_seconds, max(patience, 5.0))
        self._concurrency = look.analysis.concurrency
        self.asked, self.unanswered = Counter[str](), Counter[str]()
        self.at_work = False

    @contextlib.asynccontextmanager
    async def replaying(self) -> AsyncIterator[None]:
        """Replay while the block runs; what is under way at its end is finished first."""
        self.at_work, stopping = True, asyncio.Event()
        numbers = itertools.count()
        async with open_session(self._concurrency, self._timeout) as session:

            async def work() -> None:
                while not stopping.is_set():
                    slot = self._slots[(number := next(numbers)) % len(self._slots)]
                    case = self._cases[number // len(self._slots) % len(self._cases)]
                    ask = ask_stream if number // len(self._slots) % 2 else ask_once
                    self.asked[slot] += 1
                    try:
                        await ask(session, self._target.endpoint(slot), case, self._inputs[slot])
                    except UnansweredError:  # on a cluster, nobody may count what got lost
                        self.unanswered[slot] += 1
                        await asyncio.sleep(PAUSE)  # else a moment's failures outnumber all answers
                    except NoAnswerError:
                        pass  # the slot counts it

            workers = [asyncio.create_task(work()) for _ in range(self._concurrency)]
            try:
                yield
            finally:
                stopping.set()
                await asyncio.gather(*workers, return_exceptions=True)
