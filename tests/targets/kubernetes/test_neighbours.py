"""Who shares a namespace, a name or a moment with others takes nothing from them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from manifests.gitops import render_controller
from manifests.model import Slot
from manifests.render import Rendered, render, render_shell, render_slot
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.callers import let_in
from pipelines.targets.kubernetes.facts import ENVIRONMENT, FENCE, notes
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.standing import MADE
from pipelines.targets.kubernetes.watching import watcher_objects, watcher_secret
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from release.keys import pipeline_key
from release.ledger import Mark
from release.state import StateFolder
from tests.cluster.client import Cluster
from tests.manifests.making import release, settings, spec
from tests.serving.testers import DIGESTS
from tests.targets.kubernetes.memory import MemoryApi

SPACE = "shop"
MANAGED_BY = "app.kubernetes.io/managed-by"
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


NAMED_ALIKE = {"app.kubernetes.io/name": "assist"}


@pytest.mark.parametrize("labels", [{}, NAMED_ALIKE, {**NAMED_ALIKE, MANAGED_BY: "Helm"}])
@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "CronJob", "Job", "Pod", "PersistentVolumeClaim"]
)
def test_a_namespace_with_somebody_elses_work_or_data_stays(
    kind: str, labels: dict[str, str]
) -> None:
    """Also where nothing of it runs just now, and where a chart has our name as its label."""
    meta = {"name": "theirs", "namespace": SPACE, "labels": labels}
    api = MemoryApi(namespace(), {"kind": kind, "metadata": meta})
    mine = ground(api)
    mine.anchor.take(1)

    assert Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert {*api.objects} == {("Namespace", "", SPACE), (kind, SPACE, "theirs")}


def test_a_namespace_stays_where_it_may_not_be_seen_who_is_in_it() -> None:
    """As with an account that an earlier docs/rights.yaml gave its rights. What is ours goes."""

    api = Unlisted("CronJob", namespace())
    mine = ground(api)
    mine.anchor.take(1)

    (line,) = Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert {*api.objects} == {("Namespace", "", SPACE)}
    assert line == "the namespace shop stays: others are in it, or may be"


class Unlisted(MemoryApi):
    """Of one kind nobody may say what there is."""

    def __init__(self, kind: str, *objects: Mapping[str, Any]) -> None:
        super().__init__(*objects)
        self.kind = kind

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """DeniedError for that kind."""
        if kind == self.kind:
            raise DeniedError(f"list {kind}s: forbidden")
        return super().list(kind, namespace, labels)


AZURES = "PodMonitor.azmonitoring.coreos.com"


@pytest.mark.parametrize(
    ("kind", "given", "goes"),
    [
        (AZURES, {}, True),
        (AZURES, {"monitors": "none"}, True),
        (AZURES, {"monitors": "azure"}, False),
        ("PrometheusRule", {"monitors": "azure"}, True),
        ("PrometheusRule", {}, False),
        ("ScaledObject", {}, True),
        ("ScaledObject", {"scaling": {"prometheus": "http://p:9090"}}, False),
        ("SecretProviderClass", {}, True),
        ("Service", {}, False),
    ],
)
def test_a_kind_that_may_not_be_seen_stops_the_end_where_the_settings_use_it(
    kind: str, given: dict[str, Any], goes: bool
) -> None:
    """And then before anything is gone. Else an account that has no rights to a kind which it never
    had a use for would never come to the end; it is told what could not be seen.
    """
    api = Unlisted(kind)
    mine = replace(ground(api), settings=settings(namespace=SPACE, **given))
    made(shell := Shell(mine, DirectWriter(api, mine.anchor)), api)
    api.objects = {key: one for key, one in api.objects.items() if key[1]}
    before = {*api.objects}

    if goes:
        (line,) = shell.take_away(2)
        assert not api.objects
        assert f"list {kind}s: forbidden" in line
    else:
        with pytest.raises(DeniedError, match=kind):
            shell.take_away(2)
        assert {*api.objects} == before


def test_a_namespace_of_our_own_goes() -> None:
    """With what the team may have put into it that is neither work nor data."""
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
def test_a_namespace_that_says_nothing_of_us_is_entered_by_its_name_alone(
    labels: dict[str, str] | None,
) -> None:
    """Somebody may run something else in it: to be called as we are is no invitation."""
    meta = {"name": "a-b-c", **({} if labels is None else {"labels": labels})}
    api = MemoryApi({"kind": "Namespace", "metadata": meta})
    there, before = unnamed(api, "a", "b-c"), {**api.objects}

    with pytest.raises(GreenlightError, match=r"not made by Greenlight.*namespace: a-b-c"):
        Shell(there, DirectWriter(api, there.anchor)).make(1)
    assert api.objects == before

    named = Ground("a", "b-c", settings(namespace="a-b-c"), 30, api)
    made(Shell(named, DirectWriter(api, named.anchor)), api)
    assert api.get("ServiceAccount", "a", "a-b-c")
    assert api.get("Namespace", "a-b-c") == before["Namespace", "", "a-b-c"]


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


def test_a_namespace_that_may_not_be_looked_at_is_entered_by_its_name_alone() -> None:
    """Whose it is cannot be known, and a name that is made up says nothing."""

    class Closed(MemoryApi):
        def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
            if kind == "Namespace":
                raise DeniedError("no")
            return super().get(kind, name, namespace)

    api = Closed()
    there = unnamed(api, "a", "b-c")
    with pytest.raises(GreenlightError, match=r"may not be looked at.*namespace: a-b-c"):
        Shell(there, DirectWriter(api, there.anchor)).make(1)
    assert not api.objects

    named = ground(api)
    made(Shell(named, DirectWriter(api, named.anchor)), api)
    assert api.get("ServiceAccount", "assist", SPACE)


def test_a_namespace_that_both_name_is_shared() -> None:
    """They mean it: whose labels it has is who came first."""
    api = MemoryApi()
    for there in (ground(api, "a-b", "c"), ground(api, "a", "b-c")):
        made(Shell(there, DirectWriter(api, there.anchor)), api)

    accounts = {one["metadata"]["name"] for one in api.list("ServiceAccount", SPACE)}
    assert accounts == {"a-b", "a"}


@pytest.mark.parametrize("given", [{}, {"namespace": SPACE}])
def test_what_is_rendered_closes_nothing_that_is_not_ours(given: dict[str, str]) -> None:
    """No file knows who was in the namespace first."""
    there = replace(ground(MemoryApi()), settings=settings(**given))
    (chosen,) = (
        one.object["spec"]["podSelector"]
        for one in render_shell(there.rendering())
        if one.name == "assist-deny"
    )

    ours = {"app.kubernetes.io/name": "assist", MANAGED_BY: "greenlight"}
    assert chosen == {"matchLabels": ours}


CHART = {"app.kubernetes.io/name": "assist", MANAGED_BY: "Helm"}


def test_what_a_chart_has_made_under_the_same_name_is_not_touched() -> None:
    """Not even by a fence: its controller, and whoever compares, would look at it anew."""
    meta = {"name": "assist-web", "namespace": SPACE, "labels": CHART}
    api = MemoryApi({"kind": "Deployment", "metadata": meta})
    before, mine = {**api.objects}, ground(api)

    made(Shell(mine, DirectWriter(api, mine.anchor)), api)
    mine.anchor.take(2)

    assert before.items() <= api.objects.items()


def closed(api: MemoryApi, there: Ground) -> list[str]:
    """The policies of ``there``, once it is made, that close every pod of the namespace."""
    made(Shell(there, DirectWriter(api, there.anchor)), api)
    policies = api.list("NetworkPolicy", there.namespace)
    return [one["metadata"]["name"] for one in policies if one["spec"]["podSelector"] == {}]


@pytest.mark.parametrize("git", [None, "argocd", "flux"])
def test_a_namespace_that_we_made_is_closed_whole(git: str | None) -> None:
    """By Git as well, since no folder can say so: made at once, and gone with the rest."""
    followed = {"git": {"repository": "https://git.example.com/o/r", "controller": git}}
    api = MemoryApi()
    there = Ground("assist", "production", settings(**(followed if git else {})), 30, api)

    assert closed(api, there) == ["assist-deny-all"]
    assert closed(api, there) == ["assist-deny-all"]

    Shell(there, DirectWriter(api, there.anchor)).take_away(1)
    assert {kind for kind, _, _ in api.objects} <= {"PriorityClass"}


@dataclass(frozen=True)
class Folder(DirectWriter):
    """A folder whose controller is quick. ``kinds``: what was put into it."""

    kinds: set[str] = field(default_factory=set)

    def put(self, objects: Sequence[Rendered], fence: int, why: str) -> None:
        """In the cluster when this returns."""
        self.kinds.update(one.kind for one in objects)
        super().put(objects, fence, why)


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_what_pods_come_before_others_by_is_made_once_and_by_nobodys_folder(
    controller: str,
) -> None:
    """Each environment of a cluster needs it: two folders with it would fight. It outlives all of
    them, and whoever has made it otherwise meant to.
    """
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    api = MemoryApi()
    for environment in ("staging", "production"):
        there = Ground("assist", environment, settings(git=git), 30, api)
        folder = Folder(api, there.anchor)
        shell = Shell(there, folder)
        made(shell, api)
        if environment == "staging":
            theirs = {**api.objects["PriorityClass", "", "greenlight-serving"], "value": 7}
            api.apply(theirs)

        assert "ServiceAccount" in folder.kinds
        assert not folder.kinds & {"Namespace", "PriorityClass"}
    shell.take_away(2)
    assert api.objects["PriorityClass", "", "greenlight-serving"]["value"] == 7


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_a_real_cluster_takes_that_class_once_and_orders_pods_by_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    """Its value cannot be changed, so a second environment must not try. By a name of this test's,
    since the others share the cluster.
    """
    mine = f"t{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr(Ground, "await_accepted", lambda _: None)
    monkeypatch.setattr("manifests.render.PRIORITY_CLASS", mine)
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    first, second = (Ground(mine, name, settings(git=git), 30, Api()) for name in ("one", "two"))
    try:
        Shell(first, Folder(first.api, first.anchor)).make(1)
        made = cluster.read("priorityclass", mine)
        theirs = {key: made[key] for key in ("apiVersion", "kind")} | {"value": made["value"] - 1}
        cluster.must("delete", "priorityclass", mine)
        first.api.create({**theirs, "metadata": {"name": mine}})
        Shell(second, folder := Folder(second.api, second.anchor)).make(1)

        assert "PriorityClass" not in folder.kinds
        assert cluster.read("priorityclass", mine)["value"] == theirs["value"]
        assert priority(cluster, second) == theirs["value"]
    finally:
        cluster.must("delete", "priorityclass", mine, "--ignore-not-found")
        for one in (first, second):
            cluster.must("delete", "namespace", one.namespace, "--wait=false", "--ignore-not-found")


def priority(cluster: Cluster, there: Ground) -> int:
    """What the API server would give a pod of a slot, which it only has the name of."""
    r = there.rendering(Slot("blue", bundled(there.application)))
    (template,) = (
        one.object["spec"]["template"]
        for one in render_slot(r, "blue")
        if (one.kind, one.name) == ("Deployment", r.of_slot("blue"))
    )
    meta = {**template["metadata"], "name": "tried", "namespace": r.namespace}
    pod = {**template, "apiVersion": "v1", "kind": "Pod", "metadata": meta}
    how = ("--dry-run=server", "--output=json", "--filename=-")
    return int(json.loads(cluster.must("create", *how, given=json.dumps(pod)))["spec"]["priority"])


def test_a_namespace_of_somebody_elses_is_not_closed() -> None:
    """Neither one that has a name, nor one that has our labels and was made by a controller."""
    api = MemoryApi()
    there = unnamed(api, "assist", "production")
    (labelled,) = (one for one in render_shell(there.rendering()) if one.kind == "Namespace")
    api.create(labelled.object)

    assert closed(api, ground(api)) == closed(api, there) == []


INSTANCE = "app.kubernetes.io/instance"


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_nothing_that_is_in_no_folder_carries_the_mark_of_who_prunes(
    controller: str, tmp_path: Path
) -> None:
    """Argo CD, where it tracks by labels, takes away what has its mark and is in no file."""
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    there = Ground("assist", "production", settings(git=git), 30, api := MemoryApi())
    r, state = there.rendering(Slot("blue", release())), StateFolder(tmp_path)
    pipeline_key(state.keys)
    made(Shell(there, DirectWriter(api, there.anchor)), api)
    let_in(api, r, DIGESTS)
    api.create(watcher_secret(r, state))
    DirectWriter(api, there.anchor).put(watcher_objects(r, spec(there.settings)), 1, "")
    followed = {(one.kind, one.name) for one in render(r)}

    apart = [one for (kind, _, name), one in api.objects.items() if (kind, name) not in followed]
    assert {one["kind"] for one in apart} >= {"Namespace", "Lease", "ConfigMap", "Secret", "Role"}
    assert not [one for one in apart if INSTANCE in json.dumps(one)]
    assert not [one for one in render_controller(r) if INSTANCE in one.text]
    account = api.get("ServiceAccount", "assist", r.namespace)
    assert account
    assert account["metadata"]["labels"][INSTANCE] == "assist.production"


@pytest.mark.parametrize("named", [{}, {"namespace": "assist-production"}])
def test_the_mark_of_who_prunes_is_taken_off_what_an_earlier_build_made(
    named: dict[str, str],
) -> None:
    """Both are there and never written again, so nothing else would. The rest of them stays."""
    there = Ground("assist", "production", settings(**named), 30, api := MemoryApi())
    r, shell = there.rendering(), Shell(there, DirectWriter(api, there.anchor))
    made(shell, api)
    let_in(api, r, DIGESTS)
    both = [("Namespace", "", r.namespace), ("ConfigMap", r.namespace, r.callers_name)]
    before = [api.objects[key]["metadata"]["labels"] for key in both]
    for key in both:
        api.patch(*_named(key), {"metadata": {"labels": {INSTANCE: "assist-production"}}})

    made(shell, api)
    let_in(api, r, DIGESTS)

    assert [api.objects[key]["metadata"]["labels"] for key in both] == before


def _named(key: tuple[str, str, str]) -> tuple[str, str, str]:
    kind, where, name = key
    return kind, name, where


def test_a_namespace_of_the_platforms_keeps_its_mark() -> None:
    """It is in a folder of theirs, and called so on purpose."""
    meta = {"name": SPACE, "labels": {INSTANCE: "platform", "app.kubernetes.io/name": "assist"}}
    api = MemoryApi({"kind": "Namespace", "metadata": meta})
    mine = ground(api)

    made(Shell(mine, DirectWriter(api, mine.anchor)), api)

    assert api.objects["Namespace", "", SPACE]["metadata"]["labels"] == meta["labels"]


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


def test_two_who_make_one_namespace_at_the_same_moment_both_go_on() -> None:
    """It has a name in ``llm.yaml``, and the other was quicker by a hair."""
    api = MemoryApi()
    theirs = {"kind": "Namespace", "metadata": {"name": SPACE}}

    def quicker(verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("create", "Namespace") and not api.get(kind, name):
            api._put(theirs)

    api.before = quicker
    mine = ground(api)
    made(Shell(mine, DirectWriter(api, mine.anchor)), api)

    assert mine.anchor.lease()
    assert MADE not in notes(api.get("Namespace", SPACE) or {})


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
