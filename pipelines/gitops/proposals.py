"""Pull requests: for branches that people guard, a change is proposed and somebody merges it.

``Proposals`` is all that the rest knows of a forge; GitHub's is the one here.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import Any, Literal, NoReturn, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pipelines.gitops.git_cli import shown
from release.errors import GreenlightError, Refused, Waiting

T = TypeVar("T")

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
API = "GITHUB_API_URL"
PUBLIC_API = "https://api.github.com"
SECONDS = 30
"""For one answer of the forge."""

LOOK_SECONDS = 10.0
"""Between looks: GitHub grants 5,000 an hour, https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"""

LIMITED_SECONDS = 60.0
"""For a limit that does not say how long it lasts, as secondary ones need not: by the same page
nobody asks again for a minute at least."""


@dataclass(frozen=True)
class Proposal:
    """A pull request. ``commit`` is its merge commit, empty until it is merged. ``conflicts``:
    nobody can merge it as it is.
    """

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    commit: str = ""
    conflicts: bool = False


class ForgeAway(GreenlightError):
    """The forge gave no answer that says anything: later it may, after ``seconds`` at least."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class ForgeLimited(ForgeAway):
    """It takes no more requests for now, and may shut out who asks again before its time."""


class Proposals(Protocol):
    """What a forge can do for us. Each raises GreenlightError with what it answered."""

    def require_ready(self) -> None:
        """GreenlightError where nothing can be proposed, such as without a token."""

    def find(self, branch: str) -> Proposal | None:
        """The newest proposal of ``branch``, open or not."""

    def open(self, branch: str, title: str, text: str) -> Proposal:
        """Propose ``branch``; the one that is open already where there is one."""

    def look(self, number: int) -> Proposal:
        """What has become of it."""


class GitHub:
    """Pull requests into ``base`` of the repository at ``url``, by GitHub's REST API.

    The token comes from GITHUB_TOKEN or GH_TOKEN, the server from GITHUB_API_URL.
    """

    def __init__(self, url: str, base: str) -> None:
        self.repository = owner_and_name(url)
        self.base = base

    def require_ready(self) -> None:
        """GreenlightError without a token, or where it would travel in the clear."""
        self._token()
        self._api()

    def find(self, branch: str) -> Proposal | None:
        """An open one before any other, then the newest."""
        owner = self.repository.partition("/")[0]
        asked = {"head": f"{owner}:{branch}", "base": self.base, "state": "all", "per_page": "30"}
        found = [_proposal(one) for one in self._call("GET", f"pulls?{urlencode(asked)}")]
        return min(found, key=lambda one: (one.state != "open", -one.number), default=None)

    def open(self, branch: str, title: str, text: str) -> Proposal:
        """One that is open already is not opened twice, whoever was quicker."""
        if (found := self.find(branch)) and found.state == "open":
            return found
        body = {"title": title, "body": text, "head": branch, "base": self.base}
        try:
            return _proposal(self._call("POST", "pulls", body))
        except ForgeLimited:
            raise
        except GreenlightError:
            if (found := self.find(branch)) and found.state == "open":
                return found
            raise

    def look(self, number: int) -> Proposal:
        """As it is now."""
        return _proposal(self._call("GET", f"pulls/{number}"))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - _api lets https through, and loopback
            f"{self._api()}/repos/{quote(self.repository)}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token()}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "greenlight",
            },
        )
        what = f"{method} {path.partition('?')[0]} of {self.repository}"
        try:
            with _OPENER.open(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            _tell(what, error)
        except (OSError, ValueError, HTTPException) as error:
            raise ForgeAway(f"{what}: {shown(str(error))}. Run the command again") from None

    def _token(self) -> str:
        found = next(filter(None, map(os.environ.get, TOKENS)), "")
        if not found:
            raise GreenlightError(
                f"expected a token in {' or '.join(TOKENS)} to open a pull request with, found "
                "none. It needs to write contents and pull requests of that repository alone"
            )
        return found

    def _api(self) -> str:
        url = (os.environ.get(API) or PUBLIC_API).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise GreenlightError(f"{API}: expected an https address: a token is sent there")
        return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token along, to wherever it leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the redirect is reported as the error that it is here."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _tell(what: str, error: urllib.error.HTTPError) -> NoReturn:
    """What the server said, in its own words."""
    with error:
        text = error.read(4000).decode("utf-8", "replace")
    try:
        answer = json.loads(text)
        details = [one.get("message", "") for one in answer.get("errors", ())]
        said = "; ".join(filter(None, [answer["message"], *details]))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = error.reason
    remedy = {
        301: " It has moved: name its new address in git.repository.",
        401: " Renew the token.",
        403: " The token may lack a right.",
        404: " The repository is not there, or the token may not see it.",
    }.get(error.code, "")
    told = f"{what}: {error.code} {shown(str(said))}."
    seconds = _said_seconds(error.headers, time.time())
    if _is_limit(error, str(said)):
        limit = LIMITED_SECONDS if seconds is None else seconds
        raise ForgeLimited(f"{told} Run the command again", limit) from None
    if error.code >= 500:
        raise ForgeAway(f"{told} Run the command again", seconds or 0.0) from None
    raise GreenlightError(f"{told}{remedy}") from None


def _is_limit(error: urllib.error.HTTPError, said: str) -> bool:
    """Whether it is for asking too often. A secondary limit may say so in its words alone, with
    requests remaining: a 403 in other words is the lack of a right.
    """
    spent = error.headers.get("x-ratelimit-remaining") == "0"
    told = spent or "retry-after" in error.headers or "rate limit" in said.lower()
    return error.code == 429 or (error.code == 403 and told)


def _said_seconds(headers: Message, now: float) -> float | None:
    """Seconds for which nobody may ask again, as the answer's headers say; None: they do not."""
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        return float(after)
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(0.0, float(reset) - now)
    return None


def _proposal(answer: Any) -> Proposal:
    try:
        number, url = int(answer["number"]), str(answer["html_url"])
        if answer.get("merged_at"):
            return Proposal(number, url, "merged", str(answer["merge_commit_sha"]))
        state: Literal["open", "closed"] = "open" if answer["state"] == "open" else "closed"
        return Proposal(number, url, state, conflicts=answer.get("mergeable") is False)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise GreenlightError("expected a pull request from GitHub, found something else") from None


def owner_and_name(url: str) -> str:
    """``OWNER/NAME`` at the end of a repository's address. GreenlightError where there is none."""
    found = re.search(r"([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", re.sub(r"^[^/]*@[^/:]+:", "/", url))
    if not found:
        raise GreenlightError(f"{shown(url)}: expected OWNER/NAME at its end")
    return f"{found[1]}/{found[2]}"


def unlimited(
    ask: Callable[[], T], seconds: float, now: Callable[[], float], sleep: Callable[[float], None]
) -> T:
    """What ``ask`` answers, asked again when the forge takes requests again. Waiting with what it
    said where that takes ``seconds``, or longer; any other error at once.
    """
    deadline = now() + seconds
    while True:
        try:
            return ask()
        except ForgeLimited as error:
            limited = error
        sleep(_pause(limited.seconds, deadline - now()))
        if now() >= deadline:
            raise Waiting(str(limited))


def merged(
    proposals: Proposals, proposal: Proposal, seconds: float,
    now: Callable[[], float], sleep: Callable[[float], None],
) -> str:  # fmt: skip
    """The merge commit. Waiting with the address where nobody merged it within ``seconds``, or the
    forge does not say whether anybody did; Refused where it was closed.
    """
    deadline, pause, unknown = now() + seconds, 0.0, ""
    while proposal.state == "open":
        if now() >= deadline:
            raise Waiting(unknown or _why_open(proposal))
        sleep(_pause(pause, deadline - now()))
        try:
            proposal, pause, unknown = proposals.look(proposal.number), 0.0, ""
        except ForgeAway as error:
            pause = error.seconds
            unknown = f"whether {proposal.url} is merged is not known. {error}"
    if proposal.state == "closed":
        raise Refused(f"{proposal.url} was closed and not merged. Reopen it to go on")
    return proposal.commit


def _pause(asked: float, left: float) -> float:
    """Seconds to the next look: as many as the forge asked for, and no more than are left."""
    return min(max(LOOK_SECONDS, asked), max(0.0, left))


def _why_open(proposal: Proposal) -> str:
    if proposal.conflicts:
        return (
            f"{proposal.url} has conflicts with what came in between. Close it and run the command "
            "again: it proposes the change anew, on top of that"
        )
    return (
        f"{proposal.url} is not merged yet. Merge it and run the command again: it goes on from "
        "there"
    )
