"""Every rule refuses what it is for, passes what is right, and never falls over (S25)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.arm.resource import UNKNOWN, ArmResource
from policies.arm.table import row, tokens
from policies.rules.azure import kinds, plan_rules, rules
from policies.rules.azure.bounds import Bounds, Slots
from policies.rules.rule import EVERY, PlanRule, Rule
from tests.policies.making import untimed
from tests.policies.rules.azure.cases import BOUNDS, RULES, Case, cases

REFUSED, PASSED = cases("refuses"), cases("passes")

INDEPENDENT = {
    "GL-AZ-GEN-001": "judges the type",
    "GL-AZ-SEC-001": "looks for what is readable, and nothing is",
    "GL-AZ-SEC-004": "looks for secrets, and nothing is one",
    "GL-AZ-SEC-005": "looks for what is readable, and nothing is",
    "GL-AZ-GEN-002": "judges the names of properties",
    "GL-AZ-GPU-008": "judges the name",
    "GL-AZ-IMG-007": "speaks of registries that are known to be closed",
}


BY_SPELLING = {
    "GL-AZ-GEN-002": "judges the spelling itself",
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_s25_what_a_rule_is_for_is_refused(case: Case) -> None:
    """With the reason that the fixture names, at the resource that it names."""
    findings = case.judge()

    assert [finding.rule for finding in findings] == [case.rule]
    assert case.found in findings[0].found
    assert findings[0].resource == (f"urn:{case.names}" if case.names else case_urn(case))
    assert (findings[0].file, findings[0].line) == ("infra/azure/some.py", 7)


def case_urn(case: Case) -> str:
    assert case.resource is not None
    return case.resource.urn


@pytest.mark.parametrize("case", PASSED, ids=str)
def test_what_is_right_passes(case: Case) -> None:
    assert case.judge() == ()


@pytest.mark.parametrize(
    "case",
    [case for case in (*REFUSED, *PASSED) if case.resource and case.rule not in BY_SPELLING],
    ids=str,
)
def test_a_property_in_another_case_is_the_same_property(case: Case) -> None:
    """Azure takes it, so what is refused stays refused, and what is right stays right."""
    assert case.resource is not None
    shouted = replace(case.resource, body=_shouted(case.resource.body))

    assert len(replace(case, resource=shouted).judge()) == len(case.judge())


def _shouted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.upper(): _shouted(one) for key, one in value.items()}
    return [_shouted(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_s25_a_rule_without_fixtures_is_a_failure(rule: Rule | PlanRule) -> None:
    """For each type that a rule is about there is one that it refuses, and one that it passes."""
    for shown in (REFUSED, PASSED):
        of_rule = [case for case in shown if case.rule == rule.id]
        if isinstance(rule, Rule) and rule.types != EVERY:
            assert {case.resource.type for case in of_rule if case.resource} == set(rule.types)
        assert of_rule


@pytest.mark.parametrize("case", [case for case in REFUSED if case.plan], ids=str)
def test_the_order_of_a_plan_says_nothing(case: Case) -> None:
    """The engine shows a policy pack the same resources in another order than a preview has."""
    turned = replace(case, plan=case.plan[::-1])

    assert {one.resource for one in turned.judge()} == {one.resource for one in case.judge()}


def test_fixtures_are_of_rules_that_exist() -> None:
    """A rule that was renamed or dropped leaves no fixture that nothing asks for."""
    assert {case.rule for case in (*REFUSED, *PASSED)} == set(RULES)
    assert all(case.found for case in REFUSED), "a refusal says what is found"


def test_there_are_at_least_forty_rules() -> None:
    assert len(RULES) >= 40
    assert len(RULES) == len(rules(BOUNDS)) + len(plan_rules(BOUNDS)), "each id once"


def test_s25_the_rules_know_every_type_that_the_table_makes() -> None:
    """In the table's spelling: a type that is written otherwise would go by every rule."""
    assert {row(token).arm for token in tokens()} <= set(kinds.KNOWN)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_says_all_that_a_reader_needs(rule: Rule | PlanRule) -> None:
    """Stable id, title, what is expected, what to do, and the page that it comes from."""
    assert re.fullmatch(r"GL-AZ-[A-Z]{3}-\d{3}", rule.id)
    assert rule.title
    assert rule.expected
    assert rule.remedy.endswith(".")
    assert re.fullmatch(r"https://\S+", rule.source)
    types = rule.types if isinstance(rule, Rule) else ()
    assert types == EVERY or set(types) <= set(kinds.KNOWN)


@pytest.mark.parametrize(
    "case", [case for case in PASSED if case.resource and case.rule not in INDEPENDENT], ids=str
)
def test_what_is_not_known_yet_is_a_finding(case: Case) -> None:
    """A rule never passes by accident because a preview cannot tell it what it asks for."""
    assert case.resource is not None
    body = dict.fromkeys(case.resource.body, UNKNOWN)
    environment = Bounds("production", BOUNDS.regions)  # the fixture's own may ask for less
    rule = next(one for one in rules(environment) if one.id == case.rule)

    assert rule.judge(ArmResource(case.resource.type, "x", "one", body)) is not None


LATER = {
    # What Azure makes is known when it is made; that it is named is all that a plan can say.
    ("GL-AZ-DGN-001", "properties.workspaceId"),
    ("GL-AZ-IDN-014", "properties.issuer"),
}


@pytest.mark.parametrize("case", [case for case in PASSED if case.resource], ids=str)
def test_where_absence_is_refused_the_unknown_is_refused(case: Case) -> None:
    """At every depth: whoever must be told something is not content with a promise."""
    rule = RULES[case.rule]
    assert case.resource is not None
    assert isinstance(rule, Rule)
    kind, name, body = case.resource.type, case.resource.name, case.resource.body
    for path in _paths(body):
        absent = rule.judge(ArmResource(kind, "x", name, _put(body, path, None)))
        unknown = rule.judge(ArmResource(kind, "x", name, _put(body, path, UNKNOWN)))
        later = (case.rule, ".".join(map(str, path))) in LATER
        assert unknown or not absent or later, path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", UNKNOWN, "System", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "name", "enabled"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place within ``value`` where something else could stand."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    inner = [found for key, child in items for found in _paths(child, (*path, key))]
    return [*([path] if path else []), *inner]


def _put(value: Any, path: tuple[str | int, ...], other: Any) -> Any:
    """``value`` with ``other`` at ``path``."""
    if not path:
        return other
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _put(copy[path[0]], path[1:], other)
    return copy


@untimed
@given(data=st.data(), other=JSON)
def test_s25_no_shape_of_a_resource_makes_a_rule_fall_over(data: st.DataObject, other: Any) -> None:
    """Whatever stands where a rule looks, there is an answer, and it is safe to print."""
    case = data.draw(
        st.sampled_from([c for c in (*REFUSED, *PASSED) if c.resource and c.resource.body])
    )
    assert case.resource is not None
    path = data.draw(st.sampled_from(_paths(case.resource.body)))
    body = _put(case.resource.body, path, other)
    resource = ArmResource(case.resource.type, "x", case.resource.name, body, urn="urn:one")

    for rule in rules(BOUNDS):
        finding = rule.judge(resource)
        assert finding is None or finding.found.isprintable()
    for plan_rule in plan_rules(BOUNDS):
        plan_rule.judge((resource,))


@pytest.mark.parametrize("zones", [[[]], ["1", []], [{}, ["2"]], ["1", None]])
def test_s25_what_is_no_zone_counts_for_none(zones: list[Any]) -> None:
    """A pool in a zone and a list is in one zone, and the rule does not fall over it."""
    rule = RULES["GL-AZ-AKS-005"]
    pool = {"mode": "System", "availabilityZones": zones}
    body = {"properties": {"agentPoolProfiles": [pool]}}

    assert isinstance(rule, Rule)
    assert rule.judge(ArmResource("Microsoft.ContainerService/managedClusters", "x", "one", body))


@pytest.mark.parametrize(
    ("size", "missing"), [("Standard_NC24ads_A100_v4", 1), ("Standard_D4s_v5", 0)]
)
def test_each_slot_that_the_settings_name_is_watched(size: str, missing: int) -> None:
    """For its GPUs where its machines have some; the plan has no deployments that would say so."""
    bounds = replace(BOUNDS, slots={"bot": Slots(size, ("blue",))})
    rule = next(one for one in plan_rules(bounds) if one.id == "GL-AZ-ALR-008")
    (case,) = [c for c in PASSED if c.rule == rule.id and "/deployments/blue" in str(c.plan)]
    plan = [replace(one, body={**one.body, "tags": {"application": "bot"}}) for one in case.plan]

    assert [one.found for one in rule.judge(plan)] == missing * [
        "no alert in the plan on the GPUs of its slot blue"
    ]
    other = replace(bounds, slots={"bot": Slots("", ("green",))})
    rule = next(one for one in plan_rules(other) if one.id == "GL-AZ-ALR-008")
    assert [one.found for one in rule.judge(plan)] == [
        "no alert in the plan on the capacity of its slot green"
    ]


def test_a_stack_that_is_not_private_is_shown_its_ways_in() -> None:
    """They are a choice there, and no longer a refusal; keys and encryption are no choice."""
    private = {rule.id: rule.severity for rule in rules(Bounds("staging", ("x",)))}
    public = {rule.id: rule.severity for rule in rules(Bounds("staging", ("x",), private=False))}
    eased = {name for name in private if private[name] != public[name]}

    assert {name[:9] for name in eased} == {"GL-AZ-NET", "GL-AZ-AML", "GL-AZ-IMG"}
    assert all(public[name] == "warn" for name in eased)
