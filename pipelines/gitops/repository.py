"""One folder of one branch of a Git repository: read it, change it, push without force.

The branch is other people's too. A commit of theirs in between is put below ours when it left our
folder alone, and is a refusal with its author when it did not: what Greenlight decided was decided
on another state. Nothing is ever forced.

What is to be done is told as the state that shall be, so a process that was killed needs no note of
its own: run again, it finds that state at the branch's head, or makes the same commit again.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipelines.gitops.git_cli import Git, GitError, shown
from release.errors import BadInput, GreenlightError, Problem
from release.files import locked

TRIES = 8
"""Pushes, each on top of what came in between. A busy repository takes a commit every few
seconds, a push takes about one."""

IDENTITY = ("Greenlight", "greenlight@localhost")
"""Author of commits where git is not configured with a name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_DAMAGED = re.compile(
    r"\.lock'|could not lock|corrupt|bad object|not (?:a|in a) git |loose object|bad ref"
)
_RACE = re.compile(r"cannot lock ref|failed to update ref|fetch first|non-fast-forward|stale info")


class ChangedMeanwhile(GreenlightError):
    """Somebody else's commit changed the folder since it was read; nothing was written."""


class PushRefused(GreenlightError):
    """The server took no commit, though nobody came in between."""


@dataclass(frozen=True)
class Folder:
    """A folder at ``head``, a commit's id. ``head`` is empty where there is no branch yet."""

    head: str
    files: Mapping[str, str]
    """Text by name: plain files directly in the folder."""

    others: frozenset[str] = frozenset()
    """What else is directly in it: links, folders, submodules."""


class Repository:
    """``folder`` of ``branch`` of the repository at ``url``.

    ``store`` keeps what was fetched, and may be thrown away at any time. Errors are GitError for
    what git could not do, ChangedMeanwhile and PushRefused as they say.
    """

    def __init__(self, url: str, branch: str, folder: str, store: Path) -> None:
        self.url = url
        self.branch = branch
        self.folder = folder
        self.git = Git(store)
        self._strange: set[str] = set()  # revisions that the server's branch did not have

    def read(self) -> Folder:
        """The folder at the branch's head, as the server has it now."""
        with self._alone():
            head = self._fetch(self.branch)
            self._require_folder(head)
            entries = self._entries(head)
            texts = {name: self._text(blob) for name, blob in entries.items() if blob}
        return Folder(head, texts, frozenset(entries.keys() - texts.keys()))

    def commit(self, files: Mapping[str, str | None], message: str, expected: str) -> str:
        """The commit at the branch's head with ``files`` in it; None takes a file away.

        ``expected`` is the head that the change was decided on, as ``read`` gave it. Where the
        files are there already, nothing is committed. Several tries where others push meanwhile.
        """
        _require_plain(files)
        with self._alone():
            return self._commit(files, message, expected)

    def _commit(self, files: Mapping[str, str | None], message: str, base: str) -> str:
        for _ in range(TRIES):
            head = self._fetch(self.branch)
            self._require_branch(head)
            self._require_folder(head)
            made = self._made(head, files, message)
            if made == head:
                return head
            self._require_unchanged(base, head)
            base = head
            if self._push(made, self.branch, head):
                return made
        raise PushRefused(
            f"{self.place}: somebody else's commit came in between {TRIES} times. Nothing was "
            "pushed; run the command again"
        )

    def prepare(self, files: Mapping[str, str | None], message: str, expected: str) -> str:
        """The commit that ``commit`` would push, on the branch's head; the head where there is
        nothing to do. It is on this machine alone.
        """
        _require_plain(files)
        with self._alone():
            head = self._fetch(self.branch)
            self._require_branch(head)
            self._require_folder(head)
            made = self._made(head, files, message)
            if made != head:
                self._require_unchanged(expected, head)
        return made

    def push_branch(self, commit: str, branch: str) -> None:
        """``commit`` as ``branch``, a new one; one that is there already stays as it is."""
        with self._alone():
            if not self._fetch(branch) and not self._push(commit, branch, ""):
                raise PushRefused(f"{self.place}: branch {branch} was made meanwhile. Run it again")

    @property
    def head(self) -> str:
        """The branch's head when it was last fetched; empty where there is none."""
        return self._known(self.branch)

    def last_change(self) -> str:
        """The newest commit that touched the folder; empty where none did."""
        if not self.head:
            return ""
        return self.git.run("rev-list", "-1", self.head, "--", self.folder).strip()

    def trailer(self, key: str) -> str:
        """Its value in the newest commit that touched the folder and has it; empty without one.

        By what was last fetched.
        """
        if not self.head:
            return ""
        form = f"--format=%(trailers:key={key},valueonly,separator=%x2C)"
        found = ("log", "-1", form, f"--grep=^{key}: ", self.head, "--", self.folder)
        return self.git.run(*found).strip()

    def tree(self, commit: str) -> str:
        """The id of the folder's content in ``commit``; empty where it has none."""
        place = f"{commit}:{self.folder}"
        code, out, _ = self.git.ask("rev-parse", "--verify", "-q", place) if commit else (1, "", "")
        return "" if code else out.strip()

    def require_same(self, proposed: str, merged: str) -> None:
        """ChangedMeanwhile where the folder in ``merged`` is not what it is in ``proposed``."""
        with self._alone():
            self._fetch(self.branch)
        if self.tree(proposed) != self.tree(merged):
            raise ChangedMeanwhile(
                f"{self.place}: expected commit {merged[:12]} to merge what was proposed, found "
                "other content. Look at it; run the command again to propose the difference"
            )

    def contains(self, revision: str, commit: str) -> bool:
        """Whether ``revision`` is ``commit`` or came after it. An id that nobody here knows is
        asked for once; still unknown, it does not. ChangedMeanwhile as by ``require_kept``.
        """
        if revision == commit:
            return True
        if revision not in self._strange and not self._has(revision):
            self.require_kept(commit)
            self._strange |= set() if self._has(revision) else {revision}
        return self._came_after(revision, commit)

    def require_kept(self, commit: str) -> None:
        """ChangedMeanwhile where ``commit`` is in the branch no longer: nobody will report it."""
        with self._alone():
            head = self._fetch(self.branch)
        if not self._came_after(head, commit):
            raise ChangedMeanwhile(
                f"{self.place}: somebody pushed by force: commit {commit[:12]} is in the branch no "
                f"longer, which is at {head[:12] or 'no commit'}. Find out who, and let the server "
                "refuse that; run the command again to commit it anew"
            )

    def _came_after(self, revision: str, commit: str) -> bool:
        if not self._has(revision):
            return False
        return self.git.ask("merge-base", "--is-ancestor", commit, revision)[0] == 0

    @property
    def place(self) -> str:
        """For people: the folder and where it is."""
        return f"{shown(self.url)}, branch {self.branch}, folder {self.folder}"

    def _alone(self) -> AbstractContextManager[None]:
        """The store belongs to one process at a time; one that is killed lets go of it."""
        store = self.git.store
        store.parent.mkdir(parents=True, exist_ok=True)
        return locked(store.with_name(f"{store.name}.lock"))

    def _fetch(self, branch: str) -> str:
        """The head of ``branch`` on the server; empty where there is no such branch."""
        self._open()
        try:
            return self._fetched(branch)
        except GitError as error:
            if not _DAMAGED.search(str(error)):
                raise
        shutil.rmtree(self.git.store)  # left behind by a kill; all of it can be fetched again
        self._open()
        return self._fetched(branch)

    def _open(self) -> None:
        if not (self.git.store / "HEAD").is_file():
            self.git.store.mkdir(parents=True, exist_ok=True)
            self.git.run("init", "--quiet", "--bare", "--template=")

    def _fetched(self, branch: str) -> str:
        """History and folders without the texts of files, where the server can do so."""
        ref = _ref(branch)
        self.git.run("config", "remote.origin.url", self.url)
        how = ("--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none")
        words = ("fetch", *how, "origin", f"+refs/heads/{branch}:{ref}")
        code, _, err = self.git.ask(*words)
        if "couldn't find remote ref" in err:
            self.git.ask("update-ref", "-d", ref)
            return ""
        if code:
            raise GitError(f"{self.place}: git fetch failed: {shown(err)}")
        return self._known(branch)

    def _known(self, branch: str) -> str:
        code, out, _ = self.git.ask("rev-parse", "--verify", "-q", _ref(branch))
        return "" if code else out.strip()

    def _has(self, revision: str) -> bool:
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision):
            return False
        known = self.git.ask("cat-file", "-t", revision, more={"GIT_NO_LAZY_FETCH": "1"})
        return known[1].strip() == "commit"

    def _entries(self, commit: str) -> dict[str, str]:
        """What is directly in the folder, by name: a plain file's blob, empty for all else."""
        if not commit or not self.tree(commit):
            return {}
        listed = self.git.run("ls-tree", "-z", f"{commit}:{self.folder}")
        split = (entry.partition("\t") for entry in listed.split("\0") if entry)
        fields = ((head.split(), name) for head, _, name in split)
        return {name: one[2] if one[0] in ("100644", "100755") else "" for one, name in fields}

    def _text(self, blob: str) -> str:
        return self.git.run("cat-file", "blob", blob)

    def _made(self, head: str, files: Mapping[str, str | None], message: str) -> str:
        """A commit on ``head`` with ``files``; ``head`` itself where it has them already."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if head:
                self.git.run("read-tree", head, more=index)
            entries = [self._entry(f"{self.folder}/{name}", text) for name, text in files.items()]
            given = "".join(entries).encode()
            self.git.run("update-index", "-z", "--replace", "--index-info", given=given, more=index)
            tree = self.git.run("write-tree", "--missing-ok", more=index).strip()
        if head and tree == self.git.run("rev-parse", f"{head}^{{tree}}").strip():
            return head
        return self._committed(tree, head, message)

    def _entry(self, path: str, text: str | None) -> str:
        """As ``update-index`` reads it; an object's id of zeros takes a path away."""
        if text is None:
            return f"0 {'0' * 40}\t{path}\0"
        blob = self.git.run("hash-object", "-w", "--stdin", given=text.encode()).strip()
        return f"100644 {blob}\t{path}\0"

    def _committed(self, tree: str, head: str, message: str) -> str:
        """Signed where the user's git is told to sign every commit."""
        parents = ("-p", head) if head else ()
        sign = ("-S",) if self.git.config("commit.gpgSign") == "true" else ()
        name, email = IDENTITY
        who = {
            "user.name": self.git.config("user.name") or name,
            "user.email": self.git.config("user.email") or email,
        }
        as_who = [word for key, value in who.items() for word in ("-c", f"{key}={value}")]
        given = message.encode()
        words = (*as_who, "commit-tree", *sign, tree, *parents, "-F", "-")
        return self.git.run(*words, given=given).strip()

    def _require_branch(self, head: str) -> None:
        """BadInput where the branch is not there and others are: one beside them, which nobody
        follows, would have no history in common with them.
        """
        listed = "" if head else self.git.run("ls-remote", "--heads", self.url)
        others = [line.partition("refs/heads/")[2] for line in listed.splitlines()]
        if others:
            found = ", ".join(map(shown, others[:5])) + (" and others" if others[5:] else "")
            remedy = "Make it, or name another in git.branch."
            raise BadInput(Problem(f"branch {self.branch}", found, remedy, shown(self.url)))

    def _require_folder(self, head: str) -> None:
        """BadInput where the folder, or one that it is in, is somebody's file or link."""
        parts = self.folder.split("/")
        paths = ["/".join(parts[: number + 1]) for number in range(len(parts))]
        listed = self.git.run("ls-tree", "-z", head, "--", *paths) if head else ""
        for entry in filter(None, listed.split("\0")):
            about, _, path = entry.partition("\t")
            if about.split()[1] != "tree":
                remedy = "Name another in git.folder, or move that file."
                raise BadInput(Problem("a folder", f"a file {path}", remedy, self.place))

    def _require_unchanged(self, base: str, head: str) -> None:
        """ChangedMeanwhile where a commit after ``base`` touched the folder."""
        if base == head or not head or self.tree(base) == self.tree(head):
            return
        span = (f"{base}..{head}",) if base and self._has(base) else (head,)
        form = "--format=%h%x00%an%x00%s"
        found = self.git.run("log", "-1", form, *span, "--", self.folder).strip("\n")
        commit, author, subject = ([*found.split("\0"), "", ""])[:3]
        raise ChangedMeanwhile(
            f"{self.place}: expected nobody else's change since {base[:12] or 'it was empty'}, "
            f"found commit {commit} by {shown(author)}: {shown(subject)}. Look at it; run the "
            "command again to go on from there"
        )

    def _push(self, commit: str, branch: str, before: str) -> bool:
        """Whether the server has it now; False where another push was quicker.

        PushRefused where it said no though the branch is as it was.
        """
        refspec = f"{commit}:refs/heads/{branch}"
        code, out, err = self.git.ask("push", "--porcelain", "--no-verify", self.url, refspec)
        if code == 0:
            return True
        head = self._fetch(branch)
        if head and self._came_after(head, commit):
            return True  # the server took it, and its answer was lost
        if head != before or _RACE.search(out + err):
            return False
        remedy = "A protected branch takes pull requests alone: set git.propose to pull-request"
        if branch != self.branch:
            remedy = f"Whoever runs this has to be let make branches such as {branch}"
        raise PushRefused(
            f"{self.place}: expected the push of one commit to be taken, found: "
            f"{shown(err or out)}. Nothing was changed. {remedy}"
        )


def _ref(branch: str) -> str:
    """Where the server's ``branch`` is kept here."""
    return f"refs/remotes/origin/{branch}"


def _require_plain(files: Mapping[str, str | None]) -> None:
    for name in files:
        if not _NAME.fullmatch(name):
            raise BadInput(Problem("a plain file name", repr(name)))
