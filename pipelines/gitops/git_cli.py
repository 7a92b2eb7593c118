"""The ``git`` program, told to ask nobody, to run nobody's hooks and to show no credential.

Who may read and push is decided by the user's own git: its configuration, its credential helper,
its SSH agent. What is read from a repository is data: it is never checked out, so that no file
name, link, filter or hook of somebody else's reaches this machine's file system.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from release.errors import GreenlightError

SECONDS = 300
"""After that a server is taken not to answer."""

SECRETS = ("GITHUB_TOKEN", "GH_TOKEN")
SHORTEST = 8
"""Characters of a word in a header that is taken for a secret; ``Basic`` and ``Bearer`` have less.
"""

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.fsckObjects=true",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
)

_KEPT = re.compile(
    r"GIT_(?:CONFIG(?!_PARAMETERS)\w*|SSH\w*|ASKPASS|SSL\w*|HTTP\w*|PROXY\w*|AUTHOR_\w+|COMMITTER_\w+|EXEC_PATH)"
)
"""How the user's git finds whom to trust. Others say which repository: a hook's would be its."""

_IDENTITY = re.compile(r"(?<=://)(?:[^/@\s]+|[^/@:\s]*:[^\s'\"]*)@")
"""Who signs in, by an address; a password may hold what an address may not."""


class GitError(GreenlightError):
    """git did not do what it was asked; the message holds its own words, without credentials."""


@dataclass(frozen=True)
class Git:
    """git in one bare repository, the folder ``store``."""

    store: Path

    def run(self, *words: str, given: bytes = b"", more: Mapping[str, str] | None = None) -> str:
        """What git prints. GitError where it fails, or says nothing for ``SECONDS``."""
        code, out, err = self.ask(*words, given=given, more=more)
        if code:
            raise GitError(f"git {words[0]} failed: {shown(err or out)}")
        return out

    def ask(
        self, *words: str, given: bytes = b"", more: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        safe = [word for one in _SAFE for word in ("-c", one)]
        command = ["git", f"--git-dir={self.store}", "--literal-pathspecs", *safe, *words]
        try:
            return _finished(command, given, {**_environment(), **(more or {})})
        except FileNotFoundError:
            raise GitError("expected git on PATH, found none. Install git 2.30 or later") from None
        except subprocess.TimeoutExpired:
            what = f"git {words[0]} gave no answer for {SECONDS} s and was ended"
            remedy = "Look whether the repository's server is well; run the command again"
            raise GitError(f"{what}. {remedy}") from None

    def config(self, key: str) -> str:
        """The user's own setting; empty where there is none."""
        code, out, _ = self.ask("config", "--get", key)
        return "" if code else out.strip()


def _finished(
    command: list[str], given: bytes, environment: Mapping[str, str]
) -> tuple[int, str, str]:
    """In a session of its own: without a terminal to ask for a password on."""
    with subprocess.Popen(
        command, env=environment, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(given, timeout=SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started, such as ssh
            raise
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or _KEPT.fullmatch(key)
    }
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def shown(text: str) -> str:
    """``text`` on one line, without what lets somebody in."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    lines = (line.strip() for line in _IDENTITY.sub("", text).splitlines())
    printable = "; ".join(filter(None, lines))
    return "".join(one if one.isprintable() else "?" for one in printable)[:2000]


def _secrets() -> set[str]:
    """What the environment gives git to sign in with: some servers say back what they were sent."""
    found = {os.environ.get(name, "") for name in SECRETS}
    for name, key in os.environ.items():
        if name.startswith("GIT_CONFIG_KEY_") and key.lower().endswith(".extraheader"):
            value = os.environ.get(name.replace("_KEY_", "_VALUE_"), "")
            words = [word for word in value.partition(":")[2].split() if len(word) >= SHORTEST]
            found |= {part for word in words for part in (word, *_passwords(word))}
    return found - {""}


def _passwords(word: str) -> tuple[str, ...]:
    """What is behind the colon of ``Basic``'s word; nothing where it is none."""
    try:
        password = (
            base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
            .decode()
            .partition(":")[2]
        )
    except ValueError:
        return ()
    return (password,) if len(password) >= SHORTEST else ()
