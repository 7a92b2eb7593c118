"""A bare repository as a server has it, and somebody else who works on it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.gitops.repository import Repository

FOLDER = "apps/assist"


@dataclass(frozen=True)
class Server:
    """A bare repository and a clone of somebody's."""

    bare: Path
    clone: Path

    def git(self, *words: str, at: Path | None = None) -> str:
        """git in somebody's clone, or ``at``."""
        done = subprocess.run(
            ["git", *words], cwd=at or self.clone, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, files: Mapping[str, str | Path | None], subject: str = "somebody's work") -> str:
        """A commit of somebody's with ``files``, on top of what is there; its id. None takes a file
        away, a path makes a link.
        """
        if self.head:
            self.git("fetch", "-q", "origin", "main")
            self.git("checkout", "-q", "-B", "main", "origin/main")
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                (self.clone / name).unlink()
            elif isinstance(text, Path):
                (self.clone / name).symlink_to(text)
            else:
                (self.clone / name).write_text(text)
        self.git("add", "-A")
        self.git(
            "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", subject
        )
        self.git("push", "-q", "origin", "HEAD:main")
        return self.head

    @property
    def head(self) -> str:
        """The commit of main; empty where there is none."""
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "main"],
            cwd=self.bare, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip()

    def files(self, folder: str = FOLDER) -> dict[str, str]:
        """What main has in ``folder``, by name."""
        names = self.git("ls-tree", "--name-only", f"main:{folder}", at=self.bare).splitlines()
        return {name: self.git("show", f"main:{folder}/{name}", at=self.bare) for name in names}

    def log(self) -> list[str]:
        """The subjects of main, newest first."""
        return self.git("log", "--format=%s", "main", at=self.bare).splitlines()

    def hook(self, name: str, text: str) -> Path:
        """A hook that the server runs."""
        hook = self.bare / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{text}\n")
        hook.chmod(0o755)
        return hook


@pytest.fixture(autouse=True)
def own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's configuration of this test's own, empty at first."""
    file = tmp_path / "gitconfig"
    file.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return file


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Empty."""
    made = Server(tmp_path / "server.git", tmp_path / "somebody")
    bare, clone = str(made.bare), str(made.clone)
    made.git("init", "-q", "--bare", "--initial-branch=main", bare, at=tmp_path)
    made.git("init", "-q", "--initial-branch=main", clone, at=tmp_path)
    made.git("remote", "add", "origin", bare)
    return made


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> Repository:
    """Greenlight's view of ``FOLDER``."""
    return Repository(str(server.bare), "main", FOLDER, tmp_path / "store")
