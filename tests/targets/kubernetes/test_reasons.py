"""Why a slot does not get ready is said in one sentence, from what the cluster tells."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.targets.kubernetes.reasons import why_not_ready


def pod(*containers: dict[str, Any], **conditions: str) -> dict[str, Any]:
    """A pod with these container statuses; conditions by type, as status or message."""
    told = [
        {"type": kind, "status": "True" if said == "True" else "False", "message": said}
        for kind, said in conditions.items()
    ]
    status = {"conditions": told, "containerStatuses": list(containers)}
    return {"metadata": {"name": "assist-green-1"}, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A container that has not started."""
    return {"image": "i@sha256:0", "state": {"waiting": {"reason": reason, "message": message}},
            "ready": False, **more}  # fmt: skip


def ended(code: int, **more: Any) -> dict[str, Any]:
    """How a container ended the last time."""
    return {"lastState": {"terminated": {"exitCode": code, **more}}}


def deployment(**condition: str) -> dict[str, Any]:
    """With one condition."""
    return {"metadata": {"name": "assist-green"}, "status": {"conditions": [condition]}}


UNANSWERED = 'Internal error occurred: failed calling webhook "w": connection refused'
FULL = 'pods "x" is forbidden: exceeded quota: gpus, requested: 1, used: 2, limited: 2'

CASES: dict[str, tuple[list[Any], list[Any], str, str]] = {
    "no pod yet": ([], [], "waits", "no pod"),
    "it loads": ([], [pod(Ready="loading")], "waits", "not ready yet"),
    "S04 no node has room": (
        [], [pod(PodScheduled="0/5 nodes: 5 Insufficient nvidia.com/gpu", Ready="no")],
        "room", "Insufficient nvidia.com/gpu",
    ),
    "the image is not there": (
        [], [pod(waiting("ImagePullBackOff", "manifest unknown"), Ready="no")],
        "fails", "i@sha256:0 cannot be had: manifest unknown",
    ),
    "a Secret is not there": (
        [], [pod(waiting("CreateContainerConfigError", 'secret "k" not found'), Ready="no")],
        "fails", 'secret "k" not found',
    ),
    "it crashes": (
        [], [pod(waiting("CrashLoopBackOff", **ended(1, message="no such file")), Ready="no")],
        "fails", "exit code 1: no such file",
    ),
    "it takes too much memory": (
        [], [pod(waiting("CrashLoopBackOff", **ended(137, reason="OOMKilled")), Ready="no")],
        "fails", "137 (OOMKilled)",
    ),
    "it cannot serve what it was given": (
        [], [pod(waiting("CrashLoopBackOff", **ended(2, message="undeclared")), Ready="no")],
        "hopeless", "exit code 2: undeclared",
    ),
    "S04 the quota is used up": (
        [deployment(type="ReplicaFailure", status="True", message=FULL)], [],
        "room", "exceeded quota: gpus, requested: 1, used: 2, limited: 2",
    ),
    "a webhook does not answer": (
        [deployment(type="ReplicaFailure", status="True", message=UNANSWERED)], [],
        "cluster", 'failed calling webhook "w"',
    ),
    "it hangs while it starts": (
        [], [pod({"state": {"running": {"startedAt": "T"}}, "ready": False}, Ready="no")],
        "waits", "it runs since T, and its startup probe does not pass",
    ),
    "it hangs once it has started": (
        [], [pod({"state": {"running": {"startedAt": "T"}}, "started": True}, Ready="no")],
        "waits", "its readiness probe does not pass",
    ),
    "it waits for what it mounts": (
        [], [pod(waiting("ContainerCreating", 'configmap "c" not found'), Ready="no")],
        "waits", 'ContainerCreating, configmap "c" not found',
    ),
    "a webhook says no": (
        [deployment(type="ReplicaFailure", status="True", message="denied the request: no")], [],
        "fails", "denied the request",
    ),
    "the worst is told": (
        [], [pod(Ready="loading"), pod(waiting("ErrImagePull", "x"), Ready="no")],
        "fails", "cannot be had",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_s06_a_slot_that_is_stuck_says_why(case: str) -> None:
    """And whether waiting can help."""
    deployments, pods, kind, says = CASES[case]

    found = why_not_ready(deployments, pods)

    assert (found.kind, says in found.text) == (kind, True), found


def test_a_container_that_runs_again_is_not_held_to_its_past() -> None:
    found = why_not_ready([], [pod({"ready": True, **ended(1)}, Ready="True")])

    assert found.kind == "waits"
