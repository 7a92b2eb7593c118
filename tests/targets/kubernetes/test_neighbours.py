"""Who shares a namespace, a name or a moment with others takes nothing from them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from manifests.model import Slot
from manifests.render import render_shell, render_slot
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import FENCE
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import MADE, Shell
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from tests.cluster.client import Cluster
from tests.manifests.making import release, settings
from tests.targets.kubernetes.memory import MemoryApi

SPACE = "shop"
SHARED = settings(namespace=SPACE)


def ground(api: MemoryApi, application: str = "assist", environment: str = "production") -> Ground:
    """An environment in the namespace that everybody is in."""
    return Ground(application, environment, SHARED, 30, api)


def start(there: Ground, slot: str = "blue", fence: int = 1) -> None:
    """A release in ``slot``, which nobody waits for."""
    what = there.rendering(Slot(slot, bundled(there.application)))
    DirectWriter(there.api, there.anchor).put(render_slot(what, slot), fence, "")


def bundled(application: str) -> Any:
    """The one release, of ``application``: all of them have the same model."""
    return release().model_copy(update={"application": application})


def namespace() -> dict[str, Any]:
    """Made by the first who came."""
    return {"kind": "Namespace", "metadata": {"name": SPACE, "annotations": {MADE: "true"}}}


@pytest.mark.parametrize(
    "other", [("helper", "production"), ("assist", "staging")], ids=["application", "environment"]
)
def test_a_model_server_of_somebody_else_is_not_taken_over(other: tuple[str, str]) -> None:
    """Both have the same name and the same field manager: the API server would see no conflict,
    and the Service would lead away from the pods that answer.
    """
    api = MemoryApi()
    start(ground(api, *other))
    before = {key: one for key, one in api.objects.items() if key[2].startswith("model-")}

    with pytest.raises(GreenlightError, match=f"belongs to {other[0]} in {other[1]}"):
        start(ground(api))

    assert before.items() <= api.objects.items()


def test_a_namespace_that_somebody_else_is_in_stays() -> None:
    """Whoever made it: theirs would go with it."""
    api = MemoryApi(namespace())
    mine, theirs = ground(api), ground(api, "helper")
    for one in (mine, theirs):
        one.anchor.take(1)
    shell = Shell(mine, DirectWriter(api, mine.anchor))
    DirectWriter(api, mine.anchor).put(render_shell(mine.rendering())[1:], 1, "")

    shell.take_away(2)

    left = {key[2] for key in api.objects}
    assert left - {"greenlight-serving"} == {SPACE, theirs.anchor.name}


def test_a_namespace_of_our_own_goes() -> None:
    """With what the team may have put into it."""
    api = MemoryApi(namespace())
    mine = ground(api)
    mine.anchor.take(1)

    Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert not api.objects


def test_no_key_of_a_watcher_stays_in_a_namespace_that_was_there_before() -> None:
    """Nor the Lease that it was chosen by."""
    api = MemoryApi()
    mine = ground(api)
    mine.anchor.take(1)
    for kind, name in (("Secret", "assist-watcher-keys"), ("Lease", "assist-watcher")):
        api.create({"kind": kind, "metadata": {"name": name, "namespace": SPACE}})

    Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert not api.objects


@pytest.mark.parametrize("later", ["operator", "azure", "none"])
def test_monitors_of_either_group_go_with_the_rest(later: str) -> None:
    """Also of the one that ``llm.yaml`` no longer names."""
    api = MemoryApi()
    for monitors in ("operator", "azure"):
        given = SHARED.model_copy(update={"monitors": monitors})
        there = replace(ground(api), settings=given)
        there.anchor.take(1)
        shell = [one for one in render_shell(there.rendering()) if "Monitor" in one.kind]
        DirectWriter(api, there.anchor).put(shell, 1, "")
    assert sum(kind.startswith("PodMonitor") for kind, *_ in api.objects) == 2

    mine = replace(ground(api), settings=SHARED.model_copy(update={"monitors": later}))
    Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert not api.objects


def unnamed(api: MemoryApi, application: str, environment: str) -> Ground:
    """An environment in a namespace that is called after both."""
    return Ground(application, environment, settings(), 30, api)


def test_a_namespace_that_has_somebody_elses_name_by_chance_is_not_entered() -> None:
    """Both come to a-b-c. Whoever comes second writes nothing there, not even a fence."""
    api = MemoryApi()
    for there in (unnamed(api, "a-b", "c"), unnamed(api, "a", "b-c")):
        shell = Shell(there, DirectWriter(api, there.anchor))
        assert there.namespace == "a-b-c"
        if there.application == "a-b":
            made(shell, api)
            before = {**api.objects}

    with pytest.raises(GreenlightError, match=r"a-b-c belongs to a-b in c.*kubernetes\.namespace"):
        shell.make(1)

    assert api.objects == before


def made(shell: Shell, api: MemoryApi) -> None:
    """Made, by a gateway that follows at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ground, "await_accepted", lambda _: None)
        shell.make(1)


def test_a_real_namespace_tells_whose_it_is(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the API server keeps of the first who came; they themselves come again."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr(Ground, "await_accepted", lambda _: None)
    mine = f"t{uuid.uuid4().hex[:8]}"
    first, second = (
        Ground(*names, settings(), 30, Api()) for names in ((f"{mine}-b", "c"), (mine, "b-c"))
    )
    try:
        for fence in (1, 2):
            Shell(first, DirectWriter(first.api, first.anchor)).make(fence)
        with pytest.raises(GreenlightError, match=f"belongs to {mine}-b in c"):
            Shell(second, DirectWriter(second.api, second.anchor)).make(1)

        assert second.anchor.lease() is None
        assert not first.api.list("NetworkPolicy", first.namespace, second.ours)
    finally:
        cluster.must("delete", "namespace", first.namespace, "--wait=false", "--ignore-not-found")


@pytest.mark.parametrize("labels", [{}, {"team": "shop"}, None])
def test_a_namespace_that_says_nothing_of_us_is_entered(labels: dict[str, str] | None) -> None:
    """The platform's team made it, for whom it names."""
    meta = {"name": "a-b-c", **({} if labels is None else {"labels": labels})}
    api = MemoryApi({"kind": "Namespace", "metadata": meta})
    there = unnamed(api, "a", "b-c")

    made(Shell(there, DirectWriter(api, there.anchor)), api)

    assert api.get("ServiceAccount", "a", "a-b-c")


def test_a_namespace_that_both_name_is_shared() -> None:
    """They mean it: whose labels it has is who came first."""
    api = MemoryApi()
    for there in (ground(api, "a-b", "c"), ground(api, "a", "b-c")):
        made(Shell(there, DirectWriter(api, there.anchor)), api)

    accounts = {one["metadata"]["name"] for one in api.list("ServiceAccount", SPACE)}
    assert accounts == {"a-b", "a"}


def test_policies_close_nothing_that_is_not_ours_in_a_namespace_that_has_a_name() -> None:
    """Others may have been in it first; one of our own is closed whole."""
    own = replace(ground(MemoryApi()), settings=settings())
    chosen = [
        one.object["spec"]["podSelector"]
        for there in (ground(MemoryApi()), own)
        for one in render_shell(there.rendering())
        if one.name == "assist-deny"
    ]

    assert chosen == [{"matchLabels": {"app.kubernetes.io/name": "assist"}}, {}]


@pytest.mark.parametrize("application", ["prompt", "prompt-bot", "assist"])
def test_only_prompts_are_tidied_away(application: str) -> None:
    """Also where the application's name makes others begin alike."""
    api = MemoryApi()
    there = ground(api, application)
    start(there)
    before = {*api.objects}
    labels = there.ours
    for name in (f"{application}-callers", f"{application}-dashboard", "prompt-0123456789ab"):
        meta = {"name": name, "namespace": SPACE, "labels": labels}
        api.create({"kind": "ConfigMap", "metadata": meta})

    Slots(there, DirectWriter(api, there.anchor), Patience()).tidy(there.live(), "blue", 1)

    gone = {("ConfigMap", SPACE, "prompt-0123456789ab")}
    assert before <= {*api.objects}
    assert not gone & {*api.objects}
    assert ("ConfigMap", SPACE, f"{application}-callers") in api.objects


def overtaken(api: MemoryApi, verb: str, kind: str) -> None:
    """Somebody newer comes just before the first such write."""
    newer = Anchor(api, SPACE, "assist")

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
