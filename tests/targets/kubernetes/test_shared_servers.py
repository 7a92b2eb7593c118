"""A model server that two slots ask is the incumbent's too: what comes beside it takes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.model import Slot, own
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.writer import DirectWriter
from release.bundle import Release
from release.kubernetes_section import Kubernetes
from tests.manifests.making import HF, gpu_settings, prompt, vllm_release
from tests.targets.kubernetes.memory import MemoryApi

BLUE = vllm_release(HF)
GREEN = BLUE.model_copy(update={"prompt": prompt("Be kind.")})
"""It asks the same model server."""
OTHER = vllm_release(HF, context=4096)
"""It asks another."""

FOUR = gpu_settings(replicas=4)


def ground(api: MemoryApi, given: Kubernetes = FOUR) -> Ground:
    return Ground("assist", "production", given, 30, api)


def slots(there: Ground, **patience: float) -> Slots:
    return Slots(there, DirectWriter(there.api, there.anchor), Patience(**patience))


def start(there: Ground, slot: str, one: Release, scale: int | None = None, fence: int = 1) -> None:
    """``one`` in ``slot``; nobody waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slots, "_await_ready", lambda *_: None)
        slots(there).start(there.live(), Slot(slot, one), scale, fence)


def server(there: Ground, one: Release) -> dict[str, Any]:
    """The Deployment of the model server that ``one`` asks."""
    return there.live().servers[Slot("", one).server_name]  # type: ignore[return-value]


def replicas(there: Ground, one: Release) -> int:
    return int(server(there, one)["spec"]["replicas"])


def share(there: Ground, slot: str) -> str:
    return str(there.live().slots[slot]["metadata"]["annotations"][own("share")])


def test_S04_a_smaller_release_leaves_the_model_server_of_the_slot_beside_it_whole() -> None:
    """Blue answers users with it; and nothing would ever give back what was taken from it."""
    there = ground(MemoryApi())
    start(there, "blue", BLUE)

    start(there, "green", GREEN, scale=1, fence=2)

    assert replicas(there, BLUE) == 4
    assert share(there, "green") == "50"  # one of the two pods of its own
    slots(there).stop(there.live(), "green", 30, 3)
    assert replicas(there, BLUE) == 4


def test_S04_a_smaller_release_has_fewer_pods_of_a_model_server_of_its_own() -> None:
    """Though one stands by of the same slot, from before."""
    there = ground(MemoryApi())
    start(there, "blue", BLUE)
    start(there, "green", OTHER, fence=2)

    start(there, "green", OTHER, scale=1, fence=3)

    assert (replicas(there, BLUE), replicas(there, OTHER)) == (4, 1)
    assert share(there, "green") == "25"
