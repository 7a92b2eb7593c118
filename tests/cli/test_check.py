"""``greenlight check PATH…``: exit codes, --json, SARIF, and no needless import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.__main__ import main
from tests.policies.test_sarif import require_valid

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/policies/scan/fixtures"

pytestmark = pytest.mark.usefixtures("own_cache")


def test_findings_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line, then a sum."""
    assert main(["check", str(FIXTURES / "bad.arm.json")]) == 3

    *findings, total = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in findings] == 4 * ["CKV"] + 9 * ["GL-"]
    assert all("bad.arm.json:5" in line and "stcareless" in line for line in findings)
    assert total == "13 refused, 0 to look at, 0 suppressed; files: 1 arm"


def test_no_findings_are_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FIXTURES / "good.arm.json"), str(FIXTURES / "good.k8s.yaml")]) == 0
    assert capsys.readouterr().out.startswith("0 refused")


def test_bad_input_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "README.md"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FIXTURES / "bad.arm.json"), "--json"]) == 3

    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 3
    assert document["files"] == {"arm": 1}
    assert document["suppressed"] == []
    assert {"CKV_AZURE_3", "CKV_AZURE_35"} <= {one["rule"] for one in document["findings"]}


def test_sarif_is_written_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.sarif"

    assert main(["check", str(FIXTURES / "bad.arm.json"), "--sarif", str(file)]) == 3

    document = json.loads(file.read_text())
    require_valid(document)
    assert len(document["runs"][0]["results"]) == 13
    assert capsys.readouterr().out


AGAIN = """
import sys
from cli.__main__ import main
main(["check", *sys.argv[1:]])
heavy = {"checkov", "networkx", "pulumi", "grpc", "pydantic", "psutil"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def again(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``check`` in a process of its own, which says on standard error what it loaded."""
    command = [sys.executable, "-c", AGAIN, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_a_second_run_loads_neither_checkov_nor_the_engines_libraries() -> None:
    """Which is what makes it quick. Suppressions are read anew: they end by the calendar."""
    first, second = again(str(FIXTURES)), again(str(FIXTURES))

    assert "checkov" in first.stderr
    assert second.stderr.strip() == ""
    assert second.stdout == first.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("engine")
def test_this_repository_is_checked_by_the_command_that_its_readme_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its program for every stack of Azure's, and its workflow: nothing is refused, and what is to
    be looked at only Azure could tell. The second time it says so from memory.
    """
    command = ["infra", "manifests", ".github"]
    monkeypatch.chdir(ROOT)

    assert main(["check", *command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    second = again(*command, "--json")

    assert document["files"] == {"github_actions": 1, "program": 1}
    assert {one["severity"] for one in document["findings"]} <= {"warn"}
    assert json.loads(second.stdout) == document | {"cached": True}
    assert second.stderr.strip() == ""
