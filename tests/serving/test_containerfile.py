"""The image that pods run: read, judged by checkov and compared with what is started in it.

No builder is at hand, so it is not built here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from manifests.render import render
from tests.manifests.making import release, rendering

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "serving/Containerfile"
TEXT = FILE.read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # checkov's own
def test_checkov_finds_nothing(tmp_path: Path) -> None:
    """By every check that it has for such files."""
    from checkov.common.output.report import Report
    from checkov.dockerfile.runner import Runner
    from checkov.runner_filter import RunnerFilter

    named = tmp_path / "Dockerfile"  # the name by which it knows one
    named.write_text(TEXT)
    report = Runner().run(
        root_folder=None, files=[str(named)], runner_filter=RunnerFilter(framework=["dockerfile"])
    )

    assert isinstance(report, Report)
    assert report.passed_checks
    assert [check.check_id for check in report.failed_checks] == []
    assert not report.parsing_errors


def test_its_user_is_the_one_that_pods_run_as() -> None:
    """By number: the kubelet cannot tell from a name that it is not root."""
    pods = [
        one.object["spec"]["template"]["spec"]
        for one in render(rendering(release()))
        if one.kind == "Deployment"
    ]
    asked = {pod["securityContext"]["runAsUser"] for pod in pods}

    assert {int(user) for user in re.findall(r"^USER (\d+):\d+$", TEXT, re.MULTILINE)} == asked


def test_it_leaves_out_nothing_that_serving_imports() -> None:
    """What is pruned is on no import's path from the two modules."""
    pruned = {name.replace("-", "_") for name in re.findall(r"--prune (\S+)", TEXT)}
    imported = {
        name.partition(".")[0]
        for package in ("release", "serving")
        for file in (ROOT / package).rglob("*.py")
        for name in _imports(ast.parse(file.read_text()))
    }
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]

    assert not pruned & (imported - OPTIONAL)
    assert pruned <= {one["name"].replace("-", "_") for one in locked}


OPTIONAL = {"obstore"}
"""Imported by the ledger's stores, which no pod opens."""


def _imports(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names
