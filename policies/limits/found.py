"""Findings of limits: which of them are a no, and which only say that nobody knows.

A limit that could not be looked up is not kept. It is said, with the severity of a warning and
an id of UNKNOWN_RULES, and whoever gates on findings reads it as inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable

from policies.arm.resource import ArmResource
from policies.rules.findings import Finding, Severity, shown

UNKNOWN_RULES = {
    "GL-NAME-002": "a name whose uniqueness only Azure can tell",
    "GL-NAME-004": "a name that the plan does not know yet",
    "GL-SIZE-004": "a size of which it is not known whether the region offers it",
    "GL-SIZE-005": "a size, region or zone that the plan does not know yet",
    "GL-QUOTA-002": "quota that is not known",
    "GL-TRAFFIC-009": "traffic that the plan does not know yet",
    "GL-MODEL-003": "a model of which it is not known whether it fits",
    "GL-FIXED-003": "a fixed field that one side does not state",
}
"""Ids of findings that say what could not be decided, with what they are about."""


def inconclusive(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of ``findings`` that say that a limit could not be checked."""
    return tuple(finding for finding in findings if finding.rule in UNKNOWN_RULES)


def about(
    resource: ArmResource | None,
    rule: str,
    expected: str,
    found: str,
    remedy: str,
    *,
    guideline: str = "",
    severity: Severity | None = None,
) -> Finding:
    """A finding against ``resource``, or against the plan. Unknown is a warning by itself."""
    source = resource.source if resource else None
    name = (resource.urn or resource.name) if resource else ""
    return Finding(
        rule=rule,
        file=source.file if source else "",
        line=source.line if source else None,
        resource=shown(name, 200),
        expected=expected,
        found=shown(found, 300),
        remedy=remedy,
        severity=severity or ("warn" if rule in UNKNOWN_RULES else "refuse"),
        guideline=guideline,
    )
