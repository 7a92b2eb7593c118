"""``ship``: build, check, provision, stage, evaluate, promote. And ``promote``, its last part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines import past
from pipelines.apply import apply
from pipelines.bringing_back import plan_refusal, plan_return
from pipelines.evaluate import answers_file
from pipelines.facts import Facts
from pipelines.gather import gather
from pipelines.observe import waiting
from pipelines.plan import plan_compliance, plan_evaluation, plan_promotion, plan_ship
from pipelines.reporting import Reporter
from pipelines.run import BreachError, GateRefusedError, Run, open_run
from pipelines.steps import Check, Expose, Plan, Provision
from pipelines.targets.base import PlatformError, StaleFenceError
from pipelines.workspace import Workspace
from release.bundle import label
from release.errors import GreenlightError, Refused, Returned, Waiting

Planner = Callable[[Facts], Plan]

CUT = "an earlier run was cut"
"""Why a return is finished that judged nothing; another says itself what it was for."""


@dataclass(frozen=True)
class Outcome:
    """How a verb ended well: the plan, and what each of its steps read back."""

    plan: Plan
    results: tuple[dict[str, Any], ...] = ()


def ship(
    workspace: Workspace, reporter: Reporter, *, retry: bool = False, dry_run: bool = False
) -> Outcome:
    """Bring the candidate to the last environment.

    Raises Refused (a gate's no), Returned (it was worse in traffic), Waiting (somebody else
    holds a lease); run again after any of them, or after a kill, it goes on from what is there.
    """
    settings = workspace.spec.rollout
    return _promote(
        workspace, "ship", reporter, lambda facts: plan_ship(facts, settings, retry),
        retry=retry, dry_run=dry_run,
    )  # fmt: skip


def promote(
    workspace: Workspace,
    to: str,
    reporter: Reporter,
    *,
    retry: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Bring the candidate, evaluated and live before, to environment ``to``. Raises as ``ship``."""
    settings, to = workspace.spec.rollout, workspace.environment(to)
    return _promote(
        workspace, "promote", reporter, lambda facts: plan_promotion(facts, to, settings, retry),
        retry=retry, dry_run=dry_run,
    )  # fmt: skip


def evaluate(
    workspace: Workspace, reporter: Reporter, *, retry: bool = False, dry_run: bool = False
) -> Outcome:
    """Bring the candidate to the first environment and evaluate it there. Raises as ``ship``."""
    settings = workspace.spec.rollout
    return _promote(
        workspace, "evaluate", reporter, lambda facts: plan_evaluation(facts, settings, retry),
        retry=retry, dry_run=dry_run,
    )  # fmt: skip


def comply(workspace: Workspace, reporter: Reporter, *, dry_run: bool = False) -> Outcome:
    """Check the candidate without loading it. Raises Refused with every finding.

    Nothing moves, so no lease is taken: it goes beside whatever is under way.
    """
    plan = plan_compliance(gather(workspace, workspace.entries()))
    if dry_run or not plan.steps:
        return Outcome(plan)
    with open_run(workspace, "comply", (), reporter) as run:
        run.record_build()
        try:
            apply(run, plan)
        except GateRefusedError as error:
            name = workspace.built.release.label
            raise Refused(f"{name} was refused; nothing was loaded", error.reasons) from error
        return Outcome(plan, tuple(run.results))


def _promote(
    workspace: Workspace,
    verb: str,
    reporter: Reporter,
    planner: Planner,
    *,
    retry: bool,
    dry_run: bool,
) -> Outcome:
    """Look first, without a lease: what has nothing to do writes nothing and waits for nobody."""
    facts = gather(workspace, workspace.entries())
    if not _is_unfinished(facts):
        plan = planner(facts)
        if dry_run or not plan.steps:
            return Outcome(plan)
    elif dry_run:
        return Outcome(_plan_unfinished(facts))
    with open_run(workspace, verb, workspace.environments, reporter) as run:
        run.record_build()
        _finish_what_was_cut(run)
        if retry:
            _let_go(run)
        plan = planner(run.facts())
        _apply_or_bring_back(run, plan)
        return Outcome(plan, tuple(run.results))


def _is_unfinished(facts: Facts) -> bool:
    """Whether an earlier run was cut on its way back from a breach or a refusal."""
    return bool(facts.refusals and plan_refusal(facts).steps) or any(
        one.returning for one in facts.environments
    )


def _plan_unfinished(facts: Facts) -> Plan:
    for one in facts.environments:
        if one.returning:
            return plan_return(facts, one.name, CUT)
    return plan_refusal(facts)


def _finish_what_was_cut(run: Run) -> None:
    """A return or a refusal that was cut ends first, and ends the command as it would have."""
    facts = run.facts()
    for one in facts.environments:
        if one.returning:
            if not one.provisioned:
                names = run.workspace.environments
                apply(run, Plan((Provision(environments=names, reason="a return needs it"),), ""))
            apply(run, plan_return(facts, one.name, CUT))
            if one.returned_from in facts.held:
                raise _returned(run, one.name, one.returned_from, facts.held[one.returned_from])
    if facts.refusals:
        apply(run, plan_refusal(facts))


def _let_go(run: Run) -> None:
    """``--retry``: hold and refusals no longer count, and every answer is asked for anew."""
    release = run.workspace.built.release.digest
    if past.held(run.ledger.entries).get(release) or run.facts().refusals:
        run.append(past.RETRY, {"release": release})
        folder = run.workspace.state.work / "answers"
        answers_file(folder, release, run.workspace.dataset).unlink(missing_ok=True)


def _apply_or_bring_back(run: Run, plan: Plan) -> None:
    last = run.workspace.environments[-1]
    name = run.workspace.built.release.label
    try:
        apply(run, plan)
    except GateRefusedError as error:
        apply(run, plan_refusal(run.facts()))
        raise Refused(f"{name} was refused; {last} is unchanged", error.reasons) from error
    except BreachError as error:
        _bring_back(run, error)
    except (StaleFenceError, Waiting):
        raise  # somebody else is at work: what happens now is theirs to decide
    except PlatformError:
        raise  # a way back would ask the same platform; the weights are one or the other, whole
    except (GreenlightError, OSError) as error:
        if not isinstance(run.step, Expose | Check):
            raise
        _stay_if_there_is_no_way_back(run, run.step)
        release = run.workspace.built.release.digest
        _bring_back(run, BreachError(run.step.environment, release, str(error)))


def _stay_if_there_is_no_way_back(run: Run, step: Expose | Check) -> None:
    """Weights that could not be set because blue is away say nothing of green, and a return
    would send everybody to where nobody answers: somebody has to look.
    """
    there = run.facts().environment(step.environment)
    blue = there.slot_of(there.live)
    if not isinstance(step, Expose) or not step.weights.get(blue) or blue not in there.slots:
        return
    if there.live == run.workspace.built.release.digest or there.slots[blue].state == "ready":
        return
    why = f"{blue} to get ready again ({there.slots[blue].reason or there.slots[blue].state})"
    ends = f"`greenlight ship` when it is, `greenlight rollback --env {step.environment}`"
    raise waiting(run, step.environment, why, ends)


def _bring_back(run: Run, breach: BreachError) -> None:
    """After a breach: before any user was concerned that is a refusal, else a return.

    An incumbent that fails where it is only compared with says nothing of the candidate.
    """
    facts = run.facts()
    there = facts.environment(breach.environment)
    name = label(facts.application, breach.release)
    staging = len(facts.environments) > 1 and there is facts.environments[0]
    if staging and breach.release != facts.candidate:
        apply(run, plan_refusal(facts))
        raise GreenlightError(
            f"{name}, which is live in {facts.environments[-1].name}, could not be put beside the "
            f"candidate in {there.name}: {breach.reason}. The candidate was not judged; "
            "run the same command again."
        ) from breach
    to = "" if there.live == breach.release else there.live
    if staging or not (to or there.before):
        apply(run, plan_refusal(facts))
        raise Refused(f"{name} failed in {breach.environment}", (breach.reason,)) from breach
    apply(run, plan_return(facts, there.name, breach.reason, to=to, bad=breach.release))
    raise _returned(run, breach.environment, breach.release, breach.reason) from breach


def _returned(run: Run, environment: str, bad: str, reason: str) -> Returned:
    application = run.workspace.application
    live = run.facts().environment(environment).live
    return Returned(
        f"{environment} is back on {label(application, live)}; {label(application, bad)} is held: "
        "change it, or ship it again with --retry",
        (reason,),
    )
