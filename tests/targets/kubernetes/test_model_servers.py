"""A slot's model server: all of its pods are awaited, and what another slot asks too is kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from manifests.model import Slot, own
from pipelines.facts import SlotFacts
from pipelines.targets.base import DeployFailedError
from pipelines.targets.kubernetes import slots
from pipelines.targets.kubernetes.facts import target_facts
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from release.bundle import Release
from release.errors import WAITING, Waiting
from release.state import StateFolder
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.servers import (
    BLUE,
    GREEN,
    OTHER,
    answers,
    ground,
    replicas,
    server,
    start,
)
from tests.targets.kubernetes.servers import slots as slots_of


def share(there: Ground, slot: str) -> str:
    return str(there.live().slots[slot]["metadata"]["annotations"][own("share")])


def test_S04_a_smaller_release_leaves_the_model_server_of_the_slot_beside_it_whole() -> None:
    """Blue answers users with it; and nothing would ever give back what was taken from it."""
    there = ground(MemoryApi())
    start(there, "blue", BLUE)

    start(there, "green", GREEN, scale=1, fence=2)

    assert replicas(there, BLUE) == 4
    assert share(there, "green") == "50"  # one of the two pods of its own
    slots_of(there).stop(there.live(), "green", 30, 3)
    assert replicas(there, BLUE) == 4


def test_S04_a_smaller_release_has_fewer_pods_of_a_model_server_of_its_own() -> None:
    """Though one stands by of the same slot, from before."""
    there = ground(MemoryApi())
    start(there, "blue", BLUE)
    start(there, "green", OTHER, fence=2)

    start(there, "green", OTHER, scale=1, fence=3)

    assert (replicas(there, BLUE), replicas(there, OTHER)) == (4, 1)
    assert share(there, "green") == "25"


@pytest.fixture
def there() -> Ground:
    """Blue is live, on all four pods of its model server."""
    made = ground(MemoryApi())
    start(made, "blue", BLUE)
    answers(made, "assist-blue", 2)
    answers(made, Slot("", BLUE).server_name, 4)
    return made


def begun(there: Ground, one: Release, available: int) -> None:
    """``one`` in green, whose application answers, and so many pods of its model server."""
    start(there, "green", one, fence=2)
    answers(there, "assist-green", 2)
    answers(there, Slot("", one).server_name, available)


def pod(there: Ground, one: Release, **status: Any) -> None:
    """A pod of the model server of ``one`` that is no node's yet, or as told."""
    template = server(there, one)["spec"]["template"]["metadata"]
    full = {"type": "PodScheduled", "status": "False", "message": "4 Insufficient nvidia.com/gpu"}
    meta = {**template, "name": "model-1", "namespace": there.namespace}
    there.api.create({"kind": "Pod", "metadata": meta, "status": status or {"conditions": [full]}})


CRASHES = {"containerStatuses": [{"lastState": {"terminated": {"exitCode": 2, "message": "no"}}}]}


def deploy(there: Ground, folder: Path, one: Release, patience: float = 0.0, **more: Any) -> None:
    """``one`` in green, and nobody has any patience."""
    target = KubernetesTarget(
        there, StateFolder(folder), lambda _: None, lambda _: None,  # type: ignore[arg-type,return-value]
        patience=Patience(ready=patience),
    )  # fmt: skip
    target.deploy("green", one, 3, **more)


@pytest.mark.parametrize("one", [OTHER, GREEN], ids=["its own", "shared"])
def test_S02_a_slot_is_ready_when_every_pod_of_its_model_server_is(
    there: Ground, tmp_path: Path, one: Release
) -> None:
    """Each pod of the application is as soon as one of them answers: all requests would come to a
    quarter of the GPUs. The same command again waits again, and goes on once they are there.
    """
    begun(there, one, 1)
    pod(there, one)
    says = r"1 of 4 pods of model-\w+ answer: model-1 has no node: 4 Insufficient nvidia.com/gpu"

    for _ in range(2):
        with pytest.raises(Waiting, match=f"{says}.* What ends it: room for it") as told:
            deploy(there, tmp_path, one)

    assert told.value.exit_code == WAITING
    assert (found(there).state, found(there).whole) == ("ready", False)
    answers(there, Slot("", one).server_name, 4)
    deploy(there, tmp_path, one)
    assert found(there).whole


def found(there: Ground, slot: str = "green") -> SlotFacts:
    """What is known of a slot."""
    return target_facts(there.live(), "").slots[slot]


@pytest.mark.parametrize("before", [OTHER, GREEN], ids=["is there", "is started"])
def test_S05_a_return_waits_for_no_more_than_an_answer(
    there: Ground, tmp_path: Path, before: Release
) -> None:
    """With one that answers users are better off than with whatever they are brought back from."""
    begun(there, before, 1)
    api = there.api
    assert isinstance(api, MemoryApi)

    def follow(verb: str, kind: str, name: str) -> None:
        if (verb, kind, name) == ("patch", "Deployment", "assist-green"):
            answers(there, name, 2)

    api.before = follow

    deploy(there, tmp_path, OTHER, whole=False)


def test_a_model_server_that_was_written_otherwise_is_awaited_until_the_last_pod_is_new(
    there: Ground, tmp_path: Path
) -> None:
    """What answers meanwhile is of the template before."""
    begun(there, GREEN, 4)
    one = server(there, GREEN)
    one["spec"]["replicas"] = 3
    there.api.apply(one)

    with pytest.raises(Waiting, match=r"model-\w+ is being changed: .*\(blue asks it too\)"):
        deploy(there, tmp_path, GREEN)


def test_pods_that_come_one_by_one_are_waited_for_as_long_as_they_come(
    there: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a rolling update of a shared server: each may take as long as a release may."""
    begun(there, GREEN, 1)
    name, now = Slot("", GREEN).server_name, [0.0]

    def sleep(_: float) -> None:
        now[0] += 10
        answers(there, name, min(4, 1 + int(now[0]) // 30))

    monkeypatch.setattr(slots, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))

    deploy(there, tmp_path, GREEN, patience=35.0)

    assert now == [90.0]


@pytest.mark.parametrize(
    ("one", "error", "ends"),
    [
        (OTHER, DeployFailedError, r"answer: model-1 ended with exit code 2: no$"),
        (GREEN, Waiting, r"\(blue asks it too\)\. What ends it: that model server whole again"),
    ],
    ids=["its own", "shared"],
)
def test_S06_a_model_server_that_another_slot_asks_too_is_no_fault_of_the_release(
    there: Ground, tmp_path: Path, one: Release, error: type[Exception], ends: str
) -> None:
    """Its pods are not of this release alone: nobody is judged by them."""
    begun(there, one, 3)
    pod(there, one, **CRASHES)

    with pytest.raises(error, match=rf"3 of 4 pods of .*{ends}"):
        deploy(there, tmp_path, one)

    assert (found(there).state == "failed") == (error is DeployFailedError)


def test_a_model_server_that_is_scaled_to_nothing_is_nothing_to_wait_for(there: Ground) -> None:
    """By an autoscaler of somebody's own, which starts it when it is asked."""
    begun(there, OTHER, 0)
    one = there.api.objects["Deployment", there.namespace, Slot("", OTHER).server_name]  # type: ignore[attr-defined]
    one["spec"]["replicas"] = one["status"]["replicas"] = one["status"]["updatedReplicas"] = 0

    assert found(there).whole
