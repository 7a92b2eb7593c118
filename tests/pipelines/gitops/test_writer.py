"""A step by Git: one commit that says what it is, and what Git says of who is live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.gitops import INDEX
from manifests.render import render
from pipelines.gitops.repository import ChangedMeanwhile, PushRefused
from pipelines.gitops.writer import GitNotTold, GitWriter, routing_in_git
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.writer import Writer
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.writing import BLUE, BOTH, FOLDER, of_slot, route, writer, writer_of

__all__ = ["writer"]


def test_it_stands_where_the_direct_one_does(writer: GitWriter) -> None:
    """Checked by types alone."""
    there: Writer = writer
    assert there is writer


def test_all_objects_of_a_slot_are_one_commit_that_says_what_it_is(
    server: Server, writer: GitWriter
) -> None:
    """Application, environment, the step, and the digest in a trailer."""
    objects = of_slot("green")
    writer.put(objects, 1, "deploy assist@1234567 to green\nGreenlight-Release: forged")

    assert writer.head == server.head
    assert len(server.log()) == 1
    said = server.git("log", "-1", "--format=%B", "main", at=server.bare)
    assert said.splitlines()[0].startswith("assist, production: deploy assist@1234567 to green")
    trailers = server.git(
        "log", "-1", "--format=%(trailers:key=Greenlight-Release,valueonly)", "main",
        at=server.bare,
    )  # fmt: skip
    assert trailers == BOTH.slots[1].release.digest


def test_the_folder_lists_its_files_in_order_and_keeps_what_others_added(
    server: Server, writer: GitWriter
) -> None:
    server.push({
        f"{FOLDER}/kustomization.yaml": "resources: [extra.yaml]\npatches: [{path: p.yaml}]\n",
        f"{FOLDER}/extra.yaml": "x",
    })  # fmt: skip
    writer.put(render(BLUE), 1, "begin")
    writer.put(of_slot("green"), 1, "deploy")
    writer.take_away([(one.kind, one.name) for one in of_slot("blue")], 1, "retire")

    files = server.files(FOLDER)
    left = {one.file for one in render(BLUE) if one.name != "assist-blue"}
    expected = sorted(left | {one.file for one in of_slot("green")})
    index = yaml.safe_load(files[INDEX])
    assert index["resources"] == [*expected, "extra.yaml"]
    assert index["patches"] == [{"path": "p.yaml"}]
    assert set(files) == {*expected, "extra.yaml", INDEX}


def test_an_edit_of_somebody_between_two_steps_stops_the_second(
    server: Server, writer: GitWriter
) -> None:
    """And looked at, it can go on."""
    writer.put(render(BLUE), 1, "begin")
    theirs = {f"{FOLDER}/{of_slot('blue')[0].file}": "by hand"}
    server.push(theirs, "tune by hand")

    with pytest.raises(ChangedMeanwhile, match="Ada: tune by hand"):
        writer.put(of_slot("green"), 1, "deploy")
    writer.folder()
    writer.put(of_slot("green"), 1, "deploy")
    assert server.log()[1] == "tune by hand"


def test_s09_a_writer_with_an_older_fence_is_stale(server: Server, writer: GitWriter) -> None:
    """Whatever it knows of the folder; what others commit there has no fence."""
    writer.put(render(BLUE), 7, "begin")
    server.push({f"{FOLDER}/note.txt": "x"}, "a note")
    writer.folder()
    head = server.head

    with pytest.raises(StaleFenceError, match="the fence 6 is stale: 7 has been seen"):
        writer.put(of_slot("green"), 6, "deploy")
    assert server.head == head
    writer.put(of_slot("green"), 7, "deploy")


def test_s05_git_says_which_slot_is_live_after_a_return(server: Server, writer: GitWriter) -> None:
    """Also when somebody changed the folder meanwhile: traffic is where it is."""
    writer.put([*render(BOTH), route(blue=0, green=100)], 1, "begin")
    server.push({f"{FOLDER}/note.txt": "x"}, "a note")

    writer.tell(route(blue=100), "back to blue: green answers worse")

    assert writer.head == server.head
    assert routing_in_git(writer.folder(), "assist").weights == {"blue": 100}
    assert server.log()[0] == "assist, production: back to blue: green answers worse"


def test_s05_a_push_that_fails_does_not_fail_a_return_and_is_told(
    server: Server, writer: GitWriter
) -> None:
    """The difference can be seen, and the same call puts it right later."""
    writer.put([*render(BOTH), route(green=100)], 1, "begin")
    hook = server.hook("pre-receive", "echo frozen; exit 1")

    with pytest.raises(GitNotTold, match=r"traffic is where it should be.*frozen") as told:
        writer.tell(route(blue=100), "back to blue")
    assert isinstance(told.value.__cause__, PushRefused)
    assert routing_in_git(writer.folder(), "assist").weights == {"green": 100}

    hook.unlink()
    writer.tell(route(blue=100), "back to blue")
    assert routing_in_git(writer.folder(), "assist").weights == {"blue": 100}


def test_s05_git_is_told_without_waiting_for_a_controller(server: Server, tmp_path: Path) -> None:
    def read(*_: str) -> Any:
        raise AssertionError("nobody is asked")

    writer, _ = writer_of(server, tmp_path, read)

    writer.tell(route(blue=100), "back to blue")

    assert server.log() == ["assist, production: back to blue"]


def test_a_route_that_git_has_not_or_not_whole_says_nothing(
    server: Server, writer: GitWriter
) -> None:
    assert routing_in_git(writer.folder(), "assist") == Routing()
    server.push({f"{FOLDER}/{route().file}": "spec: {rules: []}"})
    assert routing_in_git(writer.folder(), "assist") == Routing()
