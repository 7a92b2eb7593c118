"""A Lease is one environment's, and its fence stops every older writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from manifests.model import Slot
from manifests.render import Rendered
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.facts import ENVIRONMENT, FENCE
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.leftovers import OF_A_SERVER, OF_A_SLOT
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from release.ledger import Mark
from tests.manifests.making import VLLM_IMAGE, settings, vllm_release
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


def overtaken(api: MemoryApi, verb: str, kind: str, fence: int = 2) -> None:
    """Somebody newer comes just before the first such write."""
    newer = Anchor(api, SPACE, "assist", "production")

    def come(*what: str) -> None:
        if what[:2] == (verb, kind):
            api.before = lambda *_: None
            newer.take(fence)

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


def test_s09_once_somebody_newer_is_there_nothing_is_written_or_deleted() -> None:
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


WHAT_SERVES = sorted(
    {(kind, "assist-blue") for kind in OF_A_SLOT}
    | {(kind, "model-") for kind in OF_A_SERVER}
    | {("ConfigMap", "prompt-")}
)
KEDA = {"prometheus": "http://p:9090"}


def serving(api: MemoryApi, kind: str) -> Slots:
    """With the autoscaler of ``kind``, if it is one."""
    scaling = KEDA if kind == "ScaledObject" else {}
    server = {"image": VLLM_IMAGE, "gpu": {"count": 1}}
    given = settings(namespace=SPACE, scaling=scaling, server=server)
    there = Ground("assist", "production", given, 30, api)
    return Slots(there, DirectWriter(api, there.anchor), Patience())


@pytest.mark.parametrize(("kind", "prefix"), WHAT_SERVES)
def test_s09_a_delete_under_way_takes_nothing_of_what_somebody_newer_has_made_again(
    kind: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot is retired, and its run hangs in one delete; a return makes that slot again, with all
    traffic. What it wrote there is as it was: the delete must not land all the same.
    """
    monkeypatch.setattr(Slots, "_await_ready", lambda *_: None)
    api, made = MemoryApi(), set[tuple[str, str, str]]()
    slots = serving(api, kind)
    slots.start(slots.ground.live(), Slot("blue", vllm_release()), None, 1)

    def come(verb: str, what: str, name: str) -> None:
        if (verb, what) == ("delete", kind) and name.startswith(prefix) and not made:
            made.add(("Lease", SPACE, "assist-greenlight"))
            slots.ground.anchor.take(2)
            slots.start(slots.ground.live(), Slot("blue", vllm_release()), None, 2)
            made.update(api.objects)

    api.before = come
    with pytest.raises(StaleFenceError):
        slots.stop(slots.ground.live(), "blue", 30, 1)

    assert made == {*api.objects}
    assert any(one[0] == kind and one[2].startswith(prefix) for one in made)


def test_s09_a_service_that_somebody_newer_goes_on_with_is_not_taken_away() -> None:
    """They had no reason to write it: the slot was whole when they came."""
    api = MemoryApi()
    there = ground(api)
    there.anchor.take(1)
    start(there)
    overtaken(api, "delete", "Service")

    with pytest.raises(StaleFenceError):
        DirectWriter(api, there.anchor).take_away([("Service", "assist-blue")], 1, "")

    assert api.get("Service", "assist-blue", SPACE)


@pytest.mark.parametrize("kind", ["Service", "Lease"])
def test_s09_a_destroy_under_way_takes_nothing_away_once_somebody_newer_is_there(
    kind: str,
) -> None:
    """Not even the Lease, by which an older one would be stopped."""
    api = MemoryApi()
    there = ground(api)
    there.anchor.take(1)
    start(there)
    overtaken(api, "delete", kind, 3)

    with pytest.raises(StaleFenceError):
        Shell(there, DirectWriter(api, there.anchor)).take_away(2)

    assert api.list(kind, SPACE)


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "Service", "ServiceAccount"])
@pytest.mark.parametrize("verb", ["apply", "create"])
def test_s09_an_apply_under_way_writes_over_nothing_of_somebody_newer(verb: str, kind: str) -> None:
    """Nor where there was nothing yet, for either to mark."""
    api = MemoryApi()
    there = ground(api)
    there.anchor.take(1)
    writer = DirectWriter(api, there.anchor)

    def put(fence: int) -> None:
        meta = {"name": "one", "namespace": SPACE}
        what = {"kind": kind, "metadata": meta, "spec": {"by": fence}}
        writer.put([Rendered(kind, "one", json.dumps(what))], fence, "")

    def come(*what: str) -> None:
        if what == (verb, kind, "one"):
            api.before = lambda *_: None
            there.anchor.take(2)
            put(2)

    if verb == "apply":
        put(1)
    api.before = come
    with pytest.raises(StaleFenceError):
        put(1)

    assert api.objects[kind, SPACE, "one"]["spec"] == {"by": 2}


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "Secret"])
def test_s09_whoever_waits_for_the_api_server_asks_the_fence_before_another_try(
    kind: str,
) -> None:
    """It may be away for a minute, and somebody newer the first whom it answers."""

    class Back(MemoryApi):
        """Away when it is asked to delete; then it asks whether that is still wanted."""

        def delete(
            self, kind: str, name: str, namespace: str = "", *,
            still: Callable[[], object] = lambda: None, **how: Any,
        ) -> None:  # fmt: skip
            there.anchor.take(2)
            still()
            super().delete(kind, name, namespace, **how)

    api = Back({"kind": kind, "metadata": {"name": "one", "namespace": SPACE}})
    there = ground(api)
    there.anchor.take(1)

    with pytest.raises(StaleFenceError):
        there.anchor.delete(kind, "one", 1)

    assert (kind, SPACE, "one") in api.objects


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
