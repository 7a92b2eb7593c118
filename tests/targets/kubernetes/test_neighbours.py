"""Who shares a namespace or a name with others takes nothing from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from manifests.render import render_shell
from pipelines.targets.kubernetes.facts import ENVIRONMENT, UNTOLD
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from release.state import StateFolder
from tests.manifests.making import settings
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.sharing import (
    MANAGED_BY,
    SPACE,
    ground,
    made,
    start,
    unnamed,
)


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


def test_what_another_environment_has_there_is_not_told_as_ones_own() -> None:
    """As by ``status``, before anybody finds that the namespace is taken. What says nothing of its
    environment is ours, as of an earlier build.
    """
    api = MemoryApi()
    theirs, mine = ground(api), ground(api, environment="staging")
    made(Shell(theirs, DirectWriter(api, theirs.anchor)), api)
    start(theirs)
    theirs.anchor.mark("Lease", theirs.anchor.name, {UNTOLD: "Git is away"}, 1)

    target = KubernetesTarget(mine, StateFolder(Path()), lambda _: None, lambda _: None)  # type: ignore[arg-type,return-value]
    found = target.facts()
    assert (found.provisioned, dict(found.slots), found.notice) == (False, {}, "")
    assert not mine.maps()

    del api.objects["Deployment", SPACE, "assist-blue"]["metadata"]["labels"][ENVIRONMENT]
    assert {*target.facts().slots} == {"blue"}


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


def test_a_namespace_of_somebody_elses_is_not_closed() -> None:
    """Neither one that has a name, nor one that has our labels and was made by a controller."""
    api = MemoryApi()
    there = unnamed(api, "assist", "production")
    (labelled,) = (one for one in render_shell(there.rendering()) if one.kind == "Namespace")
    api.create(labelled.object)

    assert closed(api, ground(api)) == closed(api, there) == []


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
