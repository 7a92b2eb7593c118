"""A step by Git: one commit, and done when the cluster reports that very commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.gitops import INDEX
from manifests.render import Rendered, render
from manifests.render import merge as merged
from pipelines.gitops.repository import ChangedMeanwhile, PushRefused
from pipelines.gitops.writer import GitNotTold, GitWriter, git_writer, routing_in_git
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.writer import Writer
from release.errors import BAD_INPUT, BadInput, GreenlightError, Refused, Waiting
from tests.manifests.making import release, rendering, settings
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.test_controllers import Time, application, operation
from tests.pipelines.gitops.test_proposals import Forge, forge

__all__ = ["forge"]

FOLDER = "assist/production"
BLUE = rendering(release())
BOTH = rendering(release(), release("Be kind."))


def of_slot(slot: str) -> list[Rendered]:
    """What is rendered for a slot alone."""
    return [one for one in render(BOTH) if one.name == f"assist-{slot}"]


def route(**weights: int) -> Rendered:
    """The HTTPRoute with these weights."""
    return next(one for one in render(replace(BOTH, weights=weights)) if one.kind == "HTTPRoute")


def follows(server: Server) -> Callable[..., Any]:
    """A controller that has whatever main is at."""
    return lambda *_: application(server.head)


def writer_of(
    server: Server, work: Path, read: Callable[..., Any], **git: Any
) -> tuple[GitWriter, Time]:
    """A writer with a time of its own, which passes by sleeping."""
    section = {"repository": str(server.bare), "controller": "argocd", **git}
    writer, time = git_writer(rendering(given=settings(git=section)), work, read), Time()
    writer.now, writer.sleep = time.now, time.sleep
    return writer, time


@pytest.fixture
def writer(server: Server, tmp_path: Path) -> GitWriter:
    """Beside a controller that is quick."""
    return writer_of(server, tmp_path / "work", follows(server))[0]


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


@pytest.fixture
def proposing(server: Server, tmp_path: Path, forge: Forge) -> tuple[GitWriter, Time]:
    """A writer that proposes, to a server that has a first commit."""
    server.push({"README.md": "x"})
    writer, time = writer_of(
        server, tmp_path / "work", follows(server), propose="pull-request", wait_seconds=60
    )
    assert writer.proposals is not None
    vars(writer.proposals)["repository"] = "o/r"
    return writer, time


def merge(server: Server, forge: Forge, number: int = 1) -> None:
    """As the forge's button does: a merge commit on main."""
    branch = forge.pulls[number - 1]["head"]
    server.git("fetch", "-q", "origin")
    server.git("checkout", "-q", "-B", "main", "origin/main")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    server.git(*who, "merge", "-q", "--no-ff", "-m", "Merge", f"origin/{branch}")
    server.git("push", "-q", "origin", "main")
    forge.merge(number, server.head)


def test_a_change_is_proposed_once_and_goes_on_when_it_is_merged(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    """Waiting, whoever runs the command again finds the same pull request."""
    writer, _ = proposing
    for _ in range(2):
        with pytest.raises(Waiting, match="pull/1 is not merged yet"):
            writer.put(of_slot("green"), 1, "deploy")
    assert len(forge.pulls) == 1
    assert forge.pulls[0]["title"] == "assist, production: deploy"
    server.push({"elsewhere": "1"})

    merge(server, forge)

    writer.put(of_slot("green"), 1, "deploy")
    assert writer.head == server.head
    assert len(forge.pulls) == 1


@pytest.mark.parametrize("how", ["squash", "rebase"])
def test_what_is_squashed_or_rebased_is_another_commit_and_the_same_change(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge, how: str
) -> None:
    """The cluster reports that one; ours is in no branch that it follows."""
    writer, _ = proposing
    with pytest.raises(Waiting):
        writer.put(of_slot("green"), 1, "deploy")
    server.push({"elsewhere": "1"})
    branch = forge.pulls[0]["head"]
    server.git("fetch", "-q", "origin")
    ours = server.git("rev-parse", f"origin/{branch}")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    if how == "squash":
        server.git(*who, "merge", "-q", "--squash", f"origin/{branch}")
        server.git(*who, "commit", "-qm", "Deploy (#1)")
    else:
        server.git(*who, "cherry-pick", ours)
    server.git("push", "-q", "origin", "main")
    server.git("push", "-q", "origin", f":{branch}")
    forge.merge(1, server.head)

    writer.put(of_slot("green"), 1, "deploy")

    assert writer.head == server.head != ours
    assert len(forge.pulls) == 1


def test_somebody_merges_while_it_is_waited_for(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    writer, time = proposing

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if time.passed == 20:
            merge(server, forge)

    writer.sleep = sleep
    writer.put(of_slot("green"), 1, "deploy")
    assert writer.head == server.head


def test_the_same_change_at_a_later_time_is_another_proposal(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    """There and back again is three changes."""
    writer, _ = proposing
    for number, weights in enumerate(({"blue": 100}, {"green": 100}, {"blue": 100}), 1):
        with pytest.raises(GitNotTold, match=f"pull/{number} is not merged yet"):
            writer.tell(route(**weights), "live")
        merge(server, forge, number)
    assert len({one["head"] for one in forge.pulls}) == 3


def test_a_proposal_with_conflicts_is_made_anew_on_top_of_what_came_between(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    """Run again, as the error says; the old one is nobody's any more."""
    writer, _ = proposing
    with pytest.raises(Waiting):
        writer.put(of_slot("green"), 1, "deploy")
    edited = of_slot("green")[0]
    server.push({f"{FOLDER}/{edited.file}": f"{edited.text}# theirs\n"})
    forge.pulls[0] |= {"mergeable": False, "state": "closed"}

    with pytest.raises(Waiting, match="pull/2 is not merged yet"):
        writer.put(of_slot("green"), 1, "deploy")
    merge(server, forge, 2)
    writer.put(of_slot("green"), 1, "deploy")
    assert writer.head == server.head


def test_who_may_not_make_the_branch_of_a_proposal_is_told_that(
    server: Server, proposing: tuple[GitWriter, Time]
) -> None:
    """And not to propose, which is just what was tried."""
    server.hook("pre-receive", "echo 'unsigned commit'; exit 1")

    with pytest.raises(PushRefused, match=r"unsigned commit.*branches such as greenlight/") as told:
        proposing[0].put(of_slot("green"), 1, "deploy")
    assert "set git.propose" not in str(told.value)


def test_a_proposal_that_was_closed_is_a_refusal(
    proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    writer, _ = proposing
    with pytest.raises(Waiting):
        writer.put(of_slot("green"), 1, "deploy")
    forge.pulls[0]["state"] = "closed"

    with pytest.raises(Refused, match="pull/1 was closed"):
        writer.put(of_slot("green"), 1, "deploy")


def test_a_proposal_that_was_merged_otherwise_is_told(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    """A reviewer changed it: the cluster would get something else than what was tested."""
    writer, time = proposing

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if not forge.pulls[0]["merged_at"]:
            merge(server, forge)
            server.push({f"{FOLDER}/{of_slot('green')[0].file}": "otherwise"})
            forge.merge(1, server.head)

    writer.sleep = sleep
    with pytest.raises(ChangedMeanwhile, match="other content"):
        writer.put(of_slot("green"), 1, "deploy")


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
