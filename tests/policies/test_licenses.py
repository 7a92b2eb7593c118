"""Licences: what the platform allows, less what the application takes away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.findings import refusals
from policies.rules.licenses import (
    PLATFORM_DEFAULT,
    alternatives,
    check_license,
    same_license,
)
from tests.policies.making import untimed

PLATFORM = ("Apache-2.0", "MIT", "ISC")

CASES = [
    # declared, application's list, rule that refuses
    ("Apache-2.0", None, None),
    ("apache-2.0", None, None),
    ("  MIT ", None, None),
    ("MIT OR GPL-3.0-only", None, None),
    ("GPL-3.0-only or mit", None, None),
    ("MIT AND ISC", None, None),
    ("GPL-3.0-only OR MIT AND ISC", None, None),
    (None, None, "GL-LICENSE-001"),
    ("", None, "GL-LICENSE-001"),
    ("  ", None, "GL-LICENSE-001"),
    ("Apache 2", None, "GL-LICENSE-002"),
    ("(MIT OR ISC) AND MIT", None, "GL-LICENSE-002"),
    ("MIT WITH Classpath-exception-2.0", None, "GL-LICENSE-002"),
    ("MIT AND", None, "GL-LICENSE-002"),
    ("OR MIT", None, "GL-LICENSE-002"),
    ("MIT\x1b[31m", None, "GL-LICENSE-002"),
    ("MIT OR " * 1000 + "MIT", None, "GL-LICENSE-002"),
    ("GPL-3.0-only", None, "GL-LICENSE-003"),
    ("MIT AND GPL-3.0-only", None, "GL-LICENSE-003"),
    ("Apache-2.0+", None, "GL-LICENSE-003"),
    ("other", None, "GL-LICENSE-003"),
    ("MIT", ("mit",), None),
    ("Apache-2.0", ("MIT",), "GL-LICENSE-004"),
    ("MIT", (), "GL-LICENSE-004"),
    ("MIT AND ISC", ("MIT",), "GL-LICENSE-004"),
]


@pytest.mark.parametrize(("declared", "application", "rule"), CASES)
def test_a_licence_is_held_against_both_lists(
    declared: str | None, application: tuple[str, ...] | None, rule: str | None
) -> None:
    findings = check_license(
        declared, file="llm.yaml", line=7, platform=PLATFORM, application=application
    )

    assert [finding.rule for finding in findings] == ([rule] if rule else [])
    assert all(finding.line == 7 and str(finding).isprintable() for finding in findings)


def test_an_application_cannot_allow_what_the_platform_does_not() -> None:
    findings = check_license(
        "GPL-3.0-only", file="llm.yaml", platform=PLATFORM, application=("GPL-3.0-only",)
    )

    assert [(f.rule, f.severity) for f in findings] == [
        ("GL-LICENSE-005", "warn"),
        ("GL-LICENSE-003", "refuse"),
    ]


def test_an_entry_without_effect_warns_and_stops_nothing() -> None:
    findings = check_license(
        "MIT", file="llm.yaml", platform=PLATFORM, application=("MIT", "GPL-3.0-only")
    )

    assert [finding.rule for finding in findings] == ["GL-LICENSE-005"]
    assert refusals(findings) == ()


def test_a_refusal_writes_identifiers_as_spdx_does() -> None:
    (finding,) = check_license("bsd-3-clause", file="llm.yaml", platform=("MIT",), application=None)

    assert finding.found == "BSD-3-Clause"
    assert "(MIT)" in finding.expected


@pytest.mark.parametrize("name", PLATFORM_DEFAULT)
def test_every_licence_of_the_default_list_passes(name: str) -> None:
    assert check_license(name.lower(), file="llm.yaml") == ()


@untimed
@given(
    st.lists(st.sampled_from((*PLATFORM, "GPL-3.0-only")), max_size=3), st.sampled_from(PLATFORM)
)
def test_an_application_only_ever_tightens(application: list[str], declared: str) -> None:
    with_list = check_license(declared, file="llm.yaml", platform=PLATFORM, application=application)

    assert bool(refusals(with_list)) == (declared not in application)


def test_and_binds_tighter_than_or() -> None:
    assert alternatives("MIT OR Apache-2.0 AND ISC") == (("MIT",), ("Apache-2.0", "ISC"))


SAME = [
    ("Apache-2.0", "apache-2.0", True),
    ("MIT OR ISC", "isc or mit", True),
    ("MIT AND ISC", "MIT OR ISC", False),
    ("llama 3", "Llama  3", True),
    ("MIT", "MIT-0", False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_licences_are_the_same_whatever_their_case_and_order(
    one: str, other: str, same: bool
) -> None:
    assert same_license(one, other) is same


@untimed
@given(st.text(max_size=60))
def test_no_text_makes_the_check_fail(declared: str) -> None:
    assert all(str(finding).isprintable() for finding in check_license(declared, file="llm.yaml"))
