"""Findings: how they read, and that they are safe to print."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.rules.findings import Finding, refusals, shown
from tests.policies.making import untimed

FINDING = Finding("GL-X-001", "a.md", "a thing", "none", "Add it", line=3)


def test_a_finding_says_rule_place_expectation_and_remedy() -> None:
    assert str(FINDING) == "GL-X-001 a.md:3: expected a thing, found none. Add it"
    assert str(replace(FINDING, line=None)).startswith("GL-X-001 a.md: expected")


def test_a_finding_names_its_resource_once() -> None:
    """Also one whose name is a part of another word in what was found."""
    named = replace(FINDING, resource="urn:pulumi:p::g::t::vault")

    told = str(replace(named, found="vaults of type Vault/vaults"))
    assert (
        told == "GL-X-001 a.md:3 vault: expected a thing, found vaults of type Vault/vaults. Add it"
    )
    begun = str(replace(named, found="vault does not hold it"))
    assert begun == "GL-X-001 a.md:3: expected a thing, found vault does not hold it. Add it"


def test_a_warning_stops_nothing() -> None:
    assert refusals((FINDING, replace(FINDING, severity="warn"))) == (FINDING,)


@untimed
@given(st.text(), st.integers(1, 100))
def test_what_is_shown_is_printable_and_short(text: str, limit: int) -> None:
    result = shown(text, limit)

    assert result.isprintable()
    assert len(result) <= 10 * limit + 3


@untimed
@given(st.text(alphabet=st.characters(categories=["L", "N", "P"]), max_size=80))
def test_what_is_printable_and_short_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text
