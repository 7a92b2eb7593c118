"""What runs in this process finds what the ``checkov`` command finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from policies.scan.kinds import classify
from policies.scan.light import VERIFIED
from policies.scan.running import scan
from tests.policies.scan import command
from tests.policies.scan.test_arm_checks import REFUSED, sample, template

FIXTURES = Path(__file__).with_name("fixtures")


def corpus(folder: Path) -> list[Path]:
    """All fixtures and all samples of ARM resources, in a folder of their own."""
    shutil.copytree(FIXTURES, folder, dirs_exist_ok=True)
    template(
        folder, *(sample(kind, f"n{i}", change) for i, (_, kind, change) in enumerate(REFUSED))
    )
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_the_findings_are_those_of_the_command(tmp_path: Path) -> None:
    """Check, file, line and resource of each, over shapes that a scan can lose."""
    files = corpus(tmp_path)
    scannables = [classify(str(path), path.read_bytes()) for path in files]

    ours = [
        (finding.rule, finding.file, finding.line, finding.resource)
        for finding in scan([one for one in scannables if one is not None])
    ]

    assert len(ours) > 100
    assert sorted(ours, key=str) == sorted(command.findings(files, tmp_path), key=str)


def test_the_installed_checkov_is_the_one_that_was_compared() -> None:
    """Any other is imported whole, which is right but slow. After an upgrade: run the test above,
    and `python -m bench.check`, then set VERIFIED.
    """
    assert version("checkov") == VERIFIED


WHOLE = """
import sys
from pathlib import Path
from policies.scan import light
from policies.scan.kinds import classify
from policies.scan.running import scan
light.VERIFIED = sys.argv[1]
files = [classify(path, Path(path).read_bytes()) for path in sys.argv[2:]]
for finding in scan(files):
    print(finding)
print("hcl2.parser" in sys.modules, file=sys.stderr)
"""


@pytest.mark.slow
def test_another_version_is_imported_whole_and_finds_the_same(tmp_path: Path) -> None:
    """Each in a process of its own: what was left out, and with everything."""
    files = [str(path) for path in corpus(tmp_path) if "odd" not in path.name]
    done = {
        verified: subprocess.run(
            [sys.executable, "-c", WHOLE, verified, *files],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
        )
        for verified in (VERIFIED, "another")
    }  # fmt: skip

    assert done[VERIFIED].stdout == done["another"].stdout != ""
    assert [one.stderr.strip() for one in done.values()] == ["False", "True"]
