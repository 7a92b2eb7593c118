"""What a rule over Azure resources is: a value, so that each of its doors can ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from policies.arm.resource import ArmResource
from policies.rules.findings import Finding, Severity

EVERY = ("*",)
"""The types of a rule that is about resources of any type, unknown ones included."""


@dataclass(frozen=True)
class Rule:
    """A rule over one resource of one of ``types``.

    ``check`` says what was found where something is wrong, None where nothing is. ``source`` is
    the page that the rule comes from. ``severity``: ``refuse`` stops a plan, ``warn`` is shown.
    """

    id: str
    title: str
    types: tuple[str, ...]
    expected: str
    remedy: str
    source: str
    check: Callable[[ArmResource], str | None]
    severity: Severity = "refuse"

    def judge(self, resource: ArmResource) -> Finding | None:
        """What the rule has against ``resource``; None for another type, or when all is well."""
        asked = self.types == EVERY or resource.type in self.types
        found = self.check(resource) if asked else None
        return None if found is None else _finding(self, resource, found)


@dataclass(frozen=True)
class PlanRule:
    """A rule over all resources of a plan, for what is missing: an alert, a budget.

    ``check`` yields the resource that lacks something, None where there is none to name, and
    what was found.
    """

    id: str
    title: str
    expected: str
    remedy: str
    source: str
    check: Callable[[Sequence[ArmResource]], Iterator[tuple[ArmResource | None, str]]]
    severity: Severity = "refuse"

    def judge(self, plan: Sequence[ArmResource]) -> tuple[Finding, ...]:
        """What the rule has against the plan."""
        return tuple(_finding(self, resource, found) for resource, found in self.check(plan))


def _finding(rule: Rule | PlanRule, resource: ArmResource | None, found: str) -> Finding:
    source = resource.source if resource else None
    return Finding(
        rule=rule.id,
        file=source.file if source else "",
        expected=rule.expected,
        found=found,
        remedy=rule.remedy,
        severity=rule.severity,
        line=source.line if source else None,
        resource=(resource.urn or resource.name) if resource else "",
        guideline=rule.source,
    )
