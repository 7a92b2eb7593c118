"""The evaluation step: measure, judge, sign, and say no where a gate says no."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from pipelines import past
from pipelines.evaluate import Side, answers_file, measure
from pipelines.gates import Measurements, Verdict, judge
from pipelines.run import GateRefusedError, Run
from pipelines.steps import Evaluate
from release.evidence import Kind
from release.integrity import canonical


def evaluate_slot(run: Run, step: Evaluate) -> dict[str, Any]:
    """Evaluate what is in the slot; the evidence is signed whichever way it went.

    Raises GateRefusedError with the reasons of every gate that did not pass.
    """
    workspace, settings = run.workspace, run.workspace.spec.evaluation
    candidate = _side(run, step.environment, step.slot, step.release)
    incumbent = None
    if step.incumbent:
        incumbent = _side(run, step.environment, step.incumbent_slot, step.incumbent)
    ours, theirs = asyncio.run(
        measure(candidate, incumbent, workspace.dataset, settings, run.reporter)
    )
    verdicts = judge(settings.gates, workspace.dataset.cases, settings.refusal, ours, theirs)
    digest = _sign(run, step, verdicts, ours, theirs)
    for verdict in verdicts:
        run.reporter.note(f"{verdict.outcome}: {verdict.reason}")
    reasons = tuple(verdict.reason for verdict in verdicts if not verdict.passed)
    if reasons:
        _record_refusal(run, step.incumbent, reasons)
        raise GateRefusedError(reasons)
    return {"evidence": digest, "verdicts": [asdict(verdict) for verdict in verdicts]}


def _side(run: Run, environment: str, slot: str, release: str) -> Side:
    return Side(
        release=release,
        endpoint=run.target(environment).endpoint(slot),
        inputs=run.workspace.release(release).prompt.inputs,
        answers=answers_file(run.workspace.state.work / "answers", release, run.workspace.dataset),
    )


def _sign(
    run: Run,
    step: Evaluate,
    verdicts: tuple[Verdict, ...],
    ours: Measurements,
    theirs: Measurements | None,
) -> str:
    measured = {"candidate": ours, "incumbent": theirs}
    reports = {name: run.keep(_report(side)) for name, side in measured.items() if side is not None}
    data = run.keep(run.workspace.dataset.content)
    result = {
        "passed": all(verdict.passed for verdict in verdicts),
        "incumbent": step.incumbent,
        "environment": step.environment,
        "cases": len(run.workspace.dataset.cases),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "measurements": reports,
    }
    return run.attest(Kind.EVALUATION, result, (data, *reports.values()))


def _report(side: Measurements) -> bytes:
    """Answers by case, then the timed requests, one JSON document a line."""
    rows = [asdict(side.answers[case]) for case in sorted(side.answers)]
    rows += [{**asdict(answer), "timed": True} for answer in side.timings]
    return b"".join(canonical(row) + b"\n" for row in rows)


def _record_refusal(run: Run, incumbent: str, reasons: tuple[str, ...]) -> None:
    data = {**vars(run.workspace.binding), "incumbent": incumbent, "reasons": list(reasons)}
    run.append(past.REFUSED, json.loads(canonical(data)))
