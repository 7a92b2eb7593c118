"""Objects for tests of the data plane itself: as few fields as they can have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.client import Cluster
from tests.cluster.stages import MANAGED
from tests.serving.making import eventually

IMAGE = "registry.example/echo:1"
PROBE = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}


def deployment(
    name: str, *words: str, container: Mapping[str, Any] | None = None, replicas: int = 1,
    grace: int = 10, **pod: Any,
) -> dict[str, Any]:  # fmt: skip
    """Echoes of ``name`` (``tests.cluster.echo``); ``container`` and ``pod`` change the spec."""
    labels = {"app": name, MANAGED[0]: MANAGED[1]}
    one = {
        "name": "echo",
        "image": IMAGE,
        "command": ["python", "-m", "tests.cluster.echo"],
        "args": [name, "--port=8080", *words],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": PROBE,
        **(container or {}),
    }
    spec = {
        "automountServiceAccountToken": False, "terminationGracePeriodSeconds": grace,
        "containers": [one], **pod,
    }  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": spec}
    own = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": own}


def service(name: str) -> dict[str, Any]:
    """In front of the Deployment of that name."""
    port = {"port": 80, "targetPort": "http"}
    own = {"selector": {"app": name}, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": own}


def backends(**weights: int) -> list[dict[str, Any]]:
    """Services with their weights."""
    return [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]


def route(gateway: Mapping[str, str], *rules: Mapping[str, Any]) -> dict[str, Any]:
    """An HTTPRoute ``echo`` on ``gateway`` (name and namespace)."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "echo"},
        "spec": {"parentRefs": [dict(gateway)], "rules": list(rules)},
    }


def put(cluster: Cluster, namespace: str, *objects: Mapping[str, Any]) -> None:
    """Apply them; AssertionError with the complaint."""
    done = cluster.apply(*objects, namespace=namespace)
    assert done.code == 0, done.err


def pods(cluster: Cluster, namespace: str, app: str) -> list[dict[str, Any]]:
    """The pods of a Deployment made here."""
    where = (f"--selector=app={app}", f"--namespace={namespace}")
    found: list[dict[str, Any]] = cluster.read("pod", *where)["items"]
    return found


def container_status(
    cluster: Cluster, namespace: str, app: str, holds: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """The status of the one container of the one pod of ``app``, once it ``holds``."""

    def look() -> dict[str, Any] | None:
        for pod in pods(cluster, namespace, app):
            for one in pod["status"].get("containerStatuses", ()):
                if holds(one):
                    return dict(one)
        return None

    try:
        found: dict[str, Any] = eventually(look, f"the status of {app}", 60)
    except AssertionError as error:
        there = [one.get("status") for one in pods(cluster, namespace, app)]
        raise AssertionError(f"{error}: {json.dumps(there)}") from error
    return found
