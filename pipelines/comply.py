"""The compliance step: everything that can be checked before an engine opens a file.

The rules are pure and live in ``policies.rules``; this module reads what they look at, and signs
what they said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
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
from release.documents import Key, read_bytes
from release.evidence import Kind
from release.integrity import canonical
from release.spec import locate

MAX_FINDINGS = 200
"""Findings kept in evidence; whoever has more has seen enough."""


def comply_release(run: Run) -> dict[str, Any]:
    """Check the candidate and sign the outcome. GateRefusedError with each finding that refuses."""
    findings = check(run.workspace)
    refused = refusals(findings)
    for finding in findings[:20]:
        run.reporter.note(str(finding))
    report = run.keep(canonical([asdict(finding) for finding in findings]))
    lock = run.keep(run.workspace.built.release.content)
    result = {"passed": not refused, "findings": report, "count": len(findings)}
    digest = run.attest(Kind.COMPLIANCE, result, (report, lock))
    if refused:
        raise GateRefusedError(tuple(str(finding) for finding in refused))
    return {"evidence": digest, "findings": len(findings)}


def check(workspace: Workspace) -> tuple[Finding, ...]:
    """What the rules have against the candidate, at most ``MAX_FINDINGS``. Changes nothing.

    Refusals come first, so that no number of warnings can push one out.
    """
    findings = (
        *_check_license(workspace),
        *_check_card(workspace),
        *_check_model(workspace),
        *_check_prompts(workspace),
        *_check_data(workspace.dataset, workspace.spec.evaluation.data),
    )
    return tuple(sorted(findings, key=lambda one: one.severity != "refuse")[:MAX_FINDINGS])


def _place(workspace: Workspace, path: tuple[Key, ...]) -> tuple[str, int]:
    """File, as seen from the application's folder, and line of what stands at ``path``."""
    sources = workspace.sources
    file, line = locate(sources.app, sources.changes, path)
    inside = Path(file).is_relative_to(sources.app)
    return str(Path(file).relative_to(sources.app)) if inside else file, line


def _check_license(workspace: Workspace) -> tuple[Finding, ...]:
    file, line = _place(workspace, ("model", "license"))
    return check_license(
        workspace.spec.model.license,
        file=file,
        line=line,
        platform=PLATFORM_DEFAULT,
        application=workspace.spec.compliance.licenses,
    )


def _check_card(workspace: Workspace) -> tuple[Finding, ...]:
    model = workspace.spec.model
    card, text = workspace.sources.app / model.card, None
    if card.is_file():
        text = read_bytes(card, LONGEST_CARD * 4).decode("utf-8", "replace")
    return check_model_card(text, file=model.card, declared_license=model.license)


def _check_model(workspace: Workspace) -> tuple[Finding, ...]:
    model = workspace.built.model
    if model is None:  # a cluster fetches it, and its server is told to read safetensors alone
        return ()
    with model.open("rb") as handle:
        found = check_model_file(
            handle, name=model.name, declared_license=workspace.spec.model.license
        )
    return found.findings


def _check_prompts(workspace: Workspace) -> Iterator[Finding]:
    app = workspace.sources.app
    for number, message in enumerate(workspace.spec.prompt.messages):
        if message.file:
            text = read_bytes(app / message.file, MAX_TEMPLATE).decode("utf-8", "replace")
            yield from check_text(text, file=message.file)
        else:
            file, line = _place(workspace, ("prompt", "messages", number, "content"))
            yield from _all_at(check_text(message.content or "", file=file), line)


def _check_data(dataset: Dataset, file: str) -> Iterator[Finding]:
    for case in dataset.cases:
        for text in (case.query, case.context, case.ground_truth, *case.tags, case.id):
            yield from _all_at(check_text(text, file=file), case.line)


def _all_at(findings: tuple[Finding, ...], line: int) -> Iterator[Finding]:
    """``findings`` of a text that stands at one ``line`` of its file, however many it has."""
    return (replace(finding, line=line) for finding in findings)
