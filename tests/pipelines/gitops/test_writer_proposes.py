"""A step that is proposed goes on when somebody has merged it, whatever way they did."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.gitops.proposals import LOOK_SECONDS, ForgeAway
from pipelines.gitops.repository import ChangedMeanwhile, PushRefused
from pipelines.gitops.writer import GitNotTold, GitWriter
from release.errors import Refused, Waiting
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.test_controllers import Time
from tests.pipelines.gitops.test_proposals import LIMITS, Answer, Forge, Handler, forge
from tests.pipelines.gitops.writing import FOLDER, follows, of_slot, route, writer_of

__all__ = ["forge"]


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


def limit(forge: Forge, monkeypatch: pytest.MonkeyPatch, verb: str, answer: Answer) -> None:
    """From the first request of ``verb`` on GitHub takes no more, and says so by ``answer``."""
    begin = Handler._begin

    def limited(self: Handler) -> bool:
        if self.command == verb and not any(one.startswith(verb) for one in forge.seen):
            forge.failing = answer
        return begin(self)

    monkeypatch.setattr(Handler, "_begin", limited)


@pytest.mark.parametrize(("answer", "seconds"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_limit_on_requests_is_waited_out_before_there_is_a_proposal_too(
    server: Server, proposing: tuple[GitWriter, Time], forge: Forge,
    monkeypatch: pytest.MonkeyPatch, verb: str, answer: Answer, seconds: int,
) -> None:  # fmt: skip
    """And nobody asks in between: GitHub shuts out who does."""
    (writer, time), asked = proposing, list[int]()
    writer.settings = writer.settings.model_copy(update={"wait_seconds": 600})
    limit(forge, monkeypatch, verb, answer)

    def sleep(pause: float) -> None:
        asked.append(len(forge.seen))
        time.sleep(pause)
        if time.passed >= seconds:
            forge.failing = None
        if forge.pulls:
            merge(server, forge)

    writer.sleep = sleep
    writer.put(of_slot("green"), 1, "deploy")

    assert writer.head == server.head
    assert time.passed == seconds + LOOK_SECONDS
    assert forge.seen[asked[0] - 1].startswith(verb)
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [one for one, _ in LIMITS.values()], ids=LIMITS)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_limit_that_outlasts_the_wait_is_waiting(
    proposing: tuple[GitWriter, Time], forge: Forge, monkeypatch: pytest.MonkeyPatch, verb: str,
    answer: Answer,
) -> None:  # fmt: skip
    """Exit 4, with what GitHub said: it was not asked once more before its time."""
    writer, time = proposing
    limit(forge, monkeypatch, verb, answer)

    with pytest.raises(Waiting, match=f"{answer[0]} {answer[1]['message']}"):
        writer.put(of_slot("green"), 1, "deploy")

    assert time.passed == 60
    assert [one.partition(" ")[0] for one in forge.seen][-1] == verb
    assert len([one for one in forge.seen if one.startswith(verb)]) == 1


def test_a_forge_that_is_away_before_there_is_a_proposal_is_told_at_once(
    proposing: tuple[GitWriter, Time], forge: Forge
) -> None:
    """It may be a wrong address: nobody waits hours for that."""
    writer, time = proposing
    forge.failing = (503, {"message": "later"}, {})

    with pytest.raises(ForgeAway, match="503 later"):
        writer.put(of_slot("green"), 1, "deploy")
    assert time.passed == 0
