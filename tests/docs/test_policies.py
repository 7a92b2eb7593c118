"""The page about policies is what the rules say."""

from __future__ import annotations

from docs.policy_table import BOUNDS, FILE, page
from policies.rules.azure import plan_rules, rules
from policies.rules.azure.bounds import Bounds


def test_the_page_is_current() -> None:
    """Write it again with ``python docs/policy_table.py``."""
    assert page() == FILE.read_text()


def test_every_rule_is_on_it() -> None:
    ids = [*(rule.id for rule in rules(BOUNDS)), *(rule.id for rule in plan_rules(BOUNDS))]

    assert [one for one in ids if one not in page()] == []


def test_production_and_privacy_ease_different_rules() -> None:
    """The page tells the two apart by the id: AKS's ease outside production."""
    whole = {rule.id: rule.severity for rule in rules(BOUNDS)}
    public = {r.id: r.severity for r in rules(Bounds("production", BOUNDS.regions, private=False))}
    eased = {name for name in whole if whole[name] != public[name]}

    assert not any("AKS" in name for name in eased)
