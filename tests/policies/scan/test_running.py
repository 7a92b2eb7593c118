"""S25: what checkov drops, logs or waits for in vain is an error here, never a pass."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.rules.azure.bounds import Bounds
from policies.scan import light
from policies.scan.kinds import classify
from policies.scan.running import scan
from release.errors import BadInput, GreenlightError
from tests.policies.scan.test_arm_checks import sample, template

FIXTURES = Path(__file__).with_name("fixtures")

Judge = Callable[[Any], Any]


@pytest.fixture
def own_check() -> Iterator[Callable[[Judge], None]]:
    """Registers a check for storage that answers as it is told; gone again afterwards."""
    from policies.checks.azure import unregister

    light.run_with_checkov(lambda: None)
    yield _register
    unregister(("GL_TEST_1",))


def _register(judge: Judge) -> None:
    from checkov.arm.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckCategories

    class Own(BaseResourceCheck):
        def __init__(self) -> None:
            types = ["Microsoft.Storage/storageAccounts"]
            super().__init__("own", "GL_TEST_1", [CheckCategories.NETWORKING], types)

        def scan_resource_conf(self, conf: Any) -> Any:
            return judge(conf)

    Own()


def scanned(*names: str) -> dict[str, set[str]]:
    """Check ids by file, over fixtures."""
    files = [classify(str(FIXTURES / name), (FIXTURES / name).read_bytes()) for name in names]
    found: dict[str, set[str]] = {name: set() for name in names}
    for finding in scan([one for one in files if one is not None]):
        found[str(Path(finding.file).relative_to(FIXTURES))].add(finding.rule)
    return found


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are then named in full."""
    monkeypatch.chdir(tmp_path)


def test_the_careless_are_refused_and_the_careful_pass() -> None:
    """A template, a Deployment and a workflow of each kind."""
    good = ("good.arm.json", "good.k8s.yaml", ".github/workflows/good.yml")
    found = scanned(*good, "bad.arm.json", "bad.k8s.yaml", ".github/workflows/bad.yml")

    assert [found[name] for name in good] == [set(), set(), set()]
    assert found["bad.arm.json"] >= {"CKV_AZURE_3", "CKV_AZURE_35", "CKV_AZURE_44"}
    assert found["bad.k8s.yaml"] >= {"CKV_K8S_14", "CKV_K8S_16", "CKV_K8S_19", "CKV2_K8S_6"}
    assert found[".github/workflows/bad.yml"] >= {"CKV_GHA_1", "CKV_GHA_2", "CKV2_GHA_1"}


def test_a_finding_says_where_what_and_what_to_do(tmp_path: Path) -> None:
    change = {"properties.supportsHttpsTrafficOnly": False}
    file = template(tmp_path, sample("Microsoft.Storage/storageAccounts", "stone", change))

    (finding,) = scan([file])

    assert (finding.rule, finding.file, finding.line) == ("CKV_AZURE_3", "main.json", 5)
    assert finding.resource == "Microsoft.Storage/storageAccounts.stone"
    assert finding.expected == "Ensure that 'supportsHttpsTrafficOnly' is set to 'true'"
    assert "properties/supportsHttpsTrafficOnly" in finding.found
    assert "a reason and an expiry" in finding.remedy
    assert finding.guideline.startswith("https://")
    assert finding.severity == "refuse"


def test_a_comment_that_tells_checkov_to_look_away_is_a_finding() -> None:
    """It has no expiry, so it is no suppression."""
    file = FIXTURES / "odd.k8s.yaml"
    known = classify(str(file), file.read_bytes())
    assert known is not None

    skipped = [one for one in scan([known]) if "skipped by a comment" in one.found]

    assert [(one.rule, one.resource) for one in skipped] == [
        ("CKV_K8S_14", "CronJob.assistant.nightly")
    ]


def test_no_files_are_no_findings() -> None:
    """And no import of checkov."""
    assert scan([]) == ()


def test_a_workflow_that_github_would_not_take_is_bad_input(tmp_path: Path) -> None:
    """checkov leaves it out without a word."""
    file = tmp_path / ".github/workflows/a.yml"
    file.parent.mkdir(parents=True)
    file.write_text("name: a\njobs: 3\n")
    known = classify(str(file), file.read_bytes())
    assert known is not None

    with pytest.raises(BadInput, match=r"a\.yml: expected what checkov's github_actions scan"):
        scan([known])


def test_an_object_that_checkov_would_not_look_at_is_bad_input(tmp_path: Path) -> None:
    """Braces in any name inside it are enough."""
    file = tmp_path / "a.yaml"
    file.write_text('apiVersion: v1\nkind: Secret\nmetadata:\n  name: "a{b}"\n')
    known = classify(str(file), file.read_bytes())
    assert known is not None

    with pytest.raises(BadInput, match=r"Secret\.default\.a\{b\}"):
        scan([known])


def test_a_check_that_crashes_on_a_resource_is_an_error(
    own_check: Callable[[Judge], None], tmp_path: Path
) -> None:
    """checkov logs it and counts the resource as not judged."""
    own_check(lambda conf: conf["nothing"]["there"])

    with pytest.raises(GreenlightError, match=r"GL_TEST_1.*KeyError"):
        scan([template(tmp_path, sample("Microsoft.Storage/storageAccounts", "st"))])


ELSEWHERE: dict[str, dict[str, Any]] = {
    "a parameter without a default": {"location": "[parameters('location')]"},
    "what is deployed elsewhere": {"dependsOn": ["[resourceId('a/b', 'c')]"]},
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_a_template_leaves_open_is_judged_as_it_stands(case: str, tmp_path: Path) -> None:
    """checkov warns of it, and goes on as its command does."""
    one = sample("Microsoft.Storage/storageAccounts", "stone") | ELSEWHERE[case]
    file = template(tmp_path, one)
    document = json.loads(Path(file.file).read_text())
    document["parameters"] = {"location": {"type": "string"}}
    Path(file.file).write_text(json.dumps(document, indent=1))

    assert scan([file]) == ()


def test_our_rules_are_asked_where_there_are_bounds(tmp_path: Path) -> None:
    """Of templates, beside checkov's checks, whose findings stay as they are."""
    bad = FIXTURES / "bad.arm.json"
    known = classify(str(bad), bad.read_bytes())
    assert known is not None

    alone, both = scan([known]), scan([known], Bounds("production", ("swedencentral",)))

    assert {one.rule[:3] for one in alone} == {"CKV"}
    assert [one for one in both if one.rule.startswith("CKV")] == list(alone)
    assert "GL-AZ-NET-005" in {one.rule for one in both}
    assert scan([known]) == alone


def test_a_graph_check_that_crashes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """checkov waits for it and does not look whether it raised."""
    file = template(tmp_path, sample("Microsoft.MachineLearningServices/workspaces", "mlw"))
    scan([file])
    solvers: Any = importlib.import_module("checkov.common.checks_infra.solvers")

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(solvers.EqualsAttributeSolver, "_get_operation", crash)

    with pytest.raises(GreenlightError, match=r"CKV2_AZURE_49.*made to fail"):
        scan([template(tmp_path, sample("Microsoft.MachineLearningServices/workspaces", "mlw"))])
