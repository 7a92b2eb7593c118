"""The rules as checkov's checks: the same answers, and none of the ways that checkov fails open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.arm.resource import ArmResource
from policies.checks.azure import Door, load_folder, register, registered, unregister
from policies.rules.azure import kinds, rules
from policies.rules.rule import Rule
from release.errors import BadInput
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
    opened = register(BOUNDS)
    yield opened
    unregister(opened.ids)


def scan(folder: Path, resources: list[ArmResource]) -> dict[str, set[str]]:
    """What checkov's own runner fails of ``resources``: rules by the resource's name."""
    from checkov.arm.runner import Runner
    from checkov.runner_filter import RunnerFilter

    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {"type": r.type, "apiVersion": r.api, "name": r.name, **r.body} for r in resources
        ],
    }
    file = folder / "plan.json"
    file.write_text(json.dumps(template, indent=1))
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
        named = case.rule == "GL-AZ-GPU-008"  # the one rule that judges the name
        name = one.name if named else f"r{index}"
        found.append((name, case, ArmResource(one.type, one.api, name, one.body)))
    return found


def test_checkov_says_of_every_fixture_what_the_rule_says(door: Door, tmp_path: Path) -> None:
    """Through checkov's own parser, graph and runner, in one template."""
    refused, passed = _numbered(REFUSED), _numbered(PASSED)
    (tmp_path / "good").mkdir()

    failed = scan(tmp_path, [resource for _, _, resource in refused])
    clean = scan(tmp_path / "good", [resource for _, _, resource in passed])

    assert [str(c) for name, c, _ in refused if c.rule not in failed.get(name, set())] == []
    assert [str(c) for name, c, _ in passed if c.rule in clean.get(name, set())] == []
    door.confirm()


def test_every_rule_over_a_resource_is_a_check(door: Door) -> None:
    assert set(door.ids) == {rule.id for rule in rules(BOUNDS)} <= registered()


def _falls(_: ArmResource) -> str | None:
    raise KeyError("made-up secret")


def test_s25_a_check_that_falls_over_fails_and_is_remembered(tmp_path: Path) -> None:
    """checkov would swallow it, and the resource would have passed."""
    rule = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls)
    door = register(BOUNDS, (rule,))
    try:
        failed = scan(tmp_path, [ArmResource(kinds.STORAGE, "2024-01-01", "st", {})])
    finally:
        unregister(door.ids)

    assert "GL-AZ-XXX-001" in failed["st"]
    with pytest.raises(RuntimeError, match="KeyError in the rule"):
        door.confirm()


def test_s25_a_check_that_checkov_has_lost_is_an_error(door: Door) -> None:
    unregister(("GL-AZ-NET-001",))

    with pytest.raises(RuntimeError, match="GL-AZ-NET-001"):
        door.confirm()


CHECK = """
from checkov.arm.base_resource_check import BaseResourceCheck
from checkov.common.models.enums import CheckCategories, CheckResult

class Own(BaseResourceCheck):
    def __init__(self):
        types = ["Microsoft.Storage/storageAccounts"]
        super().__init__("own", "OWN_1", [CheckCategories.CONVENTION], types)

    def scan_resource_conf(self, conf):
        return CheckResult.PASSED

check = Own()
"""


def test_a_folder_of_checks_is_loaded_whole(tmp_path: Path) -> None:
    """Under names of its own: a module called azure does not take the package's place."""
    (tmp_path / "__init__.py").touch()
    (tmp_path / "azure.py").write_text(CHECK)
    try:
        assert load_folder(tmp_path) == ("OWN_1",)
    finally:
        unregister(("OWN_1",))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"own.py": CHECK}, "__init__.py, found none"),
        ({"__init__.py": ""}, "at least one module"),
        ({"__init__.py": "", "own.py": "import no_such_module"}, "found ModuleNotFoundError"),
        ({"__init__.py": "", "own.py": "raise KeyError"}, "found KeyError"),
        ({"__init__.py": "", "own.py": "def ("}, "found SyntaxError"),
        ({"__init__.py": "", "own.py": CHECK.replace("check = Own()", "")}, "that is registered"),
    ],
)
def test_s25_a_folder_that_does_not_load_is_an_error(
    tmp_path: Path, files: dict[str, str], found: str
) -> None:
    """Each of these is a folder that checkov itself passes over."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(BadInput) as error:
        load_folder(tmp_path)

    assert found in str(error.value)
