"""The rules as policies of Pulumi's own, so that `pulumi up` alone cannot go past them.

Bounds come from the stack's settings, as the engine tells them before it asks for anything else;
where GREENLIGHT_STACK_SETTINGS names a settings file, from there. Each resource is judged as the
program declares it, with its inputs; the plan as a whole when all of them have been seen.

What cannot be judged is refused: a type that has no row in the table, a rule that falls over, a
plan of which the engine shows only a part (`--target`), a stack whose settings nobody told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.arm.resource import ArmResource
from policies.gate import judge_resource, judge_whole
from policies.pack.foreign import NATIVE, is_foreign
from policies.pack.inputs import plain, read_inputs_openly
from policies.pack.stack import when_told
from policies.rules.azure import plan_rules, rules
from policies.rules.azure.bounds import AZURE, IMAGES, MODELS, Bounds, bounds_of, read_bounds
from policies.rules.findings import Finding
from policies.rules.rule import PlanRule, Rule
from policies.suppressions import FILE, Suppression, read_suppressions
from release.errors import BadInput

if TYPE_CHECKING:
    import pulumi_policy as sdk

NAME = "greenlight"
SETTINGS = "GREENLIGHT_STACK_SETTINGS"
CONVERTED = "GL-AZ-ARM-001"
WHOLE = "GL-AZ-ARM-002"
ANSWERED = "GL-AZ-ARM-003"
TOLD = "GL-AZ-ARM-004"

Convert = Callable[..., ArmResource]


def serve() -> None:
    """Listen for the engine until it goes. SystemExit says what is wrong with what is committed."""
    import pulumi_policy as sdk

    read_inputs_openly(sdk)
    held = [_unjudged()]
    try:
        entries = read_suppressions(FILE, _today())
        if file := os.environ.get(SETTINGS):
            held[:] = policies(read_bounds(Path(file)), entries=entries)
        else:
            when_told(sdk, lambda stack: _hold(held, policies(bounds_in(stack), entries=entries)))
    except BadInput as error:
        raise SystemExit(str(error)) from None
    sdk.PolicyPack(name=NAME, policies=held, enforcement_level=sdk.EnforcementLevel.MANDATORY)


def _hold(held: list[sdk.Policy], found: Sequence[sdk.Policy]) -> None:
    """Put ``found`` in the place of all that ``held`` has: the SDK asks this very list."""
    held[:] = found


def _unjudged() -> sdk.Policy:
    """What is asked until the engine has told the stack's settings: it refuses any plan."""

    def validate(args: Any, report: Any) -> None:
        report(f"expected the stack's settings from the engine, found none. Set {SETTINGS}.")

    return _on_stack(TOLD, "The stack's settings are known", validate)


def bounds_in(config: Mapping[str, str]) -> Bounds:
    """The bounds in ``config``, the stack's settings as the engine tells them.

    BadInput when they are not there. Other settings, secrets among them, are not looked at.
    """
    ours = {key: config[key] for key in (AZURE, IMAGES, MODELS) if key in config}
    return bounds_of({key: _structured(value) for key, value in ours.items()})


def _structured(value: Any) -> Any:
    """A setting as it was written: the engine hands over lists and mappings as JSON."""
    structured = isinstance(value, str) and value[:1] in ("{", "[")
    return json.loads(value) if structured else value


def _today() -> date:
    """The day by the clock of whoever runs the preview, as a suppression counts it."""
    return datetime.now().astimezone().date()


def policies(
    bounds: Bounds, convert: Convert | None = None, entries: Sequence[Suppression] = ()
) -> list[sdk.Policy]:
    """Every rule as a policy, and three that say what could not be judged.

    Findings that one of ``entries`` covers are let pass, unless its day was before today.
    """
    plan = Plan(convert or _to_arm, [one for one in entries if one.until >= _today()])
    return [
        plan.conversion(),
        *(plan.policy(rule) for rule in rules(bounds)),
        plan.wholeness(),
        *(plan.plan_policy(rule) for rule in plan_rules(bounds)),
        plan.answers(),
    ]


def _to_arm(*args: Any, **options: Any) -> ArmResource:
    """Azure's own shape of what azure-native was told; the table is read when it is needed."""
    from policies.arm.convert import to_arm

    return to_arm(*args, **options)


class Plan:
    """What the engine has shown of a plan so far, by URN."""

    def __init__(self, convert: Convert, entries: Sequence[Suppression] = ()) -> None:
        self._convert = convert
        self._entries = entries
        self._seen: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._fallen: list[Finding] = []

    def conversion(self) -> sdk.ResourceValidationPolicy:
        """The policy that sees every resource first, and refuses those that have no ARM form."""

        def validate(args: Any, report: Any) -> None:
            if args.resource_type.startswith(NATIVE):
                self._seen[args.urn] = (args.resource_type, plain(args.props))
                if isinstance(result := self._arm(args.urn), str):
                    report(result, args.urn)
            elif is_foreign(args.resource_type, args.provider is not None):
                report(f"expected azure-native, found {args.resource_type}", args.urn)

        return _on_resource(CONVERTED, "Every resource has a form that rules can judge", validate)

    def policy(self, rule: Rule) -> sdk.ResourceValidationPolicy:
        """``rule`` as a policy over each resource."""

        def validate(args: Any, report: Any) -> None:
            one = self._arm(args.urn) if args.urn in self._seen else None
            if isinstance(one, ArmResource):
                self._report(rule, judge_resource(one, (rule,)), report)

        return _on_resource(rule.id, rule.title, validate, rule)

    def wholeness(self) -> sdk.StackValidationPolicy:
        """The policy that refuses a plan which the engine has shown only a part of."""

        def validate(args: Any, report: Any) -> None:
            native = [r for r in args.resources if r.resource_type.startswith(NATIVE)]
            for one in native:
                if one.urn not in self._seen:
                    report(
                        "expected the whole plan, found a part. Preview without --target.", one.urn
                    )

        return _on_stack(WHOLE, "The whole plan is judged", validate)

    def plan_policy(self, rule: PlanRule) -> sdk.StackValidationPolicy:
        """``rule`` as a policy over the whole stack."""

        def validate(args: Any, report: Any) -> None:
            found = [self._arm(r.urn, _waits(r)) for r in args.resources if r.urn in self._seen]
            whole = [one for one in found if isinstance(one, ArmResource)]
            self._report(rule, judge_whole(whole, (rule,)), report)

        return _on_stack(rule.id, rule.title, validate, rule)

    def answers(self) -> sdk.StackValidationPolicy:
        """The policy that refuses what a rule whose findings are only shown fell over."""

        def validate(args: Any, report: Any) -> None:
            for finding in self._fallen:
                report(told(finding), finding.resource or None)

        return _on_stack(ANSWERED, "Every rule answers", validate)

    def _report(self, rule: Rule | PlanRule, findings: tuple[Finding, ...], report: Any) -> None:
        for finding in findings:
            if not any(entry.covers(finding) for entry in self._entries):
                report(told(finding), finding.resource or None)
        self._fallen += [one for one in findings if one.severity != rule.severity]

    def _arm(self, urn: str, depends_on: tuple[str, ...] = ()) -> ArmResource | str:
        """The resource, or why it has none."""
        token, props = self._seen[urn]
        try:
            return self._convert(token, props, urn=urn, depends_on=depends_on)
        except BadInput as error:
            return str(error)
        except Exception as error:  # its text could hold a value of the resource
            return f"expected {token} to be converted, found {type(error).__name__}"


def _waits(resource: Any) -> tuple[str, ...]:
    """The URNs that a resource of the engine's depends on, by a property or by itself."""
    by_property = [one for many in resource.property_dependencies.values() for one in many]
    return tuple(dict.fromkeys(one.urn for one in (*resource.dependencies, *by_property)))


def told(finding: Finding) -> str:
    """A finding as the engine shows it, below the policy's name and the resource."""
    said = f"expected {finding.expected}, found {finding.found}"
    return f"{said}. {finding.remedy} See {finding.guideline}"


def _on_resource(
    name: str, title: str, validate: Callable[[Any, Any], None], rule: Rule | None = None
) -> sdk.ResourceValidationPolicy:
    import pulumi_policy as sdk

    level = _level(rule)
    return sdk.ResourceValidationPolicy(name, title, validate, enforcement_level=level)


def _on_stack(
    name: str, title: str, validate: Callable[[Any, Any], None], rule: PlanRule | None = None
) -> sdk.StackValidationPolicy:
    import pulumi_policy as sdk

    level = _level(rule)
    return sdk.StackValidationPolicy(name, title, validate, enforcement_level=level)


def _level(rule: Rule | PlanRule | None) -> sdk.EnforcementLevel:
    """Mandatory stops the preview, advisory is shown."""
    import pulumi_policy as sdk

    warns = rule is not None and rule.severity == "warn"
    return sdk.EnforcementLevel.ADVISORY if warns else sdk.EnforcementLevel.MANDATORY
