"""Model cards: present, with something under each heading that matters, and in agreement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.findings import Finding
from policies.rules.model_card import LONGEST_CARD, check_model_card
from tests.policies.making import untimed

CARD = """# Tiny

## Model and origin
Distilled from nothing.

## Licence
Apache-2.0.

## Intended use
Questions about a manual.

## Limits
It knows no facts.

## Evaluation
130 questions.
"""

HUB_CARD = """---
license: apache-2.0
---
# Model Card for Tiny
## Model Details
### Model Description
A small model.
## Uses
### Direct Use
Questions.
## Bias, Risks, and Limitations
Some.
## Evaluation
### Results
| metric | value |
"""


def check(card: str | None, declared: str | None = "Apache-2.0") -> tuple[Finding, ...]:
    return check_model_card(card, file="MODEL_CARD.md", declared_license=declared)


def rules(card: str | None, declared: str | None = "Apache-2.0") -> list[str]:
    return [finding.rule for finding in check(card, declared)]


@pytest.mark.parametrize("card", [CARD, HUB_CARD], ids=["plain", "as model hubs have it"])
def test_a_whole_card_passes(card: str) -> None:
    assert check(card) == ()


@pytest.mark.parametrize(
    ("card", "rule"),
    [
        (None, "GL-CARD-001"),
        ("", "GL-CARD-002"),
        (" \n\n", "GL-CARD-002"),
        ("a" * (LONGEST_CARD + 1), "GL-CARD-002"),
    ],
    ids=["absent", "empty", "blank", "endless"],
)
def test_no_card_worth_the_name_is_refused(card: str | None, rule: str) -> None:
    assert rules(card) == [rule]


SECTIONS = ["Model and origin", "Licence", "Intended use", "Limits", "Evaluation"]


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_missing_section_is_refused_by_name(heading: str) -> None:
    (finding,) = check(CARD.replace(f"## {heading}", "## Thanks"))

    assert finding.rule == "GL-CARD-003"
    assert f"a section on {heading.lower()}" in finding.expected


EMPTY = {
    "nothing": "",
    "a template's words": "[More Information Needed]",
    "a promise": "**TODO**",
    "a comment": "<!-- say what was measured -->",
    "another heading": "### Details",
}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_a_heading_with_nothing_under_it_is_no_section(body: str) -> None:
    assert rules(CARD.replace("130 questions.", body)) == ["GL-CARD-003"]


def test_a_heading_in_a_code_block_is_no_section() -> None:
    fenced = CARD.replace("## Evaluation", "```\n## Evaluation") + "```\n"

    assert rules(fenced) == ["GL-CARD-003"]


def test_a_heading_may_name_two_sections() -> None:
    both = CARD.replace(
        "## Intended use\nQuestions about a manual.\n\n## Limits", "## Uses and limits"
    )

    assert check(both) == ()


def test_how_to_use_a_model_is_not_what_it_is_for() -> None:
    assert rules(CARD.replace("## Intended use", "## How to use")) == ["GL-CARD-003"]


LICENSES = [
    ("Apache-2.0", []),
    ("apache-2.0", []),
    ("MIT", ["GL-CARD-004"]),
    ("Apache-2.0 AND MIT", ["GL-CARD-004"]),
    ("Apache-2", ["GL-CARD-004"]),
    (None, []),
]


@pytest.mark.parametrize(("declared", "refused"), LICENSES)
def test_the_card_names_the_declared_licence(declared: str | None, refused: list[str]) -> None:
    assert rules(CARD, declared) == refused


@pytest.mark.parametrize("part", ["# use\n", "###### use\n", "<!--", "!", "```\n", "- ", "#", "a "])
def test_a_card_made_to_be_slow_is_read_to_its_end(part: str) -> None:
    assert check((part * LONGEST_CARD)[: LONGEST_CARD - 1] + "x")


@untimed
@given(st.text(alphabet=st.sampled_from("#-` \n<!>useLimts:"), max_size=300))
def test_no_text_makes_the_check_fail(card: str) -> None:
    assert check(card)
