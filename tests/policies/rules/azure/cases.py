"""The fixtures: for every rule, resources and plans that it refuses, and some that it passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies.arm.resource import ArmResource, Source
from policies.rules.azure import kinds, plan_rules, rules
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding
from policies.rules.rule import PlanRule, Rule
from release.documents import read_document

FIXTURES = Path(__file__).parent / "fixtures"
BOUNDS = Bounds(environment="production", regions=("swedencentral",))
ALL: tuple[Rule | PlanRule, ...] = (*rules(BOUNDS), *plan_rules(BOUNDS))
RULES: Mapping[str, Rule | PlanRule] = {rule.id: rule for rule in ALL}
_OF_A_CASE = ("on", "type", "found", "name", "names", "after", "scope", "environment")


@dataclass(frozen=True)
class Case:
    """A resource, or a plan, for one rule. ``found`` is part of what is said of it."""

    rule: str
    place: str
    found: str = ""
    environment: str = "production"
    resource: ArmResource | None = None
    plan: tuple[ArmResource, ...] = ()
    names: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        kind = f" {self.resource.type.rpartition('/')[2]}" if self.resource else ""
        return f"{self.place}{kind}"

    def judge(self) -> tuple[Finding, ...]:
        """What the rule says of it."""
        bounds = Bounds(environment=self.environment, regions=BOUNDS.regions)
        if self.resource is None:
            found = next(rule for rule in plan_rules(bounds) if rule.id == self.rule)
            return found.judge(self.plan)
        rule = next(rule for rule in rules(bounds) if rule.id == self.rule)
        finding = rule.judge(self.resource)
        return (finding,) if finding else ()


def cases(kind: str) -> tuple[Case, ...]:
    """All cases of ``kind``, ``refuses`` or ``passes``, in the files' order."""
    return tuple(case for file in sorted(FIXTURES.glob("*.yaml")) for case in _of(file, kind))


def _of(file: Path, kind: str) -> Iterator[Case]:
    document = read_document(file)
    for rule, both in document.value.items():
        for index, given in enumerate(both.get(kind, [])):
            line = document.place((rule, kind, index))[1]
            place = f"{rule} {file.name}:{line}"
            said = {key: given[key] for key in ("found", "environment", "names") if key in given}
            if "plan" in given:
                plan = tuple(_resource(one, _type(one)) for one in given["plan"])
                yield Case(rule, place, plan=plan, given=given, **said)
            else:
                for name in _types(rule, given):
                    yield Case(rule, place, resource=_resource(given, name), given=given, **said)


def _types(rule: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    known = RULES[rule]
    assert isinstance(known, Rule), f"{rule} is about a plan"
    return known.types if given.get("on") == "all" else (_type(given),)


def _type(given: Mapping[str, Any]) -> str:
    return str(given["type"] if "type" in given else getattr(kinds, given["on"]))


def _resource(given: Mapping[str, Any], kind: str) -> ArmResource:
    name = given.get("name", "one")
    return ArmResource(
        type=kind,
        api="2025-01-01",
        name=name,
        body={key: value for key, value in given.items() if key not in _OF_A_CASE},
        urn=f"urn:{name}",
        source=Source("infra/azure/some.py", 7),
        depends_on=tuple(f"urn:{one}" for one in given.get("after", [])),
        scope=given.get("scope", ""),
    )
