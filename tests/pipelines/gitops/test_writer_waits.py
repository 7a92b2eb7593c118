"""A step is done when the cluster reports that very commit; until then it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.gitops.repository import ChangedMeanwhile
from pipelines.gitops.writer import GitWriter
from pipelines.targets.kubernetes.refusals import DeniedError
from release.errors import GreenlightError, Waiting
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.test_controllers import application, operation
from tests.pipelines.gitops.writing import follows, of_slot, writer, writer_of

__all__ = ["writer"]


def test_it_is_done_when_the_cluster_has_that_very_commit(server: Server, tmp_path: Path) -> None:
    """Not when the controller is content with an older one."""
    old = server.push({"elsewhere": "1"})
    said = [application(old), application(old), None]

    def read(kind: str, *_: str) -> Any:
        if kind != "Application":
            return None
        return (said.pop(0) if said else None) or application(server.head)

    writer, time = writer_of(server, tmp_path, read)
    writer.put(of_slot("green"), 1, "deploy")

    assert (time.passed, said) == (4.0, [])


def test_a_controller_is_asked_to_look_at_once(server: Server, writer: GitWriter) -> None:
    asked: list[Any] = []
    writer.patch = lambda *given: asked.append(given)
    writer.put(of_slot("green"), 1, "deploy")

    assert [one[:3] for one in asked] == [("Application", "assist.production", "argocd")]


def test_a_controller_that_is_stuck_leaves_the_commit_and_goes_on_later(
    server: Server, tmp_path: Path
) -> None:
    """Run again, nothing is committed twice."""
    old = server.push({"elsewhere": "1"})
    stuck, time = writer_of(server, tmp_path, lambda *_: application(old), wait_seconds=60)
    with pytest.raises(Waiting, match="not reported the commit after 60 s: it knows"):
        stuck.put(of_slot("green"), 1, "deploy")

    assert time.passed == 60
    head = server.head
    again, _ = writer_of(server, tmp_path, follows(server))
    again.put(of_slot("green"), 1, "deploy")
    assert (again.head, server.head) == (head, head)


def test_a_controller_that_cannot_apply_it_is_quoted(server: Server, tmp_path: Path) -> None:
    def read(*_: str) -> Any:
        return application(OUT, "OutOfSync", **operation("Failed", server.head, "quota exceeded"))

    with pytest.raises(GreenlightError, match="quota exceeded"):
        writer_of(server, tmp_path, read)[0].put(of_slot("green"), 1, "deploy")


OUT = "e" * 40


def elsewhere(server: Server, path: str) -> Callable[..., Any]:
    """An Application that somebody points at ``path``; nothing of ours is in the cluster."""

    def read(kind: str, *_: str) -> Any:
        found = application(server.head)
        found["spec"]["source"] = {**found["spec"]["source"], "path": path}
        found["status"]["sync"]["comparedTo"]["source"] = found["spec"]["source"]
        return found if kind == "Application" else None

    return read


def test_a_controller_that_follows_another_folder_has_not_applied_ours(
    server: Server, tmp_path: Path
) -> None:
    """It reports the very commit, and is content with it: of ours nothing is in the cluster."""
    writer, _ = writer_of(server, tmp_path, elsewhere(server, "apps/other"))
    with pytest.raises(
        GreenlightError, match=r"follows the folder apps/other.*assist-green is not there"
    ):
        writer.put(of_slot("green"), 1, "deploy")


def test_a_controller_that_follows_a_folder_which_leads_to_ours_is_enough(
    server: Server, tmp_path: Path
) -> None:
    """Somebody's list of many environments, with ours among them: seen by what it made."""
    follows = elsewhere(server, "clusters/production")
    made = {(one.kind, one.name): one.object for one in of_slot("green")}

    def read(kind: str, name: str, namespace: str) -> Any:
        return made.get((kind, name)) or follows(kind, name, namespace)

    writer, _ = writer_of(server, tmp_path, read)
    writer.put(of_slot("green"), 1, "deploy")


def test_who_may_not_ask_a_controller_to_look_waits_for_it(
    server: Server, writer: GitWriter
) -> None:
    """To be asked is quicker, and no more: its own interval ends too."""

    def patch(*_: Any) -> None:
        raise DeniedError("applications is forbidden")

    writer.patch = patch
    writer.put(of_slot("green"), 1, "deploy")
    assert writer.head == server.head


def test_a_branch_that_is_rewritten_while_the_cluster_is_waited_for_is_told(
    server: Server, tmp_path: Path
) -> None:
    """Git has it no longer, and the controller is not to blame."""
    old = server.push({"elsewhere": "1"})

    def read(*_: str) -> Any:
        server.git("push", "-q", "--force", "origin", f"{old}:main")
        return application(old)

    writer, _ = writer_of(server, tmp_path, read, wait_seconds=4)
    with pytest.raises(ChangedMeanwhile, match="by force"):
        writer.put(of_slot("green"), 1, "deploy")


def test_a_git_that_is_away_while_the_cluster_is_waited_for_ends_nothing(
    server: Server, tmp_path: Path
) -> None:
    """The controller reports a commit that nobody here knows, and the server is away just then."""
    away, looks = server.bare.with_name("away"), []

    def read(kind: str, *_: str) -> Any:
        if kind != "Application":
            return None
        looks.append(1)
        if len(looks) == 1:
            server.push({"elsewhere": "1"})
            head = server.head
            server.bare.rename(away)
            return application(head)
        if away.exists():
            away.rename(server.bare)
        return application(server.head)

    writer, time = writer_of(server, tmp_path, read)
    writer.put(of_slot("green"), 1, "deploy")
    assert time.passed == 2.0


def beside_a_controller_that_may_not_be_read(applied: int) -> Callable[..., Any]:
    """As a watcher sees it: its own namespace alone. What is committed is there at that look."""
    made = {(one.kind, one.name): one.object for one in of_slot("green")}
    looks: list[str] = []

    def read(kind: str, name: str, namespace: str) -> Any:
        if kind == "Application":
            raise DeniedError("applications is forbidden")
        looks.append(name)
        waited = len(looks) - len(made)  # each was looked at before the commit
        return made[kind, name] if waited >= applied else None

    return read


def test_who_may_not_look_at_the_controller_waits_for_what_it_makes(
    server: Server, tmp_path: Path
) -> None:
    """A watcher that has to make a slot again before it can bring users back to it."""
    writer, time = writer_of(server, tmp_path, beside_a_controller_that_may_not_be_read(3))
    writer.patch = lambda *_: None
    writer.put(of_slot("green"), 1, "deploy")

    assert (writer.head, time.passed) == (server.head, 4.0)


def test_and_says_after_a_while_what_is_not_there(server: Server, tmp_path: Path) -> None:
    read = beside_a_controller_that_may_not_be_read(1000)
    writer, time = writer_of(server, tmp_path, read, wait_seconds=60)

    with pytest.raises(
        Waiting, match=r"assist-green is not there after 60 s.*may not look at Argo"
    ):
        writer.put(of_slot("green"), 1, "deploy")
    assert time.passed == 60


def test_who_may_see_nothing_at_all_is_told_that(server: Server, tmp_path: Path) -> None:
    """A token that has run out: nothing is taken for done."""

    def read(*_: str) -> Any:
        raise DeniedError("Unauthorized")

    with pytest.raises(DeniedError, match="Unauthorized"):
        writer_of(server, tmp_path, read)[0].put(of_slot("green"), 1, "deploy")
