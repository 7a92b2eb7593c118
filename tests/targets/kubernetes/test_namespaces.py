"""Whose a namespace is: who enters it, and when it goes."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from manifests.render import render_shell
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import ENVIRONMENT, notes
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.standing import MADE
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import BadInput, GreenlightError
from tests.cluster.client import Cluster
from tests.manifests.making import settings
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.sharing import (
    MANAGED_BY,
    SHARED,
    SPACE,
    ground,
    made,
    namespace,
    start,
    unnamed,
)


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


@pytest.mark.parametrize(("owner", "goes"), [("Pod", True), ("StatefulSet", False), (None, False)])
def test_a_claim_is_whose_the_pod_is_that_it_comes_and_goes_with(
    owner: str | None, goes: bool
) -> None:
    """As where ``server.cache`` is set: the cluster makes it of the pod's volume, without a label.
    Any other is somebody's data.
    """
    owners = {"ownerReferences": [{"kind": owner, "name": "model-1"}]} if owner else {}
    meta = {"name": "model-1-cache", "namespace": SPACE, **owners}
    api = MemoryApi(namespace(), {"kind": "PersistentVolumeClaim", "metadata": meta})
    mine = ground(api)
    api.create({"kind": "Pod", "metadata": {"name": "model-1", "namespace": SPACE,
                                            "labels": mine.ours}})  # fmt: skip
    mine.anchor.take(1)

    shell = Shell(mine, DirectWriter(api, mine.anchor))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shell, "_await_gone", lambda *_: None)
        stays = shell.take_away(2)

    assert bool(stays) is not goes
    assert (("Namespace", "", SPACE) in api.objects) is not goes


@pytest.mark.parametrize("build", ["this", "an earlier one"])
def test_where_another_environment_has_the_namespace_there_is_nothing_to_take_away(
    build: str,
) -> None:
    """It is said whose it is, and the end is reached: else ``destroy`` could never be done."""
    api = MemoryApi(namespace())
    theirs, mine = ground(api), ground(api, environment="staging")
    made(Shell(theirs, DirectWriter(api, theirs.anchor)), api)
    start(theirs)
    if build != "this":
        lease = api.objects["Lease", SPACE, "assist-greenlight"]
        del lease["metadata"]["labels"][ENVIRONMENT]
    before = copy.deepcopy(api.objects)

    (line,) = Shell(mine, DirectWriter(api, mine.anchor)).take_away(7)

    assert api.objects == before
    assert line == (
        "nothing of it is in the namespace shop: "
        "Lease assist-greenlight in shop belongs to assist in production"
    )


def test_a_claim_is_never_taken_away_whatever_its_labels() -> None:
    """Nothing that is rendered is one, so that its data is somebody's."""
    api = MemoryApi()
    mine = ground(api)
    meta = {"name": "weights", "namespace": SPACE, "labels": mine.ours}
    api.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta})
    mine.anchor.take(1)

    Shell(mine, DirectWriter(api, mine.anchor)).take_away(2)

    assert ("PersistentVolumeClaim", SPACE, "weights") in api.objects


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
        ("ServiceAccount", {}, False),
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


@pytest.mark.parametrize(("kind", "goes"), [(AZURES, True), ("PrometheusRule", False)])
def test_a_patch_that_is_refused_since_it_runs_does_not_stop_the_end(kind: str, goes: bool) -> None:
    """It would stop what is rendered anew; what is used is known without it."""
    api = Unlisted(kind)
    mine = ground(api)
    made(Shell(mine, DirectWriter(api, mine.anchor)), api)
    api.objects = {key: one for key, one in api.objects.items() if key[1]}
    patch = {"kind": "PodMonitor", "name": "*", "patch": {"apiVersion": "example.com/v1"}}
    later = replace(mine, settings=settings(namespace=SPACE, patches=[patch]))
    shell = Shell(later, DirectWriter(api, later.anchor))

    with pytest.raises(BadInput, match="API group"):
        render_shell(later.rendering())
    with nullcontext() if goes else pytest.raises(DeniedError, match=kind):
        shell.take_away(2)


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


def test_what_runs_in_a_namespace_that_is_not_entered_any_more_is_moved_and_removed() -> None:
    """An earlier version entered it. To make it ready once more is refused, and nothing else."""
    space = {"kind": "Namespace", "metadata": {"name": "assist-production"}}
    api = MemoryApi(space)
    mine = unnamed(api, "assist", "production")
    shell, routing = Shell(mine, DirectWriter(api, mine.anchor)), Routing(("blue",), {"blue": 100})
    mine.anchor.take(1)
    start(mine)

    with pytest.raises(GreenlightError, match="was not made by Greenlight"):
        shell.make(2)
    start(mine, "green", 2)
    mine.write(routing, 2)

    assert ({*mine.live().slots}, mine.routing()) == ({"blue", "green"}, routing)
    shell.take_away(3)
    assert {*api.objects} == {("Namespace", "", "assist-production")}


def test_a_namespace_that_both_name_is_shared() -> None:
    """They mean it: whose labels it has is who came first."""
    api = MemoryApi()
    for there in (ground(api, "a-b", "c"), ground(api, "a", "b-c")):
        made(Shell(there, DirectWriter(api, there.anchor)), api)

    accounts = {one["metadata"]["name"] for one in api.list("ServiceAccount", SPACE)}
    assert accounts == {"a-b", "a"}


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
