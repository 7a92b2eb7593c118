"""Objects of a namespace, and the room that a slot has beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from manifests.model import Rendering
from manifests.render import merge
from pipelines.capacity import Room
from pipelines.targets.kubernetes.facts import COMPONENT, SERVER, SLOT, Live
from pipelines.targets.kubernetes.room import room_of
from release.bundle import Release
from tests.cluster.nodes import GPU, cpu_node, gpu_node
from tests.manifests.making import HF, gpu_settings, release, rendering, vllm_release

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

YAML = """time: 2026-03-01 11:59:58.1 +0000 UTC
autoscalerStatus: Running
clusterWide: {health: {status: Healthy}}
nodeGroups:
- name: aks-a100-12345678-vmss
  health: {status: Healthy, nodeCounts: {registered: {total: 1, ready: 1}}, cloudProviderTarget: 1, minSize: 0, maxSize: 4}
  scaleUp: {status: NoActivity}
- name: aks-h100-12345678-vmss
  health: {status: Healthy, cloudProviderTarget: 0, minSize: 0, maxSize: 2}
  scaleUp: {status: Backoff, backoffInfo: {errorCode: QUOTA_EXCEEDED, errorMessage: none left}}
"""  # noqa: E501
"""The status of an autoscaler: one pool may have three nodes more, the other has just failed."""

BOT = "assist-production"
"""The namespace of the renderings here."""


class Objects:
    """An API that has these, by kind."""

    def __init__(self, **kinds: list[dict[str, Any]]) -> None:
        self.kinds = kinds

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        found = self.kinds.get(kind, [])
        return [one for one in found if one["metadata"].get("namespace", "") in ("", namespace)
                or not namespace]  # fmt: skip


def ready(node: dict[str, Any], seconds: float = 3600) -> dict[str, Any]:
    """``node``, which has been so for that long."""
    since = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": since}
    return {**node, "status": {**node["status"], "conditions": [condition]}}


def placed(
    labels: Mapping[str, str], node: str = "a100-1", name: str = "assist", **spec: Any
) -> dict[str, Any]:
    """A pod of application ``name`` with one GPU."""
    containers = [{"name": "c", "resources": {"limits": {GPU: "1", "cpu": "1"}}}]
    return {
        "metadata": {"name": "p", "namespace": BOT,
                     "labels": {"app.kubernetes.io/name": name, **labels}},
        "spec": {"nodeName": node, "containers": containers, **spec},
        "status": {"phase": "Running"},
    }  # fmt: skip


def there(*, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object of the namespace."""
    return {"kind": kind, "metadata": {"name": name, "namespace": BOT}, **more}


def deployment(name: str, replicas: int = 2, cpu: str = "250m") -> dict[str, Any]:
    """One that runs."""
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    template = {"spec": {"containers": containers}}
    return there(kind="Deployment", name=name, spec={"replicas": replicas, "template": template})


def standing(servers: Mapping[str, str], running: Iterable[dict[str, Any]] = ()) -> Live:
    """The slots that are there, each asking its model server, and what else is ``running``."""
    found = {one["metadata"]["name"]: one for one in running}
    for slot, server in servers.items():
        asks = {"labels": {SLOT: slot}, "annotations": {SERVER: server}}
        name = f"assist-{slot}"
        found[name] = merge(found.get(name, deployment(name)), {"metadata": asks})
        if server in found:
            serves = {"labels": {COMPONENT: "model-server"}}
            found[server] = merge(found[server], {"metadata": serves})
    return Live("assist", "gateway", deployments=tuple(found.values()))


def room(
    given: Rendering, servers: Mapping[str, str] | None = None, api: Any = None,
    stepwise: bool = True, **kinds: Any,
) -> Room:  # fmt: skip
    """Of the last slot of ``given``; without nodes of their own there are two with 8 cores."""
    kinds = {"Node": [ready(cpu_node("np-1")), ready(cpu_node("np-2"))], **kinds}
    live = standing(servers or {}, kinds.get("Deployment", ()))
    api, slot = api or Objects(**kinds), given.slots[-1].name
    return room_of(api, given, slot, live, NOW, stepwise)


def on_gpus(**more: Any) -> Rendering:
    """One pod of a model server with a GPU of pool a100, in blue."""
    return rendering(vllm_release(HF), given=gpu_settings(**more))


ONE_GPU = [ready(gpu_node("a100-1", "a100", 1)), ready(cpu_node("np-1"))]
CPU: Release = release()


def quota(hard: Mapping[str, str], used: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A ResourceQuota team."""
    status = {"hard": hard, "used": used}
    return there(kind="ResourceQuota", name="team", spec={"hard": hard, **spec}, status=status)


def limit_range(of: str = "Container", **line: Any) -> dict[str, Any]:
    """A LimitRange bounds."""
    return there(kind="LimitRange", name="bounds", spec={"limits": [{"type": of, **line}]})
