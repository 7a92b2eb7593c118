"""The rules as checkov's checks: the same answers, and none of the ways that checkov fails open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.arm.resource import ArmResource
from policies.checks.azure import Door, opened, register, registered, unregister
from policies.rules.azure import kinds, rules
from policies.rules.findings import Finding
from policies.rules.rule import Rule
from release.errors import GreenlightError
from tests.policies.rules.azure.cases import BOUNDS, Case, cases

pytestmark = [
    pytest.mark.slow,  # checkov's import alone takes seconds
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning"),
]

REFUSED = [case for case in cases("refuses") if case.resource and case.environment == "production"]
PASSED = [case for case in cases("passes") if case.resource and case.environment == "production"]


@pytest.fixture
def door() -> Iterator[Door]:
    """Every rule, registered, and gone again afterwards."""
    with opened(BOUNDS) as one:
        yield one


def template(folder: Path, *entries: dict[str, Any]) -> Path:
    """A template of ``entries`` in a file."""
    document = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": list(entries),
    }
    file = folder / "plan.json"
    text = json.dumps(document, indent=1)
    file.write_text(text.replace('"[secret]"', '"[[secret]"'))  # as a preview writes it
    return file


def entry(resource: ArmResource) -> dict[str, Any]:
    return {
        "type": resource.type,
        "apiVersion": resource.api,
        "name": resource.name,
        **({"scope": resource.scope} if resource.scope else {}),
        **resource.body,
    }


def scan(file: Path) -> dict[str, set[str]]:
    """What checkov's own runner fails in ``file``: rules by the resource's name."""
    from checkov.arm.runner import Runner
    from checkov.runner_filter import RunnerFilter

    report: Any = Runner().run(files=[str(file)], runner_filter=RunnerFilter(framework=["arm"]))
    failed: dict[str, set[str]] = {}
    for record in report.failed_checks:
        failed.setdefault(record.resource.rpartition(".")[2], set()).add(record.check_id)
    return failed


def _numbered(listed: list[Case]) -> list[tuple[str, Case, ArmResource]]:
    found = []
    for index, case in enumerate(listed):
        assert case.resource is not None
        one = case.resource
        named = case.rule == "GL-AZ-GPU-008" or case.found.endswith(" in name")  # judge the name
        name = one.name if named else f"r{index}"
        resource = ArmResource(one.type, one.api, name, one.body, scope=one.scope)
        found.append((name, case, resource))
    return found


def _unspelled(case: Case) -> bool:
    """Whether only the type's spelling is wrong, which a template may have as it likes."""
    assert case.resource is not None
    return case.resource.type.islower()


def test_checkov_says_of_every_fixture_what_the_rule_says(door: Door, tmp_path: Path) -> None:
    """Through checkov's own parser, graph and runner, in one template."""
    refused, passed = _numbered([one for one in REFUSED if not _unspelled(one)]), _numbered(PASSED)
    (tmp_path / "good").mkdir()
    bad = template(tmp_path, *(entry(resource) for _, _, resource in refused))
    good = template(tmp_path / "good", *(entry(resource) for _, _, resource in passed))

    failed, clean = scan(bad), scan(good)

    assert [str(c) for name, c, _ in refused if c.rule not in failed.get(name, set())] == []
    assert [str(c) for name, c, _ in passed if c.rule in clean.get(name, set())] == []
    door.confirm([str(bad), str(good)])


def test_every_rule_over_a_resource_is_a_check_while_the_door_is_open() -> None:
    ours = {rule.id for rule in rules(BOUNDS)}

    with opened(BOUNDS) as door:
        assert set(door.ids) == ours <= registered()

    assert not ours & registered()


def test_without_bounds_nothing_is_asked() -> None:
    with opened(None) as door:
        assert door.ids == ()
        door.confirm(["nothing.json"])


def found(door: Door, file: Path) -> list[Finding]:
    """What the rules say of ``file`` through checkov."""
    scan(file)
    door.confirm([str(file)])
    return door.findings


CARELESS: dict[str, Any] = {
    "type": kinds.STORAGE,
    "name": "st",
    "properties": {"allowBlobPublicAccess": True},
}


def test_a_finding_names_file_line_and_resource(door: Door, tmp_path: Path) -> None:
    """Of what is nested as well, wherever checkov lists it."""
    blobs = {"type": "blobServices", "name": "default", "properties": {}}
    file = template(tmp_path, {**CARELESS, "resources": [blobs]})
    lines = file.read_text().splitlines()

    (one,) = [finding for finding in found(door, file) if finding.rule == "GL-AZ-DAT-001"]

    assert (one.file, one.resource) == (str(file), "st/default")
    assert one.line is not None
    assert [line.strip() for line in lines[one.line - 1 : one.line + 1]] == [
        "{",
        '"type": "blobServices",',
    ]


LOST: dict[str, dict[str, Any]] = {
    "a name that checkov cannot render": {"name": "[toLower(concat('st', 'x'))]"},
    "a comment that tells checkov to skip it": {
        "metadata": {"checkov": [{"id": "GL-AZ-NET-005", "comment": "not now"}]}
    },
    "a type in another spelling": {"type": "microsoft.storage/storageaccounts"},
    "a parameter that has no default": {"name": "[parameters('name')]"},
    "a property in another case": {"properties": {"AllowBlobPublicAccess": True}},
    "a nested template in another case": {
        "type": "Microsoft.Resources/deployments",
        "properties": {"Template": {"Resources": [CARELESS]}},
    },
}


@pytest.mark.parametrize("case", LOST)
def test_s25_what_checkov_would_drop_is_found(case: str, door: Door, tmp_path: Path) -> None:
    assert "GL-AZ-NET-005" in {
        one.rule for one in found(door, template(tmp_path, {**CARELESS, **LOST[case]}))
    }


def _falls(_: ArmResource) -> str | None:
    raise KeyError("made-up secret")


FALLS = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls)


def test_s25_a_check_that_falls_over_fails_and_is_remembered(tmp_path: Path) -> None:
    """checkov would swallow it, and the resource would have passed."""
    door = register(BOUNDS, (FALLS,))
    try:
        failed = scan(template(tmp_path, CARELESS))
        with pytest.raises(GreenlightError, match="KeyError in the rule") as error:
            door.confirm()
    finally:
        unregister(door.ids)

    assert "GL-AZ-XXX-001" in failed["st"]
    assert "made-up" not in str(error.value)


def test_s25_a_check_that_checkov_has_lost_is_an_error(door: Door) -> None:
    unregister(("GL-AZ-NET-001",))

    with pytest.raises(GreenlightError, match="does not hold GL-AZ-NET-001"):
        door.confirm()


def test_s25_a_resource_that_checkov_did_not_ask_about_is_an_error(
    door: Door, tmp_path: Path
) -> None:
    """Whatever the reason; here because it says of itself that it is nested."""
    file = template(tmp_path, CARELESS, {**CARELESS, "parent_name": "nobody"})
    scan(file)

    with pytest.raises(GreenlightError, match=r"did not ask GL-AZ-NET-001 about all of .*plan"):
        door.confirm([str(file)])
