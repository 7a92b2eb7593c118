"""``greenlight check`` over deployment templates: our rules, through checkov, for a stack."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from policies import suppressions
from policies.arm.resource import ArmResource
from policies.checks import azure as door
from policies.rules.azure import kinds, rules
from policies.rules.azure.values import SECRET
from policies.rules.rule import Rule
from tests.policies.rules.azure.cases import BOUNDS, cases
from tests.policies.test_sarif import require_valid

FIXTURES = Path(__file__).parents[1] / "policies/scan/fixtures"
GOOD: dict[str, Any] = json.loads((FIXTURES / "good.arm.json").read_text())

pytestmark = pytest.mark.usefixtures("own_cache")

Check = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Writes a template and checks it: exit code and what --json prints."""
    monkeypatch.chdir(tmp_path)

    def run(template: dict[str, Any], *arguments: str) -> tuple[int, dict[str, Any]]:
        Path("main.json").write_text(json.dumps(template, indent=1))
        code = main(["check", "main.json", "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def template(*resources: Any, **more: Any) -> dict[str, Any]:
    return {**GOOD, "resources": list(resources) or GOOD["resources"], **more}


def storage(**changes: Any) -> dict[str, Any]:
    """The good account, with other properties."""
    (good,) = copy.deepcopy(GOOD["resources"])
    return {**good, "properties": {**good["properties"], **changes}}


def ours(document: dict[str, Any]) -> list[str]:
    """The rules of ours that found something."""
    return [one["rule"] for one in document["findings"] if one["rule"].startswith("GL-")]


def test_a_good_template_passes_for_any_stack_and_for_each(check: Check) -> None:
    assert check(GOOD)[0] == 0
    assert check(GOOD, "--stack", "production")[0] == 0


@pytest.mark.slow
def test_known_bad_resources_are_refused_each_by_the_rule_meant_for_it(check: Check) -> None:
    """Every fixture that its rule refuses in production, as an entry of one template."""
    refused = [
        replace(case, resource=replace(case.resource, name=f"r{index}"))
        for index, case in enumerate(cases("refuses"))
        if case.resource and case.environment == "production" and case.rule != "GL-AZ-GPU-008"
        and not case.resource.type.islower() and not _breaks_checkov(case.resource)
        and not case.found.endswith(" in name")
        and SECRET not in str(case.resource.body)  # a plan's mark: here it would be an expression
    ]  # fmt: skip
    entries = [
        {"type": r.type, "apiVersion": r.api, "name": r.name, "scope": r.scope, **r.body}
        for case in refused
        if (r := case.resource)
    ]

    code, document = check(template(*entries), "--stack", "production")

    found = {(one["rule"], one["resource"]) for one in document["findings"]}
    assert code == 3
    assert [str(c) for c in refused if c.resource and (c.rule, c.resource.name) not in found] == []
    assert len({case.rule for case in refused}) > 80


def _breaks_checkov(resource: ArmResource) -> bool:
    """Whether a check of checkov's falls over what is not known, so that nothing passes at all."""
    return resource.type in (kinds.CLUSTER, kinds.POOL) and "<unknown>" in str(resource.body)


def test_a_finding_says_all_that_the_other_doors_say(check: Check, tmp_path: Path) -> None:
    code, document = check(
        template(storage(allowBlobPublicAccess=True)), "--sarif", str(tmp_path / "found.sarif")
    )

    (one,) = [finding for finding in document["findings"] if finding["rule"].startswith("GL-")]
    (rule,) = [rule for rule in rules(BOUNDS) if rule.id == "GL-AZ-NET-005"]
    sarif = json.loads((tmp_path / "found.sarif").read_text())
    require_valid(sarif)
    places = [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in sarif["runs"][0]["results"]
        if result["ruleId"] == rule.id
    ]
    assert code == 3
    assert one == {
        "rule": rule.id, "file": "main.json", "line": 5, "resource": "stassistant",
        "expected": rule.expected, "found": "allowBlobPublicAccess: true", "remedy": rule.remedy,
        "severity": "refuse", "guideline": rule.source,
    }  # fmt: skip
    assert places == [5]


def test_what_is_nested_is_refused_under_its_own_name(check: Check) -> None:
    """By a rule for its whole type."""
    kept = {"enabled": True, "days": 1}
    blobs = {
        "type": "blobServices", "apiVersion": "2024-01-01", "name": "default",
        "properties": {"deleteRetentionPolicy": kept},
    }  # fmt: skip

    code, document = check(template({**storage(), "resources": [blobs]}))

    assert code == 3
    assert [(one["rule"], one["resource"]) for one in document["findings"]] == [
        ("GL-AZ-DAT-001", "stassistant/default")
    ]


PARAMETERS = {
    "open": {"type": "bool", "defaultValue": True},
    "closed": {"type": "bool", "defaultValue": False},
    "asked": {"type": "bool"},
}
VALUES = {
    "a default that is refused": ("[parameters('open')]", "allowBlobPublicAccess: true"),
    "no default": ("[parameters('asked')]", "allowBlobPublicAccess that is not known yet"),
    "a computation": ("[not(parameters('open'))]", "allowBlobPublicAccess that is not known yet"),
    "a default that is right": ("[parameters('closed')]", None),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_cannot_be_known_is_a_finding(case: str, check: Check) -> None:
    """It says so; a default is known."""
    value, found = VALUES[case]

    code, document = check(template(storage(allowBlobPublicAccess=value), parameters=PARAMETERS))

    assert code == (0 if found is None else 3)
    assert [one["found"] for one in document["findings"] if one["rule"] == "GL-AZ-NET-005"] == (
        [] if found is None else [found]
    )


FAR = {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "far"}
STRANGERS: dict[str, Any] = {
    "a type that no rule knows": {**FAR, "type": "Microsoft.Sql/servers"},
    "a linked template": {**FAR, "properties": {"templateLink": {"uri": "https://example.com/a"}}},
}


@pytest.mark.parametrize("case", STRANGERS)
def test_what_the_rules_cannot_judge_is_refused(case: str, check: Check) -> None:
    code, document = check(template(STRANGERS[case]))

    assert code == 3
    assert ours(document) == ["GL-AZ-GEN-001"]


def test_what_a_file_lacks_may_be_in_another(check: Check) -> None:
    """A group without a budget: rules over a whole plan are not asked."""
    group = {**storage(), "type": kinds.GROUP, "name": "rg", "properties": {}}

    assert check(template(group))[0] == 0


def test_a_stack_decides_where_and_as_what(check: Check) -> None:
    """Named, its own settings hold; else a template may belong to any."""
    elsewhere = {**storage(), "location": "eastus"}
    staging = {**storage(), "tags": {**storage()["tags"], "environment": "staging"}}

    assert ours(check(template(elsewhere))[1]) == ["GL-AZ-LOC-001"]
    assert ours(check(template(staging), "--stack", "production")[1]) == ["GL-AZ-TAG-002"]
    assert check(template(staging), "--stack", "staging")[0] == 0
    assert check(template(staging))[0] == 0


def test_an_unknown_stack_is_bad_input(check: Check) -> None:
    code, document = check(GOOD, "--stack", "qa")

    assert code == 2
    assert "one of local, production, staging, found 'qa'" in document["message"]


SUPPRESSION = """suppressions:
  - rule: GL-AZ-NET-005
    resource: stassistant
    reason: It serves public pictures alone.
    until: {until}
"""


def test_a_suppression_lets_a_finding_pass(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason, at once, and for the resource that it names."""
    bad = template(storage(allowBlobPublicAccess=True))
    monkeypatch.setattr(suppressions, "FILE", tmp_path / "suppressions.yaml")
    assert check(bad)[0] == 3
    (tmp_path / "suppressions.yaml").write_text(SUPPRESSION.format(until=_soon()))

    code, document = check(bad)

    assert (code, document["cached"]) == (0, True)
    assert [(one["rule"], one["suppressed"]) for one in document["suppressed"]] == [
        ("GL-AZ-NET-005", "It serves public pictures alone.")
    ]


def _soon() -> str:
    return (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011 - as entries end


def _falls(_: ArmResource) -> str | None:
    raise KeyError("made-up secret")


def test_s25_a_rule_that_falls_over_is_an_error_and_nothing_is_remembered(
    check: Check, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a pass, and for as long as nothing changes."""
    rule = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls)
    with monkeypatch.context() as broken:
        broken.setattr(door, "rules", lambda _: (rule,))
        code, document = check(GOOD)

    assert code == 1
    assert re.search(r"GL-AZ-XXX-001-FELL \S+main\.json:5", document["message"])
    assert "made-up" not in document["message"]
    assert not (own_cache / "checks").exists()
    assert check(GOOD)[0] == 0
