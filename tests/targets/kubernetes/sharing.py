"""Environments that share a namespace, on an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.model import Slot
from manifests.render import render_slot
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.standing import MADE
from pipelines.targets.kubernetes.writer import DirectWriter
from tests.manifests.making import release, settings
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


def unnamed(api: MemoryApi, application: str, environment: str) -> Ground:
    """An environment in a namespace that is called after both."""
    return Ground(application, environment, settings(), 30, api)


def made(shell: Shell, api: MemoryApi) -> None:
    """Made, by a gateway that follows at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ground, "await_accepted", lambda _: None)
        shell.make(1)
