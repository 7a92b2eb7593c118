"""The image that pods run: read, judged by checkov and compared with what is started in it.

No builder is at hand, so it is not built here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
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


PRUNED = {name.replace("-", "_") for name in re.findall(r"--prune (\S+)", TEXT)}


def test_it_leaves_out_nothing_that_serving_imports() -> None:
    """What is pruned is on no import's path from the two modules."""
    pruned = PRUNED
    imported = {
        name.partition(".")[0]
        for package in ("release", "serving")
        for file in (ROOT / package).rglob("*.py")
        for name in _imports(ast.parse(file.read_text()))
    }
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]

    assert not pruned & imported
    assert pruned <= {one["name"].replace("-", "_") for one in locked}


WATCHES = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import pipelines.targets.kubernetes.watcher_pod
import kubernetes.client, kubernetes.config, obstore.store
folders = {{one.partition(".")[0] for one, of in sys.modules.items()
            if (getattr(of, "__file__", None) or "").startswith("{root}/")
            and "/.venv/" not in of.__file__}}
print(*sorted(folders - {{"__main__"}}))
"""


@pytest.mark.slow
def test_it_has_what_a_watcher_imports() -> None:
    """Each of our packages that is loaded is copied and compiled; nothing pruned is asked for."""
    code = WATCHES.format(absent=sorted(PRUNED), root=ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    needed = set(done.stdout.split())
    copied = set(re.findall(r"^COPY (\w+) \1$", TEXT, re.MULTILINE)) - {"LICENSE"}
    (compiled,) = re.findall(r"compileall -q (.+)$", TEXT, re.MULTILINE)
    assert needed
    assert needed <= copied
    assert copied == set(compiled.split())


def _imports(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names
