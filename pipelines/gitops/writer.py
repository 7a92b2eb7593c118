"""Acting by Git: a step is a commit, and it is done when the cluster reports that very commit.

Git says which release is in which slot and which slot should be live. Weights go to the cluster
directly, before Git is told: a return must not wait for a push, a review or a controller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from manifests import gitops
from manifests.model import Rendering
from manifests.render import Rendered
from pipelines.gitops import controllers
from pipelines.gitops.controllers import Controller, Object, Read
from pipelines.gitops.proposals import GitHub, Proposals, merged
from pipelines.gitops.repository import Folder, Repository
from release.errors import GreenlightError
from release.git_section import Git
from release.integrity import sha256

Patch = Callable[[str, str, str, Object], None]
"""Kind, name, namespace and a merge patch, to be applied to that object."""

RELEASE = "greenlight/release"
"""The annotation that says what an object serves."""

LIVE_SECONDS = 0.0
"""Nobody waits for a review to be told which slot is live."""


class GitNotTold(GreenlightError):
    """The cluster is as it should be, and Git says otherwise. Telling it again puts that right."""


@dataclass
class GitWriter:
    """Writes an environment's folder, and waits for ``controller`` to report it.

    ``read`` and ``patch`` reach the cluster. Without ``patch`` the controller looks when its own
    interval ends.
    """

    rendering: Rendering
    settings: Git
    repository: Repository
    controller: Controller
    read: Read
    patch: Patch | None = None
    proposals: Proposals | None = None
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    head: str | None = field(default=None, init=False)
    """The head that decisions of this process rest on; None until the folder was first read."""

    def put(self, objects: Sequence[Rendered], why: str) -> str:
        """The commit with ``objects`` in the folder, when the cluster has it. Others stay.

        One commit for all of them. ``why`` is its subject, a clause such as ``deploy assist@3f2a91c
        to green``.
        """
        return self._reach({one.file: one.text for one in objects}, objects, why)

    def take_away(self, objects: Iterable[Rendered], why: str) -> str:
        """The commit without ``objects`` in the folder, when the cluster has it."""
        gone = list(objects)
        return self._reach({one.file: None for one in gone}, gone, why)

    def tell_live(self, route: Rendered, why: str) -> str:
        """The commit by which Git says which slot is live. The cluster is not waited for: there it
        is so already.

        GitNotTold where Git cannot be told now, for whatever reason.
        """
        try:
            self.head = None  # whoever changed the folder meanwhile: this is how it is
            return self._write({route.file: route.text}, (), why, LIVE_SECONDS)
        except (GreenlightError, OSError) as error:
            raise GitNotTold(
                f"the traffic is where it should be, and Git was not told: {error}\nUntil then "
                f"{self.repository.place} says otherwise; `greenlight status` shows it"
            ) from error

    def folder(self) -> Folder:
        """What Git says now; decisions from here on rest on it."""
        found = self.repository.read()
        self.head = found.head
        return found

    def _reach(self, files: Mapping[str, str | None], objects: Iterable[Rendered], why: str) -> str:
        commit = self._write(files, objects, why, self.settings.wait_seconds)
        for one in self.controller.refreshed() if self.patch else ():
            self._ask_for_a_look(*one)
        controllers.arrived(
            self.controller, self.read, lambda head: self.repository.contains(head, commit),
            self.settings.wait_seconds, self.now, self.sleep,
        )  # fmt: skip
        return commit

    def _ask_for_a_look(self, kind: str, name: str, namespace: str, patch: Object) -> None:
        """An object that is not there is told by whoever waits for it."""
        if self.patch and self.read(kind, name, namespace) is not None:
            self.patch(kind, name, namespace, patch)

    def _write(
        self, files: Mapping[str, str | None], about: Iterable[Rendered], why: str, seconds: float
    ) -> str:
        """The commit with ``files``, and the list of the folder, on the branch."""
        there = self.repository.read()
        expected = there.head if self.head is None else self.head
        files = {**files, gitops.INDEX: _index(there.files, files)}
        message = describe(self.rendering, about, why)
        if self.settings.propose == "pull-request":
            commit = self._proposed(files, message, expected, seconds)
        else:
            commit = self.repository.commit(files, message, expected)
        self.head = commit
        return commit

    def _proposed(
        self, files: Mapping[str, str | None], message: str, expected: str, seconds: float
    ) -> str:
        """The merge commit of a pull request with ``files``."""
        assert self.proposals is not None, "git_writer gives one"  # noqa: S101
        self.proposals.require_ready()
        made = self.repository.prepare(files, message, expected)
        if made == self.repository.head:
            return made
        branch = self._branch(made)
        found = self.proposals.find(branch)
        if found is None or found.state == "merged":
            self.repository.push_branch(made, branch)
            title, _, text = message.partition("\n")
            found = self.proposals.open(branch, title, text.strip())
        commit = merged(self.proposals, found, seconds, self.now, self.sleep)
        self.repository.require_same(made, commit)
        return commit

    def _branch(self, made: str) -> str:
        """Of its own for each change: from what the folder is to what it shall be. Run again after
        a kill it is the same; the same change at a later time is another.
        """
        change = f"{self.repository.last_change()} {self.repository.tree(made)}"
        place = f"{self.rendering.application}-{self.rendering.environment}"
        return f"greenlight/{place}-{sha256(change.encode())[:12]}"


def git_writer(
    rendering: Rendering, work: Path, read: Read, patch: Patch | None = None
) -> GitWriter:
    """The writer of an environment with ``git``; what it fetches is kept below ``work``."""
    settings = rendering.settings.git
    assert settings is not None, "asked for by environments with git alone"  # noqa: S101
    url, branch = settings.repository, settings.branch
    key = sha256(json.dumps([url, branch, rendering.folder]).encode())[:16]
    name, namespace = gitops.watched(rendering)
    return GitWriter(
        rendering,
        settings,
        Repository(url, branch, rendering.folder, work / f"git-{key}"),
        Controller(settings.controller, name, namespace),
        read,
        patch,
        GitHub(url, branch) if settings.propose == "pull-request" else None,
    )


def _index(there: Mapping[str, str], files: Mapping[str, str | None]) -> str:
    names = {*there, *files} - {name for name, text in files.items() if text is None}
    return gitops.index(names, there.get(gitops.INDEX, ""))


def describe(rendering: Rendering, about: Iterable[Rendered], why: str) -> str:
    """A commit's message: what is done and where, and in trailers the digests that it is about."""
    subject = f"{rendering.application}, {rendering.environment}: {_line(why)}"
    annotated = (one.object.get("metadata", {}).get("annotations", {}) for one in about)
    digests = sorted({str(one[RELEASE]) for one in annotated if RELEASE in one})
    trailers = [f"Greenlight-Release: {_line(one)}" for one in digests]
    environment = f"Greenlight-Environment: {rendering.environment}"
    return "\n".join([subject, "", environment, *trailers, ""])


def _line(text: str) -> str:
    """One line: a second one could pass for a trailer."""
    return " ".join(text.split())


def weights_in_git(folder: Folder, route: Rendered) -> dict[str, int]:
    """Per cent by the backend's name, as Git has them for ``route``; empty where it has none.

    The last rule carries them, as it does in what is rendered.
    """
    try:
        rules = yaml.safe_load(folder.files.get(route.file, ""))["spec"]["rules"]
        return {str(one["name"]): int(one["weight"]) for one in rules[-1]["backendRefs"]}
    except (yaml.YAMLError, TypeError, KeyError, IndexError, ValueError):
        return {}
