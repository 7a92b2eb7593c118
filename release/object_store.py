"""A store on object storage: Azure Blob, S3 or Google Cloud Storage, through obstore.

A conditional put ("only if there is nothing of that name") is the compare-and-swap. obstore
tries nothing again here, because a put whose answer was lost may have been written: only who
knows that its own try was left unanswered can tell its own object from a rival's. So the tries
are made here, few and for a short time: a lease must not run out while somebody is patient.

Listing and reading show every write that was answered: Amazon S3 and Google Cloud Storage are
strongly consistent for both (https://aws.amazon.com/s3/consistency/,
https://cloud.google.com/storage/docs/consistency), and so is Azure Blob Storage
(https://learn.microsoft.com/azure/storage/blobs/concurrency-manage).
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from release.errors import BadInput, GreenlightError, Problem
from release.integrity import Damaged
from release.locations import Location

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

PATIENCE = 10.0
"""Seconds in which a request is tried again: a third of the shortest usual lease, 30 s."""
CONNECT, ANSWER = 5.0, 5.0  # seconds; an entry has a few kB
SLOWEST = 1 << 20  # bytes a second; a blob's time grows with the largest that there may be
AT_ONCE = 16  # reads; a request takes some 20 ms, whatever its size
PAUSES = (0.1, 2.0)  # seconds between tries: the first, twice as long each time, and the longest

NO_CONTAINER = ("NoSuchBucket", "ContainerNotFound")
NO_PLACE = frozenset({"169.254.169.254", "token request", "oauth2", "Account must be specified"})
"""What an error says when there was no identity to act with, or it could not be asked for.
169.254.169.254 is where clouds tell a machine who it is."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_T = TypeVar("_T")


class StoreAway(GreenlightError):
    """The object store did not answer, or only with errors of its own, for too long."""


@dataclass(frozen=True)
class Failure:
    """What a request failed of, in words that hold nothing secret: obstore's own text may quote
    the request. ``passing``: trying again may help.
    """

    reason: str
    status: int = 0
    code: str = ""
    passing: bool = False
    identity: bool = False


@dataclass(frozen=True)
class ObjectStore:
    """The objects below ``folder`` of ``location``. ``limit`` is in bytes an object."""

    location: Location
    folder: str
    limit: int = 1 << 20

    def create(self, name: str, data: bytes) -> None:
        """Keep ``data``. BadInput when it is over the limit, or the store will not have it from
        us; StoreAway when nobody can say whether it was written.
        """
        if len(data) > self.limit:
            raise BadInput(self._too_large(name, f"{len(data)} bytes"))
        asked, failure = False, Failure("nothing was tried")
        for _ in self._tries():
            failure = self._put(name, data)
            if not failure.reason:
                return
            if failure.status in (409, 412) and (found := self._found(name)) is not None:
                if asked and found == data:
                    return  # our own, of a try that was not answered
                raise FileExistsError(name)
            asked = True
        raise StoreAway(
            f"{self.where(name)} could not be written within {PATIENCE:.0f} s: "
            f"{failure.reason}. It may be there all the same. Run the same command again when "
            "the store answers: it reads first and goes on from what it finds."
        )

    def read(self, name: str) -> bytes:
        """The object's bytes; Damaged when it is over the limit, StoreAway without an answer."""
        return self._patiently(name, lambda: self._get(name))

    def read_each(self, names: Iterable[str]) -> Iterator[Callable[[], bytes]]:
        """As ``read``, several at once."""
        ahead: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(AT_ONCE, "ledger") as pool:
            for name in names:
                ahead.append(pool.submit(self.read, name))
                if len(ahead) > AT_ONCE:
                    yield ahead.popleft().result
            while ahead:
                yield ahead.popleft().result

    def names(self) -> tuple[str, ...]:
        """What is kept; BadInput when there is no such container."""
        return self._patiently("", self._list)

    def where(self, name: str) -> str:
        """The object's URL."""
        return "/".join(part for part in (self.location.url, self.folder, name) if part)

    def _put(self, name: str, data: bytes) -> Failure:
        """Try once; what it failed of, without a reason when it did not."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self._client, f"{self.folder}/{name}", data, mode="create")
        except (BaseError, OSError, ValueError) as error:
            return self._bearable(name, error)
        return Failure("")

    def _get(self, name: str) -> bytes:
        import obstore

        found = obstore.get(self._client, f"{self.folder}/{name}")
        if found.meta["size"] > self.limit:
            raise Damaged(self._too_large(name, f"{found.meta['size']} bytes"))
        return bytes(found.bytes())

    def _list(self) -> tuple[str, ...]:
        import obstore

        pages = obstore.list(self._client, prefix=self.folder)
        paths = (one["path"].removeprefix(f"{self.folder}/") for page in pages for one in page)
        return tuple(path for path in paths if "/" not in path)

    def _found(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None  # S3 answers 409 while another put is under way, which may yet fail

    def _patiently(self, name: str, ask: Callable[[], _T]) -> _T:
        from obstore.exceptions import BaseError

        failure = Failure("nothing was tried")
        for _ in self._tries():
            try:
                return ask()
            except (BaseError, OSError, ValueError) as error:
                failure = self._bearable(name, error)
                if failure.status == 404:
                    raise FileNotFoundError(self.where(name)) from None
        raise StoreAway(
            f"{self.where(name)} could not be read within {PATIENCE:.0f} s: "
            f"{failure.reason}. Nothing was changed; run the same command again when the store "
            "answers."
        )

    def _tries(self) -> Iterator[int]:
        """Numbers until patience ends, with longer and longer pauses between them."""
        end, number, (pause, longest) = time.monotonic() + PATIENCE, 0, PAUSES
        while True:
            yield (number := number + 1)
            if time.monotonic() + pause > end:
                return
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (no secret is made of it)
            pause = min(2 * pause, longest)

    def _bearable(self, name: str, error: Exception) -> Failure:
        """What is wrong where trying again may help, or nothing is there; else BadInput."""
        failure = explain(error)
        missing = failure.code in NO_CONTAINER or (failure.status == 404 and not name)
        if not missing and (failure.passing or failure.status in (404, 409, 412)):
            return failure
        expected, remedy = "a store that does as it is asked", "has to be able to do"
        if missing:
            expected, remedy = "a container or bucket of that name", "has to be there"
        elif failure.identity or failure.status in (401, 403):
            expected = "an identity that may list, read and create objects here"
            remedy = "takes its identity from"
        remedy = f"docs/ledger.md says what it {remedy}."
        raise BadInput(Problem(expected, failure.reason, remedy, file=self.where(name))) from None

    @cached_property
    def _client(self) -> AzureStore | GCSStore | S3Store:
        """Made at the first use; identity and endpoint are taken from the environment."""
        from obstore.store import AzureStore, GCSStore, S3Store

        at, retries = self.location, _no_retries()
        options, prefix = self._options(), at.prefix or None
        if at.scheme == "s3":
            return S3Store(
                at.container, prefix=prefix, client_options=options, retry_config=retries
            )
        if at.scheme == "gs":
            return GCSStore(
                at.container, prefix=prefix, client_options=options, retry_config=retries
            )
        account = {"account_name": at.account, "endpoint": at.endpoint} if at.account else {}
        return AzureStore(
            at.container, prefix=prefix, client_options=options, retry_config=retries,
            config=account,  # type: ignore[arg-type]
        )  # fmt: skip

    def _options(self) -> ClientConfig:
        answer = ANSWER + self.limit / SLOWEST
        cloud = {"s3": "AWS", "gs": "GOOGLE"}.get(self.location.scheme, "AZURE")
        return {
            "connect_timeout": timedelta(seconds=CONNECT),
            "timeout": timedelta(seconds=answer),
            "allow_http": os.environ.get(f"{cloud}_ALLOW_HTTP", "").lower() in ("true", "1"),
        }

    def _too_large(self, name: str, found: str) -> Problem:
        return Problem(f"at most {self.limit} bytes", found, file=self.where(name))


def _no_retries() -> RetryConfig:
    return {"max_retries": 0}  # the module's docstring says why


def explain(error: Exception) -> Failure:
    """What ``error``, of obstore, is about. Of its text only a status and the store's own word
    for it are passed on.
    """
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    number, word = int(status[1]) if status else 0, code[1] if code else ""
    identity = any(mark in text for mark in NO_PLACE)
    passing = number in (408, 429) or number >= 500 or (not number and "HTTP error" in text)
    if identity:
        reason = "no identity could be had from the environment or the machine"
    elif number:
        reason = f"it answered {number} {word}".rstrip()
    else:
        reason = (
            "no answer" if passing else f"a client that cannot be made ({type(error).__name__})"
        )
    return Failure(reason, number, word, passing, identity)
