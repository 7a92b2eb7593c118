"""The compliance step: everything that can be checked before an engine opens a file.

The rules are pure and live in ``policies.rules``; this module reads what they look at, and signs
what they said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipelines.build import MAX_TEMPLATE
from pipelines.dataset import Dataset
from pipelines.run import GateRefusedError, Run
from pipelines.workspace import Workspace
from policies.rules.findings import Finding, refusals
from policies.rules.licenses import PLATFORM_DEFAULT, check_license
from policies.rules.model_card import LONGEST_CARD, check_model_card
from policies.rules.model_file import check_model_file
from policies.rules.personal_data import check_text
from release.documents import read_bytes
from release.evidence import Kind
from release.integrity import canonical
from release.spec import FILE_NAME

MAX_FINDINGS = 200
"""Findings kept in evidence; whoever has more has seen enough."""


def comply_release(run: Run) -> dict[str, Any]:
    """Check the candidate and sign the outcome. GateRefusedError with each finding that refuses."""
    findings = check(run.workspace)
    refused = refusals(findings)
    for finding in findings[:20]:
        run.reporter.note(str(finding))
    report = run.keep(canonical([asdict(finding) for finding in findings]))
    run.record_build()
    lock = run.keep(run.workspace.built.release.content)
    result = {"passed": not refused, "findings": report, "count": len(findings)}
    digest = run.attest(Kind.COMPLIANCE, result, (report, lock))
    if refused:
        raise GateRefusedError(tuple(str(finding) for finding in refused))
    return {"evidence": digest, "findings": len(findings)}


def check(workspace: Workspace) -> tuple[Finding, ...]:
    """What the rules have against the candidate, at most ``MAX_FINDINGS``. Changes nothing."""
    spec, app = workspace.spec, workspace.sources.app
    card = app / spec.model.card
    text = None
    if card.is_file():
        text = read_bytes(card, LONGEST_CARD * 4).decode("utf-8", "replace")
    return (
        *check_license(
            spec.model.license,
            file=FILE_NAME,
            platform=PLATFORM_DEFAULT,
            application=spec.compliance.licenses,
        ),
        *check_model_card(text, file=spec.model.card, declared_license=spec.model.license),
        *_check_model(workspace),
        *_check_prompts(workspace),
        *_check_data(workspace.dataset, spec.evaluation.data),
    )[:MAX_FINDINGS]


def _check_model(workspace: Workspace) -> tuple[Finding, ...]:
    model = workspace.built.model
    with model.open("rb") as handle:
        found = check_model_file(
            handle, name=model.name, declared_license=workspace.spec.model.license
        )
    return found.findings


def _check_prompts(workspace: Workspace) -> Iterator[Finding]:
    app = workspace.sources.app
    for message in workspace.spec.prompt.messages:
        if message.file:
            text = read_bytes(app / message.file, MAX_TEMPLATE).decode("utf-8", "replace")
            yield from check_text(text, file=message.file)
        else:
            yield from check_text(message.content or "", file=FILE_NAME)


def _check_data(dataset: Dataset, file: str) -> Iterator[Finding]:
    for case in dataset.cases:
        for text in (case.query, case.context, case.ground_truth, *case.tags, case.id):
            yield from check_text(text, file=file, first_line=case.line)
