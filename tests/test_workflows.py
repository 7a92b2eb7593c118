"""The repository's own workflows: little is allowed, nothing moves, nothing runs for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from release.documents import read_document

FOLDER = Path(__file__).resolve().parents[1] / ".github/workflows"
PINNED = re.compile(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.fixture(params=sorted(FOLDER.iterdir()), ids=lambda file: file.name)
def workflow(request: pytest.FixtureRequest) -> Path:
    """Each of them."""
    assert isinstance(request.param, Path)
    return request.param


def test_actions_are_pinned_by_commit_and_say_their_version(workflow: Path) -> None:
    """A tag can be moved to other code."""
    used = re.findall(r"uses: *(.+)", workflow.read_text())

    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


def test_a_workflow_may_read_the_code_and_ends(workflow: Path) -> None:
    value = read_document(workflow).value

    assert value["permissions"] == {"contents": "read"}
    assert value["concurrency"]["cancel-in-progress"] is True
    assert all(job["timeout-minutes"] <= 120 for job in value["jobs"].values())


def test_ci_runs_what_anybody_can_run() -> None:
    value = read_document(FOLDER / "ci.yml").value
    (job,) = value["jobs"].values()

    assert set(value["on"]) == {"push", "pull_request"}
    assert job["steps"][-1] == {"run": ".ci/run"}
