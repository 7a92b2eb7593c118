"""Acting by Git: a step is a commit, and it is done when the cluster reports that very commit.

Git says which release is in which slot and which slot should be live. Weights go to the cluster
directly, before Git is told: a return must not wait for a push, a review or a controller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from manifests import gitops
from manifests.folder import is_marked
from manifests.model import Rendering, own
from manifests.render import Rendered
from pipelines.gitops import controllers
from pipelines.gitops.controllers import Controller, Object, Read
from pipelines.gitops.git_cli import GitError
from pipelines.gitops.proposals import GitHub, Proposal, Proposals, T, merged, unlimited
from pipelines.gitops.repository import Folder, Repository
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.kinds import resource
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing, read_route
from pipelines.targets.kubernetes.whose import require_ours
from release.errors import BadInput, GreenlightError, Problem, Waiting
from release.git_section import Git
from release.integrity import sha256

Patch = Callable[[str, str, str, Object], None]
"""Kind, name, namespace and a merge patch, to be applied to that object."""

Name = tuple[str, str]
"""Kind and name of an object in the environment's namespace."""

RELEASE = own("release")
"""The annotation that says what an object serves."""

FENCE = "Greenlight-Fence"
"""The trailer with the fence of who committed."""


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

    def put(self, objects: Sequence[Rendered], fence: int, why: str) -> None:
        """``objects`` in the folder, by one commit that the cluster has when this returns. Others
        stay. ``why`` is the commit's subject, a clause such as ``assist@3f2a91c in green``.

        GreenlightError where the cluster has one of them from another application or environment:
        the controller would take it from them, since it writes all as the same field manager.
        """
        for one in objects:
            with suppress(DeniedError):  # who may not look leaves it to the controller
                require_ours(self._read(one), one.object)
        commit = self._commit({one.file: one.text for one in objects}, objects, fence, why)
        try:
            self._arrive(commit)
            self._require_followed(objects)
        except DeniedError:  # a watcher may not look at the controller, and sees what it makes
            self._await(objects)

    def take_away(self, names: Sequence[Name], fence: int, why: str) -> None:
        """The folder without these, by kind and name, when the cluster has it so. Who may not look
        at the controller, as a watcher may not, is done with the commit: pods that have to go are
        waited for in any case.
        """
        gone: dict[str, str | None] = {Rendered(*one, "").file: None for one in names}
        commit = self._commit(gone, (), fence, why)
        with suppress(DeniedError):
            self._arrive(commit)

    def tell(self, route: Rendered, why: str) -> None:
        """Let Git say which slot is live. The cluster is not waited for: there it is so already.

        GitNotTold where Git cannot be told now, for whatever reason.
        """
        try:
            self.head = None  # whoever changed the folder meanwhile: this is how it is
            message = describe(self.rendering, (), None, why)
            self._write({route.file: route.text}, message, 0.0, None)
        except (GreenlightError, OSError) as error:
            raise GitNotTold(
                f"the traffic is where it should be, and Git was not told: {error}\nUntil then "
                f"{self.repository.place} says otherwise; `greenlight status` shows it"
            ) from error

    def require_unfollowed(self) -> None:
        """GreenlightError where the controller follows the folder: it would put back what goes."""
        one = self.controller
        if self.read(one.object_kind, one.name, one.namespace) is not None:
            raise GreenlightError(
                f"{one.called} follows {self.repository.place}: it would put back whatever is "
                "destroyed. Delete it first, then run the command again. Git keeps the folder"
            )

    def folder(self) -> Folder:
        """What Git says now; decisions from here on rest on it."""
        found = self.repository.read()
        self.head = found.head
        return found

    def _commit(
        self, files: Mapping[str, str | None], about: Sequence[Rendered], fence: int, why: str
    ) -> str:
        message = describe(self.rendering, about, fence, why)
        return self._write(files, message, self.settings.wait_seconds, fence)

    def _arrive(self, commit: str) -> None:
        for one in self.controller.refreshed() if self.patch else ():
            self._ask_for_a_look(*one)
        try:
            controllers.arrived(
                self.controller, self.read, lambda head: self.repository.contains(head, commit),
                self.settings.wait_seconds, self.now, self.sleep,
            )  # fmt: skip
        except Waiting:
            with suppress(GitError):
                self.repository.require_kept(commit)
            raise

    def _require_followed(self, objects: Sequence[Rendered]) -> None:
        """GreenlightError where the controller follows another folder, and that does not lead to
        ours: it reports every commit of the repository, and applies nothing of this one.
        """
        followed, lost = self.controller.follows(self.read), ""
        if followed == self.repository.folder:
            return
        with suppress(DeniedError):  # by the path alone nobody is accused
            lost = self._lost(objects)
        if lost:
            raise GreenlightError(
                f"{self.controller.called} has the commit and follows the folder "
                f"{followed or 'of the whole repository'}, not {self.repository.folder}: "
                f"{lost}. Apply what `greenlight render --out` writes into `controller` again"
            )

    def _await(self, objects: Sequence[Rendered]) -> None:
        """Until the cluster has ``objects``. Waiting with what is not there, DeniedError for who
        may not even see that.
        """
        seconds, deadline = self.settings.wait_seconds, self.now() + self.settings.wait_seconds
        while lost := self._lost(objects):
            if self.now() >= deadline:
                raise Waiting(
                    f"{self.repository.place} has the commit, and {lost} after {seconds} s. Who "
                    f"runs this may not look at {self.controller.called}: look there, and run the "
                    "command again to go on waiting"
                )
            self.sleep(min(controllers.LOOK_SECONDS, max(0.0, deadline - self.now())))

    def _lost(self, objects: Sequence[Rendered]) -> str:
        """What shows that one of them is not in the cluster as committed; empty where nothing."""
        return next(filter(None, map(self._why_lost, objects)), "")

    def _why_lost(self, one: Rendered) -> str:
        meta, found = one.object["metadata"], self._read(one)
        if found is None:
            return f"{one.kind} {one.name} is not there"
        notes = found["metadata"].get("annotations") or {}
        is_old = notes.get(RELEASE) != (meta.get("annotations") or {}).get(RELEASE)
        return f"{one.kind} {one.name} is of another release" if is_old else ""

    def _read(self, one: Rendered) -> Object | None:
        wanted = one.object
        return self.read(resource(wanted), one.name, wanted["metadata"].get("namespace", ""))

    def _require_newest(self, fence: int) -> None:
        """StaleFenceError where a writer with a higher fence has committed. One that does so from
        now on changes the folder, and this one's push is refused for that.
        """
        seen = self.repository.trailer(FENCE)
        if seen.isdecimal() and int(seen) > fence:
            raise StaleFenceError(
                f"{self.repository.place}: the fence {fence} is stale: {seen} has been seen. "
                "Another run holds the lease; let it finish, or start again to get one of your own."
            )

    def _require_ours(self, there: Folder, files: Mapping[str, str | None]) -> None:
        """BadInput where one of ``files`` is there and somebody else wrote it: it is theirs, so it
        is neither written over nor taken away.
        """
        foreign = [name for name in (*files, gitops.INDEX) if name in there.others]
        foreign += [
            name for name in files if name in there.files and not is_marked(there.files[name])
        ]
        if foreign:
            path = f"environments.{self.rendering.environment}.kubernetes.git.folder"
            remedy = "Move it, or name another folder. Nothing was committed."
            raise BadInput(
                Problem(f"in {self.repository.place} a file that Greenlight wrote, or none",
                        "somebody else's", remedy, file=foreign[0], path=path)
            )  # fmt: skip

    def _ask_for_a_look(self, kind: str, name: str, namespace: str, patch: Object) -> None:
        """An object that is not there is told by whoever waits for it. Who may not ask waits
        until the controller looks by itself.
        """
        if self.patch and self.read(kind, name, namespace) is not None:
            with suppress(DeniedError):
                self.patch(kind, name, namespace, patch)

    def _write(
        self, files: Mapping[str, str | None], message: str, seconds: float, fence: int | None
    ) -> str:
        """The commit with ``files``, and the list of the folder, on the branch."""
        there = self.repository.read()
        if fence is not None:
            self._require_newest(fence)
        self._require_ours(there, files)
        expected = there.head if self.head is None else self.head
        files = {**files, gitops.INDEX: _index(there.files, files)}
        if self.settings.propose == "pull-request":
            self.head = self._proposed(files, message, expected, seconds)
        else:
            self.head = self.repository.commit(files, message, expected)
        return self.head

    def _proposed(
        self, files: Mapping[str, str | None], message: str, expected: str, seconds: float
    ) -> str:
        """The merge commit of a pull request with ``files``, in ``seconds``."""
        assert self.proposals is not None, "git_writer gives one"  # noqa: S101
        self.proposals.require_ready()
        made = self.repository.prepare(files, message, expected)
        if made == self.repository.head:
            return made
        deadline = self.now() + seconds
        found = self._proposal(self._branch(made), made, message, deadline)
        left = max(0.0, deadline - self.now())
        commit = merged(self.proposals, found, left, self.now, self.sleep)
        self.repository.require_same(made, commit)
        return commit

    def _proposal(self, branch: str, made: str, message: str, deadline: float) -> Proposal:
        """That of the commit ``made``, which is in ``branch`` then."""
        assert self.proposals is not None, "as above"  # noqa: S101
        proposals, (title, _, text) = self.proposals, message.partition("\n")
        found = self._asked(lambda: proposals.find(branch), deadline)
        if found and found.state != "merged":
            return found
        self.repository.push_branch(made, branch)
        return self._asked(lambda: proposals.open(branch, title, text.strip()), deadline)

    def _asked(self, ask: Callable[[], T], deadline: float) -> T:
        return unlimited(ask, max(0.0, deadline - self.now()), self.now, self.sleep)

    def _branch(self, made: str) -> str:
        """Of its own for each change: from what the folder is to what it shall be. Run again after
        a kill it is the same; the same change at a later time is another.
        """
        change = f"{self.repository.last_change()} {self.repository.tree(made)}"
        return f"greenlight/{self.rendering.full_name}-{sha256(change.encode())[:12]}"


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
        Controller(settings.controller, name, namespace, url, rendering.folder),
        read,
        patch,
        GitHub(url, branch) if settings.propose == "pull-request" else None,
    )


def _index(there: Mapping[str, str], files: Mapping[str, str | None]) -> str:
    names = {*there, *files} - {name for name, text in files.items() if text is None}
    return gitops.index(names, there.get(gitops.INDEX, ""))


def describe(rendering: Rendering, about: Sequence[Rendered], fence: int | None, why: str) -> str:
    """A commit's message: what is done and where, and in trailers the digests that it is about."""
    subject = f"{rendering.application}, {rendering.environment}: {_line(why)}"
    notes = (one.object.get("metadata", {}).get("annotations") or {} for one in about)
    digests = sorted({str(one[RELEASE]) for one in notes if RELEASE in one})
    trailers = [
        f"Greenlight-Environment: {rendering.environment}",
        *(f"Greenlight-Release: {_line(one)}" for one in digests),
        *([] if fence is None else [f"{FENCE}: {fence}"]),
    ]
    return "\n".join([subject, "", *trailers, ""])


def _line(text: str) -> str:
    """One line: a second one could pass for a trailer."""
    return " ".join(text.split())


def routing_in_git(folder: Folder, application: str) -> Routing:
    """Who gets how much as Git has it; nobody where Git has no route that can be read."""
    text = folder.files.get(Rendered("HTTPRoute", application, "").file, "")
    try:
        return read_route(yaml.safe_load(text) or {}, application)
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError):
        return Routing()
