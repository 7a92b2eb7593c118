"""The only place where steps run.

Before each step its intent goes into the ledger, after it what was read back. Each step is safe
to repeat: it finds what an earlier, killed run left and goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines import past
from pipelines.asking import NoAnswerError, ask, ask_once, open_session
from pipelines.comply import comply_release
from pipelines.dataset import Case
from pipelines.evaluate import UnmeasuredError, spread
from pipelines.evaluation import evaluate_slot
from pipelines.gather import incumbent_of, valid_evidence
from pipelines.observe import observe_baseline, observe_step, require_not_paused, waiting
from pipelines.provisioning import provision
from pipelines.run import BreachError, GateRefusedError, Run
from pipelines.steps import (
    Analyse,
    Baseline,
    BeginReturn,
    BeginRollout,
    Check,
    Comply,
    Deploy,
    EndRollout,
    Evaluate,
    Expose,
    Grow,
    Hold,
    Mirror,
    Plan,
    Provision,
    Record,
    Retire,
    Smoke,
    Step,
    Verify,
    describe,
)
from pipelines.targets.base import DeployFailedError, PlatformError, TargetFacts
from release.errors import GreenlightError

BACK_WITHIN = 20.0  # seconds for a slot that starts again, within the shortest usual lease
LOOK_AGAIN = 0.2
WATCHER_LOOK = 1.0
WATCHED_WITHIN = 25.0
"""Seconds that the beginning of a rollout waits for its watcher. A rollout without one is possible,
as where a cluster has no room for it; somebody should know."""


def apply(run: Run, plan: Plan) -> None:
    """Run every step of ``plan`` in order; the first that fails ends it."""
    for step in plan.steps:
        _apply_one(run, step)


def _apply_one(run: Run, step: Step) -> None:
    run.reporter.step(describe(step, run.workspace.application))
    run.step, environment = step, getattr(step, "environment", "")
    run.append(past.INTENT, step.as_json(), environment)
    started = time.monotonic()
    try:
        with run.workspace.placed():
            result = _ACTIONS[type(step)](run, step)
    except Exception as error:
        with contextlib.suppress(GreenlightError, OSError):  # the first error is the one to tell
            run.append(past.FAILED, {"step": step.kind, "reason": str(error)}, environment)
        raise
    done = {"step": step.kind, "seconds": round(time.monotonic() - started, 3), **result}
    run.append(past.DONE, done, environment)
    run.results.append({**step.as_json(), **done})


def _comply(run: Run, step: Comply) -> dict[str, Any]:
    return comply_release(run)


def _provision(run: Run, step: Provision) -> dict[str, Any]:
    fences = {name: run.lease(name).fence for name in run.workspace.environments}
    return {"environments": provision(run.workspace, fences, run.reporter.note)}


def _deploy(run: Run, step: Deploy) -> dict[str, Any]:
    _start(run, step, step.scale, step.whole)
    return {"slot": step.slot}


def _start(run: Run, step: Deploy | Grow, scale: int | None, whole: bool = True) -> None:
    release, fence = run.workspace.release(step.release), _fence(run, step.environment)
    try:
        run.target(step.environment).deploy(step.slot, release, fence, scale, whole)
    except DeployFailedError as error:
        raise BreachError(step.environment, step.release, str(error)) from error


def _grow(run: Run, step: Grow) -> dict[str, Any]:
    """That there is no room says nothing of the release: it keeps the share that it has."""
    room = run.target(step.environment).room(run.workspace.release(step.release))
    if room is not None and room.verdict not in ("enough", "grows"):
        ends = f"room, then the same command again; `greenlight rollback --env {step.environment}`"
        reason = f"room for the rest of {step.slot}: {room.why_not}"
        raise waiting(run, step.environment, reason, ends)
    _start(run, step, None)
    return {"slot": step.slot}


def _smoke(run: Run, step: Smoke) -> dict[str, Any]:
    case = next(case for case in run.workspace.dataset.cases if case.answerable)
    answers = _ask_pinned(run, step, (case,), attempts=True)
    return {"synthetic": 1, "seconds_to_answer": round(answers[0], 3)}


def _check(run: Run, step: Check) -> dict[str, Any]:
    cases = spread(run.workspace.dataset.cases, step.queries)
    answers = _ask_pinned(run, step, cases, attempts=False)
    if len(answers) < step.queries:
        reason = f"{step.queries} checks were asked for, the evaluation data has {len(answers)}"
        raise BreachError(step.environment, step.release, reason)
    return {
        "synthetic": len(answers),
        "weight": step.weight,
        "index": step.index,
        "slowest_seconds": round(max(answers), 3),
    }


def _ask_pinned(
    run: Run, step: Smoke | Check, cases: tuple[Case, ...], attempts: bool
) -> list[float]:
    """Seconds of each answer, in order. BreachError for the first that is missing."""
    endpoint = run.target(step.environment).endpoint(step.slot)
    inputs = run.workspace.release(step.release).prompt.inputs
    settings = run.workspace.spec.evaluation

    async def ask_all() -> list[float]:
        seconds = []
        async with open_session(1, settings.timeout_seconds) as session:
            for number, case in enumerate(cases, 1):
                one = ask if attempts else ask_once
                seconds.append((await one(session, endpoint, case, inputs)).seconds)
                run.reporter.progress(number, len(cases), step.kind)
        return seconds

    try:
        return asyncio.run(ask_all())
    except NoAnswerError as error:
        reason = f"{step.environment}/{step.slot} did not answer a synthetic query: {error}"
        raise BreachError(step.environment, step.release, reason) from None


def _evaluate(run: Run, step: Evaluate) -> dict[str, Any]:
    try:
        return evaluate_slot(run, step)
    except UnmeasuredError as error:
        raise GateRefusedError((str(error),)) from error


def _verify(run: Run, step: Verify) -> dict[str, Any]:
    """Evidence is verified here and now, whatever the plan believed when it was made."""
    facts = run.facts()
    if step.release in facts.revoked:
        raise GateRefusedError((f"{step.release[:7]} was revoked meanwhile",))
    incumbent = incumbent_of(facts.environments, run.workspace)
    valid = valid_evidence(run.workspace, run.ledger.entries, incumbent)
    missing = sorted({"compliance", "evaluation"} - valid)
    if missing:
        raise GateRefusedError(
            tuple(f"no valid {kind} evidence for {step.release[:7]}" for kind in missing)
        )
    return {"evidence": sorted(valid)}


def _begin_rollout(run: Run, step: BeginRollout) -> dict[str, Any]:
    settings = run.workspace.spec.rollout.model_dump(mode="json", by_alias=True, exclude_none=True)
    data = {"release": step.release, "from": step.before, "slot": step.slot, "blue": step.blue,
            "settings": settings}  # fmt: skip
    # The watcher first: one that finds no rollout goes again, a rollout does not look for one.
    run.target(step.environment).watch(True, _fence(run, step.environment))
    _await_watcher(run, step.environment)
    run.append(past.ROLLOUT_BEGUN, data, step.environment)
    return {}


def _await_watcher(run: Run, environment: str) -> None:
    """Return when one that could do its work stands by; or say, after a while, that none does."""
    target, give_up = run.target(environment), run.clock.monotonic() + WATCHED_WITHIN
    while why := target.facts().unwatched:
        if run.clock.monotonic() >= give_up:
            run.reporter.note(f"{environment}: the rollout goes on without a net: {why}")
            return
        asyncio.run(run.clock.sleep(WATCHER_LOOK))


def _end_rollout(run: Run, step: EndRollout) -> dict[str, Any]:
    data = {"release": step.release, "outcome": step.outcome, "reason": step.reason}
    run.append(past.ROLLOUT_ENDED, data, step.environment)
    run.target(step.environment).watch(False, _fence(run, step.environment))
    return {}


def _expose(run: Run, step: Expose) -> dict[str, Any]:
    require_not_paused(run, step.environment, step.weights)
    _wait_until_ready(run, step)
    return {"weights": _set_weights(run, step.environment, step.weights)}


def _wait_until_ready(run: Run, step: Expose) -> None:
    """A slot that crashed a moment ago is back in a moment; nobody is sent there before."""
    target, give_up = run.target(step.environment), run.clock.monotonic() + BACK_WITHIN
    while away := not_ready(target.facts(), step.weights):
        if "starting" not in away.values() or run.clock.monotonic() > give_up:
            which = ", ".join(f"{slot} is {state}" for slot, state in away.items())
            raise GreenlightError(f"{step.environment}: {which}, and nobody is sent there")
        asyncio.run(run.clock.sleep(LOOK_AGAIN))


def not_ready(facts: TargetFacts, weights: Mapping[str, int]) -> dict[str, str]:
    """Those among the slots in ``weights`` that are there and not ready, with their states."""
    wanted = {slot: facts.slots[slot] for slot, n in weights.items() if n and slot in facts.slots}
    return {slot: one.state for slot, one in wanted.items() if one.state != "ready"}


def _mirror(run: Run, step: Mirror) -> dict[str, Any]:
    """The weights stay as they are; the next change of weights ends the mirror."""
    facts = run.target(step.environment).facts()
    weights = facts.weights
    if not facts.provisioned or sum(weights.values()) != 100:  # unknown weights are not no weights
        raise GreenlightError(
            f"{step.environment}: its weights cannot be read ({facts.reason or dict(weights)}), "
            "and a mirror is set beside them; run the same command again"
        )
    _set_weights(run, step.environment, weights, step.slot if step.percent else "", step.percent)
    return {"percent": step.percent, "index": step.index}


def _set_weights(
    run: Run, environment: str, weights: Mapping[str, int], mirror: str = "", percent: int = 0
) -> dict[str, int]:
    target = run.target(environment)
    target.expose(weights, _fence(run, environment), {mirror: percent} if mirror else None)
    facts = target.facts()
    if not facts.provisioned:  # nothing is known, so nobody is judged by it
        raise PlatformError(
            f"{environment}: weights were set and cannot be read back ({facts.reason}); run the "
            "same command again"
        )
    seen = dict(facts.weights)
    if seen != dict(weights):
        raise GreenlightError(f"{environment}: weights read back as {seen}")
    return seen


def _baseline(run: Run, step: Baseline) -> dict[str, Any]:
    window = observe_baseline(run, step)
    return {"requests": window.blue.requests if window.blue else None, "replayed": window.replayed}


def _analyse(run: Run, step: Analyse) -> dict[str, Any]:
    windows = observe_step(run, step)
    return {"windows": len(windows), "index": step.index}


def _hold(run: Run, step: Hold) -> dict[str, Any]:
    """Say what is waited for and end: the watcher stands by, and whoever resumes ships again."""
    verb = f"greenlight {step.until} {run.workspace.sources.app} --env {step.environment}"
    reason = f"somebody to {step.until}: {step.reason}"
    ends = f"`{verb}`, then the same command again"
    raise waiting(run, step.environment, reason, ends, step.until, step.index)


def _record(run: Run, step: Record) -> dict[str, Any]:
    data = {"release": step.release, "returned": step.returned, "reason": step.reason}
    run.append(past.LIVE, data, step.environment)
    return {}


def _begin_return(run: Run, step: BeginReturn) -> dict[str, Any]:
    data = {"release": step.release, "goal": step.goal, "reason": step.reason, "hold": step.hold}
    run.append(past.RETURN_BEGUN, data, step.environment)
    return {}


def _retire(run: Run, step: Retire) -> dict[str, Any]:
    drain = run.workspace.spec.rollout.drain_seconds
    cut = run.target(step.environment).retire(step.slot, drain, _fence(run, step.environment))
    return {"cut": cut}


def _fence(run: Run, environment: str) -> int:
    return run.lease(environment).fence


_ACTIONS: Mapping[type[Step], Callable[[Run, Any], dict[str, Any]]] = {
    Comply: _comply,
    Provision: _provision,
    Deploy: _deploy,
    Grow: _grow,
    Smoke: _smoke,
    Evaluate: _evaluate,
    Verify: _verify,
    BeginRollout: _begin_rollout,
    Baseline: _baseline,
    Mirror: _mirror,
    Expose: _expose,
    Check: _check,
    Analyse: _analyse,
    Hold: _hold,
    Record: _record,
    BeginReturn: _begin_return,
    Retire: _retire,
    EndRollout: _end_rollout,
}
