"""S25: what checkov drops, logs or waits for in vain is an error here, never a pass."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.scan import light
from policies.scan.kinds import classify
from policies.scan.running import scan
from release.errors import BadInput, GreenlightError
from tests.policies.scan.test_arm_checks import sample, template

FIXTURES = Path(__file__).with_name("fixtures")

CHECK = """
from checkov.arm.base_resource_check import BaseResourceCheck
from checkov.common.models.enums import CheckCategories, CheckResult

class Ours(BaseResourceCheck):
    def __init__(self) -> None:
        super().__init__(
            name="Ensure that it is ours", id="GL_TEST_1", categories=[CheckCategories.NETWORKING],
            supported_resources=["Microsoft.Storage/storageAccounts"],
        )

    def scan_resource_conf(self, conf):
        {body}

check = Ours()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of checks, empty yet, and a checkov that forgets them afterwards."""
    folder = tmp_path / "own_checks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    light.forget()
    yield folder
    light.forget(["own_checks"])


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


@pytest.mark.slow
def test_our_own_checks_run_beside_checkovs(package: Path, tmp_path: Path) -> None:
    (package / "ours.py").write_text(CHECK.format(body="return CheckResult.FAILED"))
    file = template(tmp_path, sample("Microsoft.Storage/storageAccounts", "stone"))

    found = [scan([file], ["own_checks"]) for _ in range(2)]

    assert found[0] == found[1]
    assert [(one.rule, one.expected) for one in found[0]] == [
        ("GL_TEST_1", "Ensure that it is ours")
    ]


CANNOT_LOAD: dict[str, Any] = {
    "a module that crashes": ("import nothing_of_that_name\n", "a module of checks fails"),
    "a module without a check": ("x = 1\n", "registers none"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CANNOT_LOAD)
def test_checks_that_do_not_load_are_an_error(case: str, package: Path, tmp_path: Path) -> None:
    """checkov logs the first and says nothing of the second."""
    text, said = CANNOT_LOAD[case]
    (package / "ours.py").write_text(text)

    with pytest.raises(GreenlightError, match=said):
        scan([template(tmp_path, sample("Microsoft.KeyVault/vaults", "kv"))], ["own_checks"])


@pytest.mark.slow
def test_a_folder_of_checks_without_init_is_an_error(package: Path, tmp_path: Path) -> None:
    """checkov skips it."""
    (package / "__init__.py").unlink()

    with pytest.raises(GreenlightError, match=r"no __init__\.py"):
        scan([template(tmp_path, sample("Microsoft.KeyVault/vaults", "kv"))], ["own_checks"])


@pytest.mark.slow
def test_a_check_that_crashes_on_a_resource_is_an_error(package: Path, tmp_path: Path) -> None:
    """checkov logs it and counts the resource as not judged."""
    (package / "ours.py").write_text(CHECK.format(body="return conf['nothing']['there']"))

    with pytest.raises(GreenlightError, match=r"GL_TEST_1.*KeyError"):
        scan(
            [template(tmp_path, sample("Microsoft.Storage/storageAccounts", "st"))], ["own_checks"]
        )


@pytest.mark.slow
def test_a_graph_check_that_crashes_is_an_error(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
