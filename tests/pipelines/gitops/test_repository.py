"""A folder of a shared branch: pushed without force, on top of others, never over them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.gitops.git_cli import GitError, shown
from pipelines.gitops.repository import ChangedMeanwhile, Folder, PushRefused, Repository
from release.errors import BadInput
from tests.pipelines.gitops.conftest import FOLDER, Server


def test_an_empty_repository_gets_its_first_commit(server: Server, repository: Repository) -> None:
    assert repository.read() == Folder("", {})

    commit = repository.commit({"a.yaml": "a: 1\n"}, "first", "")

    assert commit == server.head
    assert repository.read() == Folder(commit, {"a.yaml": "a: 1\n"})


def test_what_is_there_already_makes_no_commit(server: Server, repository: Repository) -> None:
    """Whoever wrote it: a process that was killed after its push finds its own work."""
    first = repository.commit({"a.yaml": "a"}, "first", "")
    other = Repository(repository.url, "main", FOLDER, repository.git.store.parent / "anew")

    assert other.commit({"a.yaml": "a"}, "again", "") == first
    assert server.log() == ["first"]


def test_files_are_changed_and_taken_away_and_others_stay(
    server: Server, repository: Repository
) -> None:
    """Below the folder and beside it."""
    head = server.push({f"{FOLDER}/a": "1", f"{FOLDER}/b": "1", f"{FOLDER}/in/c": "1", "d": "1"})

    repository.commit({"a": None, "b": "2", "missing": None}, "change", head)

    assert server.files() == {"b": "2", "in": server.files()["in"]}
    assert server.git("show", "main:d", at=server.bare) == "1"


def test_a_commit_elsewhere_in_between_goes_below_ours(
    server: Server, repository: Repository
) -> None:
    head = repository.commit({"a": "1"}, "first", "")
    theirs = server.push({"other/file": "theirs"}, "their work")

    commit = repository.commit({"a": "2"}, "second", head)

    assert server.log() == ["second", "their work", "first"]
    assert repository.contains(commit, theirs)


@pytest.mark.parametrize("path", [f"{FOLDER}/a", f"{FOLDER}/new", f"{FOLDER}/deep/in/it"])
def test_a_commit_in_our_folder_in_between_is_a_refusal_that_names_it(
    server: Server, repository: Repository, path: str
) -> None:
    """What was decided was decided on another state."""
    head = repository.commit({"a": "1"}, "first", "")
    theirs = server.push({path: "theirs"}, "their own idea")

    with pytest.raises(ChangedMeanwhile, match="by Ada: their own idea") as refused:
        repository.commit({"a": "2"}, "second", head)

    assert theirs[:7] in str(refused.value)
    assert server.head == theirs
    assert repository.commit({"a": "2"}, "second", repository.read().head) == server.head


def racing(server: Server, path: str, times: int) -> None:
    """Somebody's push is taken whenever another one arrives, so often."""
    count = server.bare / "count"
    count.write_text("")
    hook = server.bare / "hooks/pre-receive"
    body = f"""
        [ -n "$THEIRS" ] && exit 0
        [ $(wc -c < {count}) -ge {times} ] && exit 0
        printf x >> {count}
        unset GIT_DIR GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
        cd {server.clone} && export THEIRS=1
        git fetch -q origin main && git checkout -q -B main origin/main
        mkdir -p $(dirname {path}) && cat {count} > {path} && git add -A
        git -c user.name=Ada -c user.email=ada@example.com commit -qm 'quicker' 1>&2
        git push -q origin HEAD:main 1>&2
    """
    server.hook(hook.name, body)


def test_pushes_that_others_were_quicker_than_are_tried_on_top(
    server: Server, repository: Repository
) -> None:
    head = repository.commit({"a": "1"}, "first", "")
    racing(server, "other/file", 3)

    repository.commit({"a": "2"}, "second", head)

    assert server.log() == ["second", "quicker", "quicker", "quicker", "first"]
    assert server.files() == {"a": "2"}


def test_a_push_that_lost_to_one_in_our_folder_is_a_refusal(
    server: Server, repository: Repository
) -> None:
    head = repository.commit({"a": "1"}, "first", "")
    racing(server, f"{FOLDER}/a", 1)

    with pytest.raises(ChangedMeanwhile, match="Ada: quicker"):
        repository.commit({"a": "2"}, "second", head)
    assert server.log() == ["quicker", "first"]


def test_a_branch_that_never_rests_ends_the_tries(server: Server, repository: Repository) -> None:
    head = repository.commit({"a": "1"}, "first", "")
    racing(server, "other/file", 1000)

    with pytest.raises(PushRefused, match="came in between 8 times"):
        repository.commit({"a": "2"}, "second", head)
    assert server.files() == {"a": "1"}


def test_a_server_that_refuses_is_quoted(server: Server, repository: Repository) -> None:
    """A protected branch, as forges have them; nothing was changed."""
    head = repository.commit({"a": "1"}, "first", "")
    server.hook("pre-receive", "echo 'main is protected by https://bot:hunter2@h/p'; exit 1")

    with pytest.raises(PushRefused, match="main is protected") as refused:
        repository.commit({"a": "2"}, "second", head)

    assert "hunter2" not in str(refused.value)
    assert "pull-request" in str(refused.value)
    assert server.log() == ["first"]


def test_an_answer_that_was_lost_is_no_refusal(server: Server, repository: Repository) -> None:
    """The server took the push, and its connection broke before it said so."""
    head = repository.commit({"a": "1"}, "first", "")
    wrapper = repository.git.store.parent / "bin/git"
    wrapper.parent.mkdir()
    real = shutil.which("git")
    wrapper.write_text(
        f'#!/bin/sh\n{real} "$@"; code=$?\ncase "$*" in *" push "*) exit 128;; esac; exit $code\n'
    )
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(wrapper.parent), prepend=":")
        commit = repository.commit({"a": "2"}, "second", head)

    assert server.head == commit


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.gitops.repository import Repository
real = Repository._push
def cut(self, *given):
    if sys.argv[3] == "after":
        real(self, *given)
    os.kill(os.getpid(), signal.SIGKILL)
Repository._push = cut
Repository(sys.argv[1], "main", sys.argv[4], Path(sys.argv[2])).commit({"a": "2"}, "second", "")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_the_push_leaves_one_commit_when_run_again(
    server: Server, repository: Repository, moment: str
) -> None:
    words = (repository.url, str(repository.git.store), moment, FOLDER)
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert killed.returncode == -signal.SIGKILL

    commit = repository.commit({"a": "2"}, "second", "")

    assert (server.head, server.log()) == (commit, ["second"])


@pytest.mark.parametrize("name", ["refs/remotes/origin/main.lock", "HEAD", "config.lock"])
def test_what_a_kill_left_in_the_store_is_thrown_away(
    server: Server, repository: Repository, name: str
) -> None:
    """It can all be fetched again."""
    repository.commit({"a": "1"}, "first", "")
    server.push({"b": "1"})
    (repository.git.store / name).parent.mkdir(parents=True, exist_ok=True)
    (repository.git.store / name).write_text("")

    assert repository.read() == Folder(server.head, {"a": "1"})


def test_processes_that_share_a_store_do_not_disturb_each_other(
    server: Server, repository: Repository
) -> None:
    """A command and a watcher, on one machine."""

    def change(_: int) -> str:
        own = Repository(repository.url, "main", FOLDER, repository.git.store)
        return own.commit({"a": "1"}, "first", "")

    with ThreadPoolExecutor(6) as pool:
        commits = set(pool.map(change, range(6)))

    assert commits == {server.head}
    assert server.log() == ["first"]


def test_links_and_odd_names_in_the_folder_reach_no_file_system(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    """They are data of a tree: nothing is checked out."""
    (server.clone / FOLDER).mkdir(parents=True)
    (server.clone / FOLDER / "link").symlink_to("/etc/passwd")
    (server.clone / FOLDER / "-rf\nname").write_text("x")
    (server.clone / ".gitattributes").write_text("* filter=evil\n")
    head = server.push({f"{FOLDER}/plain": "1"})

    assert repository.read().files == {"plain": "1", "-rf\nname": "x"}
    repository.commit({"plain": "2"}, "change", head)
    assert server.git("show", f"main:{FOLDER}/link", at=server.bare) == "/etc/passwd"


@pytest.mark.parametrize("name", ["../a", "a/b", ".git", "-a", "", "a\0b"])
def test_a_name_that_is_none_is_refused(repository: Repository, name: str) -> None:
    with pytest.raises(BadInput, match="plain file name"):
        repository.commit({name: "x"}, "m", "")


def test_hooks_of_the_users_own_are_not_run(
    server: Server, repository: Repository, own_git: Path, tmp_path: Path
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "post-index-change", "post-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    own_git.write_text(f"[core]\nhooksPath = {hooks}\n")

    assert repository.commit({"a": "1"}, "first", "") == server.head
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("configured", "author"),
    [("", "Greenlight <greenlight@localhost>"),
     ("[user]\nname = Bot\nemail = bot@example.com\n", "Bot <bot@example.com>")],
)  # fmt: skip
def test_the_author_is_greenlight_or_who_git_is_told(
    server: Server, repository: Repository, own_git: Path, configured: str, author: str
) -> None:
    own_git.write_text(configured)
    repository.commit({"a": "1"}, "first", "")

    assert server.git("log", "-1", "--format=%an <%ae>", "main", at=server.bare) == author


def test_a_repository_of_a_hook_that_runs_us_is_left_alone(
    server: Server, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells its hooks where they are by variables that would lead us there too."""
    monkeypatch.setenv("GIT_DIR", str(server.clone / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(server.clone / ".git/index"))

    commit = repository.commit({"a": "1"}, "first", "")

    monkeypatch.undo()
    assert commit == server.head


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = Repository(str(tmp_path / "gone.git"), "main", FOLDER, tmp_path / "store")

    with pytest.raises(GitError, match=r"gone\.git"):
        gone.read()


def test_helpers_that_run_programs_are_not_transports(tmp_path: Path) -> None:
    """``ext::`` would run any command; the section refuses it, and git does as well."""
    store = tmp_path / "store"
    evil = Repository(f"ext::touch {tmp_path}/ran", "main", FOLDER, store)

    with pytest.raises(GitError, match="not allowed"):
        evil.read()
    assert not (tmp_path / "ran").exists()


def test_a_later_commit_contains_ours_and_an_earlier_or_unknown_one_does_not(
    server: Server, repository: Repository
) -> None:
    """By whom it was made since the last fetch does not matter."""
    first = repository.commit({"a": "1"}, "first", "")
    second = repository.commit({"a": "2"}, "second", first)
    later = server.push({"elsewhere": "1"})

    assert repository.contains(later, second)
    assert not repository.contains(first, second)
    assert not repository.contains("0" * 40, second)
    assert not repository.contains("--help", second)


def test_credentials_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")

    said = shown("fatal: https://me:pw@host/x and https://tok@host s3cret\nmore\x1b[31m")

    assert said == "fatal: https://host/x and https://host ***; more?[31m"


def test_a_server_with_filters_sends_texts_when_they_are_read(
    server: Server, repository: Repository
) -> None:
    """As GitHub and others do: history first, texts of this folder alone."""
    server.git("config", "uploadpack.allowFilter", "true", at=server.bare)
    server.git("config", "uploadpack.allowAnySHA1InWant", "true", at=server.bare)
    head = server.push({f"{FOLDER}/a": "1", "other/large": "x" * 1000})
    far = Repository(f"file://{server.bare}", "main", FOLDER, repository.git.store)

    assert far.read() == Folder(head, {"a": "1"})
    assert far.commit({"a": "2"}, "second", head) == server.head


def test_a_branch_that_somebody_rewrote_without_our_commit_is_told(
    server: Server, repository: Repository
) -> None:
    """By force: the cluster will never report what is in Git no longer. Run again, it is."""
    first = server.push({"elsewhere": "1"})
    ours = repository.commit({"a": "1"}, "ours", first)
    server.git("checkout", "-q", "-B", "main", first)
    (server.clone / "theirs").write_text("1")
    server.git("add", "-A")
    server.git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "theirs")
    server.git("push", "-q", "--force", "origin", "HEAD:main")

    with pytest.raises(ChangedMeanwhile, match=rf"by force.*{ours[:12]}"):
        repository.contains(server.head, ours)
    with pytest.raises(ChangedMeanwhile, match="by force"):
        repository.require_kept(ours)
    again = repository.commit({"a": "1"}, "ours", repository.read().head)
    repository.require_kept(again)


def test_a_revision_that_nobody_knows_is_asked_for_once(
    server: Server, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that follows another branch is looked at every two seconds."""
    ours = repository.commit({"a": "1"}, "ours", "")
    fetched: list[str] = []
    fetch = Repository._fetch

    def counted(self: Repository, branch: str) -> str:
        fetched.append(branch)
        return fetch(self, branch)

    monkeypatch.setattr(Repository, "_fetch", counted)

    assert not any(repository.contains("0" * 40, ours) for _ in range(5))
    assert fetched == ["main"]


def test_a_branch_that_is_not_there_is_not_made_beside_others(
    server: Server, tmp_path: Path
) -> None:
    """It would have no history in common with them, and nobody follows it: a name mistyped."""
    head = server.push({"elsewhere": "1"})
    typo = Repository(str(server.bare), "mian", FOLDER, tmp_path / "typo")

    for attempt in (typo.commit, typo.prepare):
        with pytest.raises(BadInput, match=r"expected branch mian, found main\. Make it"):
            attempt({"a": "1"}, "first", typo.read().head)
    assert server.git("branch", "--format=%(refname:short) %(objectname)", at=server.bare) == (
        f"main {head}"
    )


@pytest.mark.parametrize("path", ["apps", FOLDER])
def test_a_file_where_our_folder_should_be_is_not_replaced(
    server: Server, repository: Repository, path: str
) -> None:
    """Somebody's, of another kind: a link to a folder, for one."""
    head = server.push({path: "theirs"})

    with pytest.raises(BadInput, match=rf"expected a folder, found a file {path}"):
        repository.commit({"a": "1"}, "first", repository.read().head)
    assert server.head == head
