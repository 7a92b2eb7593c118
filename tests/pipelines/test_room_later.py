"""What a rollout may come to need later is told, and holds nothing up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cache import ModelCache
from pipelines.targets.kubernetes.opening import open_kubernetes
from release.state import StateFolder
from tests.cluster.nodes import cpu_node
from tests.manifests.making import IMAGE, release, rendering, settings, spec
from tests.pipelines.rooms import CPU, deployment, quota, ready, room, there


def test_S04_that_autoscalers_have_no_room_to_grow_is_told_and_holds_nothing_up() -> None:
    """By the number, for this slot and for the one beside it; the watcher's pods count first."""
    given = rendering(CPU, release("Be kind."), given=settings(scaling={"min": 2, "max": 20}))
    server = given.slots[0].server_name
    deployments = [deployment(server, 1), deployment("assist-blue", 3)]
    scaler = there(
        kind="HorizontalPodAutoscaler",
        name="assist-blue",
        spec={"maxReplicas": 20, "scaleTargetRef": {"kind": "Deployment", "name": "assist-blue"}},
    )
    beside = {"blue": server}

    found = room(given, beside, Deployment=deployments, HorizontalPodAutoscaler=[scaler],
                 Node=[ready(cpu_node("np-1"))])  # fmt: skip

    assert found.verdict == "enough"
    assert found.later == (
        "6 of 17 pods of assist-blue beyond its 3 have no room: 1.5 cpu (0.15 of 8 are free in "
        "pool np)",
    )
    assert str(found).endswith(f"; it starts, but later {found.later[0]}")


def test_what_autoscalers_may_grow_to_is_in_no_quota_either() -> None:
    """Eight pods more, of which five are allowed."""
    found = room(rendering(CPU), ResourceQuota=[quota({"pods": "8"}, {})])

    assert (found.verdict, found.later) == (
        "enough", ("3 pods (ResourceQuota team: 8 of 8 are left)",)
    )  # fmt: skip


def test_nothing_is_said_of_later_where_all_of_it_has_room() -> None:
    """As with any cluster that is large enough, or may grow so large."""
    found = room(rendering(CPU))

    assert (found.verdict, found.later, found.notes) == ("enough", (), ())
    assert "later" not in str(found)


def test_a_watcher_without_room_is_told() -> None:
    """Its pods and objects come after the slot's, where there is one."""
    given = rendering(CPU, release("Be kind."))
    server = given.slots[0].server_name
    full = quota({"count/deployments.apps": "3"}, {"count/deployments.apps": "2"})
    running = [deployment(server, 1), deployment("assist-blue")]
    watcher = deployment("assist-watcher")

    found = room(given, {"blue": server}, ResourceQuota=[full], Deployment=running)

    assert found.verdict == "enough"
    assert found.later == ("1 count/deployments.apps (ResourceQuota team: 1 of 3 are left)",)
    watched = room(given, {"blue": server}, ResourceQuota=[full], Deployment=[*running, watcher])
    assert watched.later == ()
    at_once = room(
        given, {"blue": server}, stepwise=False, ResourceQuota=[full], Deployment=running
    )
    assert at_once.later == ()


@pytest.mark.parametrize(
    ("environments", "opened", "stepwise"),
    [
        (("staging", "production"), "staging", False),
        (("staging", "production"), "production", True),
        (("production",), "production", True),
    ],
)
def test_no_watcher_is_counted_where_there_are_no_users_to_move(
    tmp_path: Path, environments: tuple[str, ...], opened: str, stepwise: bool
) -> None:
    """The first of several switches at once, so none is made there."""
    named = {
        name: {"target": "kubernetes", "kubernetes": {"image": IMAGE}} for name in environments
    }
    target = open_kubernetes(
        spec(environments=named), opened, StateFolder(tmp_path), ModelCache(tmp_path, 1)
    )

    assert target.stepwise == stepwise
