"""Findings as SARIF 2.1.0, which code hosts show beside the lines that they are about.

Shape and meaning of the fields: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from policies.rules.findings import Finding

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT = "greenlight/v1"
LEVELS = {"refuse": "error", "warn": "warning"}


def as_sarif(
    findings: Sequence[Finding],
    suppressed: Sequence[tuple[Finding, str]] = (),
    version: str = "",
) -> dict[str, Any]:
    """A SARIF log of one run. ``suppressed`` findings are in it with their justification."""
    shown = [(one, None) for one in findings] + [(one, reason) for one, reason in suppressed]
    rules = _rules(one for one, _ in shown)
    order = {rule["id"]: index for index, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results = [_result(one, order[one.rule], reason, seen) for one, reason in shown]
    driver = {"name": "Greenlight", "rules": rules} | ({"version": version} if version else {})
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rules(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Each rule once, by its id."""
    by_id = {one.rule: one for one in findings}
    return [_rule(by_id[rule]) for rule in sorted(by_id)]


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": finding.rule,
        "shortDescription": {"text": finding.expected},
        "help": {"text": finding.remedy or finding.expected},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
    }
    return rule | ({"helpUri": finding.guideline} if finding.guideline else {})


def _result(finding: Finding, index: int, reason: str | None, seen: Counter[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {
            "text": f"expected {finding.expected}, found {finding.found}. {finding.remedy}"
        },
        "partialFingerprints": {FINGERPRINT: _fingerprint(finding, seen)},
        "suppressions": [],  # present on every result, since it is on any of them
    }
    if reason is not None:
        result["suppressions"] = [{"kind": "external", "justification": reason}]
    if finding.file:
        result["locations"] = [_location(finding)]
    return result


def _location(finding: Finding) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(finding.file)}
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.resource:
        location["logicalLocations"] = [
            {"fullyQualifiedName": finding.resource, "kind": "resource"}
        ]
    return location


def _artifact(file: str) -> dict[str, str]:
    path = PurePosixPath(file)
    if path.is_absolute():
        return {"uri": f"file://{quote(str(path))}"}
    return {"uri": quote(str(path)), "uriBaseId": "%SRCROOT%"}


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """The same while rule, file and resource are, wherever in the file its lines have moved.

    Several findings of a rule about one resource are told apart by their order.
    """
    subject = "\0".join((finding.rule, finding.file, finding.resource))
    seen[subject] += 1
    return hashlib.sha256(f"{subject}\0{seen[subject]}".encode()).hexdigest()
