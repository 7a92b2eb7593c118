"""Every limit, as a plan and facts that it refuses or passes: the files in ``cases``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import policies.limits
from policies.limits.capacity import CapacityRow
from policies.limits.check import check_limits
from policies.limits.found import UNKNOWN_RULES, inconclusive
from policies.rules.findings import Finding
from tests.policies.limits.cases import Case, cases

ALL = cases()
ELSEWHERE = {
    "GL-TRAFFIC-008",
    "GL-TRAFFIC-010",
    "GL-FIXED-002",
    "GL-ENDPOINT-003",
    "GL-ENDPOINT-004",
}
"""Rules whose cases are in test_limits.py, since a plan in a file cannot say them."""


@pytest.mark.parametrize("case", ALL, ids=[case.title for case in ALL])
def test_case(case: Case) -> None:
    """The findings of the group are exactly those of the case, and the rows are as it says."""
    limits = check_limits(case.plan, case.facts, case.request)
    found = [finding for finding in limits.findings if finding.rule.startswith(case.about)]
    assert [f.rule for f in found] == [wanted["rule"] for wanted in case.findings], found
    for finding, wanted in zip(found, case.findings, strict=True):
        _compare(finding, wanted)
    rows = {row.ask.name: row for row in limits.capacity}
    for wanted in case.capacity:
        _compare_row(rows[wanted["name"]], wanted)


@pytest.mark.parametrize("case", ALL, ids=[case.title for case in ALL])
def test_what_is_unknown_warns_and_is_told_from_a_pass(case: Case) -> None:
    """An id of UNKNOWN_RULES never refuses, and is found by ``inconclusive``."""
    findings = check_limits(case.plan, case.facts, case.request).findings
    unknown = [finding for finding in findings if finding.rule in UNKNOWN_RULES]
    assert all(finding.severity == "warn" for finding in unknown)
    assert list(inconclusive(findings)) == unknown


def test_every_rule_has_a_case_that_it_refuses() -> None:
    """A rule that no case brings up may never fire at all (S25)."""
    source = "".join(path.read_text() for path in _folder().glob("*.py"))
    rules = set(re.findall(r"GL-[A-Z]+-\d{3}", source))
    brought_up = {wanted["rule"] for case in ALL for wanted in case.findings}
    assert rules - brought_up == ELSEWHERE


@pytest.mark.parametrize("group", sorted({case.about[:8] for case in ALL}))
def test_every_group_has_a_case_that_passes(group: str) -> None:
    """A group of rules that refuses everything is as useless as one that refuses nothing."""
    mine = [case for case in ALL if case.about.startswith(group)]
    assert any(len(case.findings) < len(case.plan) + len(case.request.deployments) for case in mine)


def _compare(finding: Finding, wanted: Mapping[str, str]) -> None:
    assert finding.severity == wanted.get("severity", finding.severity)
    assert wanted.get("found", "") in finding.found
    assert wanted.get("remedy", "") in finding.remedy
    assert finding.expected
    assert finding.remedy


def _compare_row(row: CapacityRow, wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        actual = getattr(row.ask if name in ("name", "count", "slots", "size") else row, name)
        assert str(actual).startswith(value) if name == "origin" else actual == value, name


def _folder() -> Path:
    return Path(policies.limits.__file__).parent
