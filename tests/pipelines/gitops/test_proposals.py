"""Pull requests against a stand-in of GitHub that answers as its documentation says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.gitops.proposals import GitHub, Proposal, merged, owner_and_name
from release.errors import GreenlightError, Refused, Waiting
from tests.pipelines.gitops.test_controllers import Time

TOKEN = "ghs_s3cret"


Answer = tuple[int, dict[str, Any], dict[str, str]]
SECONDARY = {"message": "You have exceeded a secondary Rate Limit."}
LIMITS: dict[str, tuple[Answer, int]] = {
    "with its time": ((403, {"message": "rate limit"}, {"retry-after": "300"}), 300),
    "in words alone": ((403, SECONDARY, {"x-ratelimit-remaining": "4999"}), 60),
    "in details alone": ((403, {"message": "No", "errors": [SECONDARY]}, {}), 60),
    "by its number alone": ((429, {"message": "later"}, {}), 60),
    "until a date": (
        (403, {"message": "No"}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        60,
    ),
    "with nothing left": ((403, {"message": "No"}, {"x-ratelimit-remaining": "0"}), 60),
}
"""Answers to who has asked too often, and for how many seconds nobody may ask again:
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"""


class Forge(ThreadingHTTPServer):
    """Pull requests of o/r. ``answers`` goes before all of it: path to status and headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pulls: list[dict[str, Any]] = []
        self.seen: list[str] = []
        self.failing: Answer | None = None

    @property
    def url(self) -> str:
        """Its API's address."""
        return f"http://127.0.0.1:{self.server_port}"

    def merge(self, number: int, commit: str) -> None:
        """As somebody does who presses the button."""
        self.pulls[number - 1] |= {
            "state": "closed", "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": commit,
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: Forge

    def do_GET(self) -> None:
        if not self._begin():
            return
        parts = urlsplit(self.path)
        if parts.path.endswith("/pulls"):
            head = parse_qs(parts.query)["head"][0]
            self._say(200, [one for one in self.server.pulls if f"o:{one['head']}" == head])
        else:
            self._say(200, self.server.pulls[int(parts.path.rpartition("/")[2]) - 1])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._begin():
            return
        pulls = self.server.pulls
        if any(one["head"] == body["head"] and one["state"] == "open" for one in pulls):
            said = f"A pull request already exists for o:{body['head']}."
            self._say(422, {"message": "Validation Failed", "errors": [{"message": said}]})
            return
        number = len(pulls) + 1
        url = f"https://github.com/o/r/pull/{number}"
        made = {**body, "number": number, "html_url": url, "state": "open", "merged_at": None}
        # GitHub names a commit here before anybody merged: one that it tries out
        pulls.append({**made, "merge_commit_sha": "f" * 40})
        self._say(201, pulls[-1])

    def _begin(self) -> bool:
        self.server.seen.append(f"{self.command} {self.path}")
        if self.server.failing:
            self._say(*self.server.failing)
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._say(401, {"message": "Bad credentials"})
        else:
            return True
        return False

    def _say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    """Where GITHUB_API_URL leads, with a token for it."""
    with Forge() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("no_proxy", "*")
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def github(forge: Forge) -> GitHub:
    """Of o/r, into main."""
    return GitHub("git@github.com:o/r.git", "main")


def test_a_branch_is_proposed_once(forge: Forge, github: GitHub) -> None:
    first = github.open("b", "title", "text")

    assert github.open("b", "title", "text") == first
    assert first == Proposal(1, "https://github.com/o/r/pull/1", "open")
    assert [one["head"] for one in forge.pulls] == ["b"]


def test_one_that_another_process_opened_at_that_moment_is_taken(
    forge: Forge, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says that there is one: it is looked for again."""
    first, real, looks = github.open("b", "t", ""), GitHub.find, []

    def late(self: GitHub, branch: str) -> Proposal | None:
        looks.append(branch)
        return real(self, branch) if len(looks) > 1 else None

    monkeypatch.setattr(GitHub, "find", late)

    assert github.open("b", "t", "") == first


def test_it_is_waited_for_until_somebody_merges_it(forge: Forge, github: GitHub) -> None:
    proposal, time = github.open("b", "t", ""), Time()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if time.passed >= 30:
            forge.merge(1, "c" * 40)

    assert merged(github, proposal, 600, time.now, sleep) == "c" * 40
    assert time.passed == 30


def test_one_that_nobody_merges_is_waiting_with_its_address(github: GitHub) -> None:
    time = Time()
    with pytest.raises(Waiting, match=r"https://github.com/o/r/pull/1 is not merged yet"):
        merged(github, github.open("b", "t", ""), 60, time.now, time.sleep)
    assert time.passed == 60


def test_one_that_somebody_closed_is_a_refusal(forge: Forge, github: GitHub) -> None:
    proposal, time = github.open("b", "t", ""), Time()
    forge.pulls[0]["state"] = "closed"

    with pytest.raises(Refused, match="closed and not merged"):
        merged(github, proposal, 60, time.now, time.sleep)


def test_an_open_one_comes_before_those_of_earlier_times(forge: Forge, github: GitHub) -> None:
    github.open("b", "t", "")
    forge.merge(1, "c" * 40)
    assert github.find("b") == Proposal(1, "https://github.com/o/r/pull/1", "merged", "c" * 40)

    second = github.open("b", "t", "")
    assert (github.find("b"), second.number) == (second, 2)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, {"message": "Bad credentials"}, "401 Bad credentials. Renew"),
        (403, {"message": "Resource not accessible"}, "accessible. The token may lack a right"),
        (403, {"message": "rate limit"}, "403 rate limit. Run the command again"),
        (404, {"message": "Not Found"}, "may not see it"),
        (422, {"message": "No", "errors": [{"message": f"echo {TOKEN}"}]}, r"No; echo \*\*\*"),
        (500, ["odd"], "500"),
        (200, {"odd": 1}, "something else"),
    ],
)
def test_what_github_says_is_told(
    forge: Forge, github: GitHub, status: int, answer: Any, words: str
) -> None:
    forge.failing = (status, answer, {})

    with pytest.raises(GreenlightError, match=words):
        github.look(1)


def test_a_redirect_does_not_get_the_token(forge: Forge, github: GitHub) -> None:
    forge.failing = (302, {}, {"Location": f"{forge.url}/elsewhere"})

    with pytest.raises(GreenlightError, match="302"):
        github.look(1)
    assert not any("elsewhere" in one for one in forge.seen)


def test_without_a_token_nothing_is_proposed(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.delenv("GH_TOKEN", raising=False)

    with pytest.raises(GreenlightError, match="expected a token in GITHUB_TOKEN or GH_TOKEN"):
        github.require_ready()


def test_a_token_does_not_travel_in_the_clear(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://forge.example.com")

    with pytest.raises(GreenlightError, match="https"):
        github.require_ready()


@pytest.mark.parametrize(
    "url",
    ["https://github.com/o/r", "https://github.com/o/r.git", "git@github.com:o/r.git",
     "ssh://git@github.com/o/r.git", "/srv/git/o/r.git", "https://ghe.example.com/o/r/"],
)  # fmt: skip
def test_a_repository_has_an_owner_and_a_name(url: str) -> None:
    assert owner_and_name(url) == "o/r"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (500, {}),
        (502, {}),
        (503, {}),
        (429, {}),
        (403, {"retry-after": "5"}),
        (403, {"x-ratelimit-remaining": "0"}),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}),
        (403, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ],
)
def test_a_forge_that_is_away_for_a_moment_ends_no_wait(
    forge: Forge, github: GitHub, status: int, headers: dict[str, str]
) -> None:
    """Reviews take hours; in hours a server is restarted, and a token's requests are used up."""
    proposal, time = github.open("b", "t", ""), Time()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        forge.failing = (status, {"message": "later"}, headers) if time.passed < 100 else None
        if time.passed >= 100:
            forge.merge(1, "c" * 40)

    assert merged(github, proposal, 600, time.now, sleep) == "c" * 40


@pytest.mark.parametrize(("answer", "limit"), LIMITS.values(), ids=LIMITS)
def test_who_has_asked_too_often_is_not_asked_again_before_its_time(
    forge: Forge, github: GitHub, answer: Answer, limit: int
) -> None:
    """GitHub shuts out who goes on. The wait's own end comes first all the same."""
    proposal, time, pauses = github.open("b", "t", ""), Time(), list[float]()
    forge.failing = answer

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    with pytest.raises(Waiting, match=f"is not known.*{answer[0]} {answer[1]['message']}"):
        merged(github, proposal, 2 * limit, time.now, sleep)
    assert pauses == [10, limit, limit - 10]


def test_a_forge_that_stays_away_is_waiting_with_what_it_said(forge: Forge, github: GitHub) -> None:
    """Somebody may have merged it meanwhile: that is not known."""
    proposal, time = github.open("b", "t", ""), Time()
    forge.failing = (503, {"message": "later"}, {})

    with pytest.raises(Waiting, match=r"whether https://.*/1 is merged is not known.*503 later"):
        merged(github, proposal, 60, time.now, time.sleep)
    assert time.passed == 60


def test_an_answer_that_breaks_off_is_told(forge: Forge, github: GitHub) -> None:
    """Half a body is no pull request, and no crash."""
    forge.failing = (200, {"number": 1}, {"Content-Length": "1000"})

    with pytest.raises(GreenlightError, match=r"GET pulls/1 of o/r: .*Run the command again"):
        github.look(1)


def test_one_with_conflicts_says_so(forge: Forge, github: GitHub) -> None:
    """Nobody can merge it: the same command, run again, proposes what can be."""
    proposal, time = github.open("b", "t", ""), Time()
    forge.pulls[0] |= {"mergeable": False, "mergeable_state": "dirty"}

    with pytest.raises(Waiting, match=r"pull/1 has conflicts"):
        merged(github, proposal, 30, time.now, time.sleep)


def test_a_repository_that_has_moved_is_told(forge: Forge, github: GitHub) -> None:
    forge.failing = (301, {"message": "Moved Permanently"}, {"Location": f"{forge.url}/elsewhere"})

    with pytest.raises(GreenlightError, match=r"301 Moved Permanently.*git\.repository"):
        github.look(1)
