"""The gate: everything that the rules have against a plan, in one call.

A rule that falls over is a finding of its own that refuses the plan: what could not be judged did
not pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.arm.resource import ArmResource
from policies.rules import azure
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding
from policies.rules.rule import PlanRule, Rule


def judge(plan: Sequence[ArmResource], bounds: Bounds) -> tuple[Finding, ...]:
    """What every rule has against ``plan``, resource by resource, then the plan as a whole."""
    per_resource = azure.rules(bounds)
    found = [finding for one in plan for finding in judge_resource(one, per_resource)]
    return (*found, *judge_whole(plan, azure.plan_rules(bounds)))


def judge_resource(resource: ArmResource, asked: Iterable[Rule]) -> tuple[Finding, ...]:
    """What ``asked`` have against one resource."""
    return tuple(finding for rule in asked if (finding := _answer(rule, resource)))


def judge_whole(plan: Sequence[ArmResource], asked: Iterable[PlanRule]) -> tuple[Finding, ...]:
    """What ``asked`` have against a whole plan."""
    return tuple(finding for rule in asked for finding in _answers(rule, plan))


def _answer(rule: Rule, resource: ArmResource) -> Finding | None:
    try:
        return rule.judge(resource)
    except Exception as error:  # whatever it is, the rule gave no answer
        return crashed(rule, resource, error)


def _answers(rule: PlanRule, plan: Sequence[ArmResource]) -> tuple[Finding, ...]:
    try:
        return rule.judge(plan)
    except Exception as error:
        return (crashed(rule, None, error),)


def crashed(rule: Rule | PlanRule, resource: ArmResource | None, error: Exception) -> Finding:
    """The finding that a rule fell over; the error's own text could hold a secret and is left out.

    It refuses, whatever the rule's severity, because nothing is known of what it would have said.
    Its id is one that no suppression can name.
    """
    source = resource.source if resource else None
    return Finding(
        rule=f"{rule.id}-FELL",
        file=source.file if source else "",
        expected=f"the rule to answer ({rule.title})",
        found=f"{type(error).__name__} in the rule",
        remedy="Mend the rule; until then nothing says that this is right.",
        line=source.line if source else None,
        resource=(resource.urn or resource.name) if resource else "",
        guideline=rule.source,
    )
