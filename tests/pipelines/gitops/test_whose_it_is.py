"""What somebody else wrote is theirs: a file of the folder, a link, an object of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.gitops import INDEX
from manifests.render import merge as merged
from manifests.render import render
from pipelines.gitops.writer import GitNotTold, GitWriter
from pipelines.targets.kubernetes.refusals import DeniedError
from release.errors import BAD_INPUT, BadInput, GreenlightError
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.test_controllers import application
from tests.pipelines.gitops.writing import BLUE, FOLDER, of_slot, route, writer, writer_of

__all__ = ["writer"]


def test_an_object_of_another_application_in_the_cluster_is_not_committed(
    server: Server, tmp_path: Path
) -> None:
    """In a namespace that both name: the controller would take it from them, and then they back."""
    (account,) = (one for one in render(BLUE) if one.kind == "ServiceAccount")
    theirs = merged(account.object, {"metadata": {"labels": {"app.kubernetes.io/name": "bot"}}})

    def read(kind: str, *_: str) -> Any:
        return theirs if kind == "ServiceAccount" else None

    writer, _ = writer_of(server, tmp_path, read)
    with pytest.raises(GreenlightError, match=r"ServiceAccount assist .* belongs to bot in"):
        writer.put([account], 1, "begin")

    assert not server.head


def test_who_may_not_look_at_an_object_commits_it(server: Server, tmp_path: Path) -> None:
    """The controller may."""

    def read(kind: str, *_: str) -> Any:
        if kind != "Application":
            raise DeniedError("no")
        return application(server.head)

    writer_of(server, tmp_path, read)[0].put(of_slot("green"), 1, "deploy")

    assert len(server.log()) == 1


GREEN = of_slot("green")[0]

WRITES: dict[str, Callable[[GitWriter], None]] = {
    "written over": lambda writer: writer.put(of_slot("green"), 1, "deploy"),
    "taken away": lambda writer: writer.take_away([(GREEN.kind, GREEN.name)], 1, "retire"),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_file_that_somebody_else_wrote_is_refused_by_name(
    server: Server, writer: GitWriter, how: str
) -> None:
    """Though it has the name of one of ours. Moved out of the way, the same command goes on."""
    theirs = f"{FOLDER}/{GREEN.file}"
    server.push({theirs: "kind: ConfigMap\n"}, "ours first")

    with pytest.raises(BadInput, match=GREEN.file) as refused:
        WRITES[how](writer)

    assert refused.value.exit_code == BAD_INPUT
    assert server.log() == ["ours first"]
    server.push({theirs: None}, "moved")
    writer.folder()
    WRITES[how](writer)


@pytest.mark.parametrize("name", [GREEN.file, INDEX])
def test_a_link_is_never_ours(server: Server, writer: GitWriter, name: str) -> None:
    """It leads to somebody else's, whatever that says."""
    server.push({f"{FOLDER}/{name}": Path("../shared.yaml")})

    with pytest.raises(BadInput, match=name):
        writer.put(of_slot("green"), 1, "deploy")


def test_a_file_of_ours_that_somebody_has_edited_is_written_over(
    server: Server, writer: GitWriter
) -> None:
    """Once the edit was looked at: it says still that it is Greenlight's."""
    writer.put(of_slot("green"), 1, "deploy")
    server.push({f"{FOLDER}/{GREEN.file}": GREEN.text + "# by hand\n"}, "tune by hand")
    writer.folder()

    writer.put(of_slot("green"), 1, "deploy")

    assert server.files(FOLDER)[GREEN.file] == GREEN.text.strip()


def test_s05_a_route_that_somebody_else_wrote_stays_and_a_return_goes_on(
    server: Server, writer: GitWriter
) -> None:
    """The traffic is where it should be; that Git says otherwise is told."""
    server.push({f"{FOLDER}/{route().file}": "spec: {rules: []}"})

    with pytest.raises(GitNotTold, match=route().file):
        writer.tell(route(blue=100), "back to blue")
