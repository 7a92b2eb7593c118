"""Programs with mistakes of real teams are refused, each by the rule meant for it; by the engine
with the policy pack, too. The programs are in tests/cases/programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cli.preview import exit_code
from pipelines.preview import Preview, preview
from policies.arm.table import row, tokens
from policies.rules.azure import kinds
from policies.rules.findings import Finding, refusals
from release.errors import REFUSED, BadInput
from tests.pipelines.known_bad import PROGRAMS, STACK, Packed, meant, packed
from tests.policies.rules.azure.cases import RULES

JUDGED = ("known-bad", "no-budget")
"""The programs that there is a plan of. The third, ``unmapped``, is refused before."""

MEANT = {program: meant(program) for program in JUDGED}
TYPES = {row(token).arm for token in tokens()}

NO_PROGRAM: Mapping[str, Callable[[], bool]] = {
    # A deployment of a model has no row in the table, for it belongs to the pipeline.
    "GL-AZ-AML-006": lambda: kinds.DEPLOYMENT not in TYPES,
    # A type that the rules do not know has no row in the table.
    "GL-AZ-GEN-001": lambda: set(kinds.KNOWN) >= TYPES,
}
"""Rules over what only a template can hold, which ``check`` reads, and why no program can."""


@pytest.mark.parametrize("rule", RULES)
def test_s25_every_rule_has_a_mistake_that_is_meant_for_it(rule: str) -> None:
    """In some program, or no program can make it."""
    told = {name for places in MEANT.values() for name, _, _ in places}

    assert (rule in told) != (rule in NO_PROGRAM)


@pytest.mark.parametrize("rule", NO_PROGRAM)
def test_what_no_program_can_make_no_program_can_make(rule: str) -> None:
    assert NO_PROGRAM[rule]()


def test_every_mistake_names_a_rule_that_there_is() -> None:
    assert {name for places in MEANT.values() for name, _, _ in places} <= set(RULES)


def ours(previewed: Preview) -> list[Finding]:
    """What our own rules have against a plan."""
    return [one for one in previewed.judged.findings if one.rule in RULES]


@pytest.fixture(scope="module", params=JUDGED)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def previewed(program: str, engine: str) -> Preview:
    return preview(PROGRAMS / program, STACK, environment={})


@pytest.fixture(scope="module")
def by_pack(program: str, engine: str, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed(program, tmp_path_factory.mktemp(program))


@pytest.mark.slow
def test_each_mistake_is_found_at_its_line_by_the_rule_meant_for_it(
    program: str, previewed: Preview
) -> None:
    """By no other; and at a line that is no mistake, nothing is found."""
    found = {(one.rule, one.file, one.line) for one in ours(previewed)}

    assert found == MEANT[program]
    assert exit_code(previewed) == REFUSED


@pytest.mark.slow
def test_the_pack_refuses_what_preview_refuses(previewed: Preview, by_pack: Packed) -> None:
    """By the same rules, at the same resources; what one only shows, so does the other."""
    found = ours(previewed)
    refused = {(one.rule, one.resource) for one in refusals(found)}
    shown = {(one.rule, one.resource) for one in found} - refused

    assert by_pack.code != 0
    assert by_pack.at("mandatory") == refused, by_pack.said
    assert by_pack.at("advisory") == shown, by_pack.said


@pytest.mark.slow
def test_neither_shows_a_secret(previewed: Preview, by_pack: Packed) -> None:
    """Not even one that stands in the program in plain text, which is the mistake."""
    assert "made-up" not in "\n".join(map(str, previewed.found))
    assert "made-up" not in by_pack.said


@pytest.mark.slow
def test_no_file_that_preview_writes_holds_a_secret(previewed: Preview) -> None:
    """Nor does the document for other programs: what the program shows is taken out."""
    bodies = [one.body for one in previewed.plan.resources]

    assert "made-up" not in json.dumps([previewed.plan.engine, previewed.template, bodies])


@pytest.mark.slow
def test_a_type_that_is_not_mapped_is_refused_by_name_and_line(engine: str) -> None:
    """No rule has ever met it."""
    with pytest.raises(BadInput, match=r"program/__main__\.py:7.*OnlineDeployment"):
        preview(PROGRAMS / "unmapped", STACK, environment={})


@pytest.mark.slow
def test_another_providers_resource_is_refused_by_name_and_line(engine: str) -> None:
    """And nothing else is: the component around it makes nothing."""
    with pytest.raises(BadInput, match=r"program/__main__\.py:22.*dynamic.*") as refused:
        preview(PROGRAMS / "foreign", STACK, environment={})

    assert [one.path.rpartition("::")[2] for one in refused.value.problems] == ["unseen"]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "name"), [("unmapped", "blue"), ("foreign", "unseen")])
def test_the_pack_refuses_what_no_rule_can_judge(
    program: str, name: str, engine: str, tmp_path: Path
) -> None:
    found = packed(program, tmp_path)

    assert found.code != 0
    assert [(policy, urn.rpartition("::")[2]) for policy, urn in found.at("mandatory")] == [
        ("GL-AZ-ARM-001", name)
    ]
