"""``git``: where a repository is, and nothing that lets anybody in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from release.complaints import complaints
from release.documents import Document
from release.git_section import Git


def git(**given: Any) -> Git:
    """A section."""
    return Git.model_validate_json(json.dumps({"controller": "flux", **given}))


@pytest.mark.parametrize(
    "url",
    ["https://github.com/o/r.git", "https://h.example.com:8443/a/b", "ssh://git@h.example.com/o/r",
     "git@github.com:o/r.git", "file:///srv/git/r.git", "/srv/git/r.git",
     "https://dev.azure.com/org/project/_git/repo"],
)  # fmt: skip
def test_a_repository_is_an_address_or_a_path(url: str) -> None:
    assert git(repository=url).repository == url


@pytest.mark.parametrize(
    "url",
    ["https://s3cret@github.com/o/r", "https://me:s3cret@github.com/o/r",
     "ssh://git:s3cret@h/o/r", "https://h/o/r?token=s3cret", "https://h/o/r#s3cret",
     "http://h/s3cret", "ext::sh -c s3cret", "--upload-pack=s3cret", "s3cret/r", "git://h/s3cret",
     "https://h/../s3cret", "https://h/o/r\ns3cret", ""],
)  # fmt: skip
def test_any_other_is_refused_and_not_shown(url: str) -> None:
    """It may hold a token, and complaints end up in logs."""
    given = {"repository": url, "controller": "flux"}
    with pytest.raises(ValidationError) as refused:
        git(repository=url)
    (problem,) = complaints(Document(given, {(): ("llm.yaml", 1)}), Git, refused.value)

    assert "s3cret" not in str(problem)
    assert "credential" in str(problem)


@pytest.mark.parametrize(
    "branch", ["-x", "a..b", "a//b", "a/", "a.lock", "a b", "a~1", "a:b", "refs/.x", "a.", ""]
)
def test_a_branch_is_a_name_that_git_takes(branch: str) -> None:
    with pytest.raises(ValidationError):
        git(repository="/r", branch=branch)
    assert git(repository="/r", branch="releases/v1.2").branch == "releases/v1.2"


@pytest.mark.parametrize("folder", ["/a", "../a", "a/../b", ".git/x", "a//b", "a/", "a\nb", ":/a"])
def test_a_folder_is_below_the_repository(folder: str) -> None:
    with pytest.raises(ValidationError):
        git(repository="/r", folder=folder)


def test_the_controller_has_to_be_named() -> None:
    with pytest.raises(ValidationError, match="controller"):
        Git.model_validate_json('{"repository": "/r"}')
