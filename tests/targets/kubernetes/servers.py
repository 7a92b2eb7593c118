"""Slots and their model servers, on an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.model import Slot
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


def slots(there: Ground) -> Slots:
    return Slots(there, DirectWriter(there.api, there.anchor), Patience())


def start(there: Ground, slot: str, one: Release, scale: int | None = None, fence: int = 1) -> None:
    """``one`` in ``slot``; nobody waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slots, "_await_ready", lambda *_: None)
        slots(there).start(there.live(), Slot(slot, one, None, ()), scale, fence)


def server(there: Ground, one: Release) -> dict[str, Any]:
    """The Deployment of the model server that ``one`` asks."""
    return there.live().servers[Slot("", one).server_name]  # type: ignore[return-value]


def replicas(there: Ground, one: Release) -> int:
    return int(server(there, one)["spec"]["replicas"])


def answers(there: Ground, name: str, available: int) -> None:
    """So many pods of a Deployment do, of its last template."""
    one = there.api.objects["Deployment", there.namespace, name]  # type: ignore[attr-defined]
    wanted = one["spec"].get("replicas", 2)
    seen = one["metadata"].get("generation", 1)
    one["status"] = {"observedGeneration": seen, "replicas": wanted, "updatedReplicas": wanted,
                     "availableReplicas": available}  # fmt: skip
