"""A Lease is one environment's, and its fence stops every older writer."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.facts import ENVIRONMENT, FENCE
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from release.ledger import Mark
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.sharing import (
    SPACE,
    ground,
    namespace,
    start,
)

LEASE = ("Lease", SPACE, "assist-greenlight")


@pytest.mark.parametrize("build", ["this", "an earlier one"])
def test_a_lease_of_another_environment_is_not_taken(build: str) -> None:
    """Both came to one namespace, maybe by two files: a higher fence there would make production's
    rollout and its watcher stale, and the ledger that is remembered may be another. An earlier
    build put no environment on the Lease; what it guards had one.
    """
    api = MemoryApi()
    theirs, mine = ground(api), ground(api, environment="staging")
    theirs.anchor.take(1)
    start(theirs)
    theirs.anchor.note(Mark(3, "a" * 64))
    if build != "this":
        del api.objects[LEASE]["metadata"]["labels"][ENVIRONMENT]
    before = {**api.objects}

    for attempt in (mine.anchor.take, Shell(mine, DirectWriter(api, mine.anchor)).make):
        with pytest.raises(GreenlightError, match="belongs to assist in production"):
            attempt(7)
    if build == "this":
        mine.anchor.note(Mark(4, "b" * 64))
        assert mine.anchor.seen() is None

    assert {key: one for key, one in api.objects.items() if key in before} == before
    theirs.anchor.take(2)


def test_a_lease_of_an_earlier_build_is_taken_over() -> None:
    """It has no environment, and is ours as far as anything says; also by the fence it has."""
    api = MemoryApi()
    mine = ground(api)
    mine.anchor.take(1)
    start(mine)
    del api.objects[LEASE]["metadata"]["labels"][ENVIRONMENT]

    mine.anchor.take(1)

    labels = api.objects[LEASE]["metadata"]["labels"]
    assert (labels[ENVIRONMENT], labels[FENCE]) == ("production", "1")


def overtaken(api: MemoryApi, verb: str, kind: str) -> None:
    """Somebody newer comes just before the first such write."""
    newer = Anchor(api, SPACE, "assist", "production")

    def come(*what: str) -> None:
        if what[:2] == (verb, kind):
            api.before = lambda *_: None
            newer.take(2)

    api.before = come


def test_s09_a_deployment_that_is_made_after_somebody_newer_came_does_not_stay() -> None:
    """It was not there to be marked when they came."""
    api = MemoryApi()
    there = ground(api)
    there.anchor.take(1)
    overtaken(api, "create", "Deployment")

    with pytest.raises(StaleFenceError):
        start(there)

    assert not api.list("Deployment", SPACE)


def test_s09_what_has_no_fence_is_neither_written_nor_deleted_once_somebody_newer_is_there() -> (
    None
):
    """Such as a Service, which the newer one may just have made."""
    api = MemoryApi()
    there = ground(api)
    there.anchor.take(1)
    start(there)
    there.anchor.take(2)
    before = {key: one for key, one in api.objects.items() if key[0] != "Lease"}
    writer = DirectWriter(api, there.anchor)

    with pytest.raises(StaleFenceError):
        writer.take_away([("Service", "assist-blue")], 1, "")
    with pytest.raises(StaleFenceError):
        start(there, "green", fence=1)

    assert {key: one for key, one in api.objects.items() if key[0] != "Lease"} == before


def test_s09_what_a_policy_kept_from_the_newer_fence_gets_it_with_the_next_write() -> None:
    """Weights move meanwhile; once the policy has gone, an older writer is refused there too."""
    api = MemoryApi(namespace())
    there = ground(api)
    start(there, fence=1)
    denied = True

    def policy(verb: str, kind: str, name: str) -> None:
        if denied and (verb, kind) == ("patch", "Deployment"):
            raise DeniedError("no")

    api.before = policy
    there.anchor.take(2)
    denied = False
    there.anchor.take(2)

    blue = api.objects["Deployment", SPACE, "assist-blue"]
    with pytest.raises(StaleFenceError):
        there.anchor.apply(blue, 1)
    assert blue["metadata"]["labels"][FENCE] == "2"


def test_a_lease_that_somebody_takes_away_in_between_is_made_again() -> None:
    """With the fence: an older writer is refused as before."""
    api = MemoryApi()
    mine = ground(api)
    start(mine)
    gone: list[Any] = []

    def take_away(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("patch", "Deployment") and not gone:
            gone.append(api.objects.pop(("Lease", SPACE, mine.anchor.name)))

    mine.anchor.take(1)
    api.before = take_away
    mine.anchor.take(2)

    assert gone
    with pytest.raises(StaleFenceError):
        mine.anchor.take(1)
