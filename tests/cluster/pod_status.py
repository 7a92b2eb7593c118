"""What a kubelet tells about a pod: pure documents, in the words that kubelets use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]
WORDS_LINES, WORDS_BYTES = 80, 2048


@dataclass(frozen=True)
class State:
    """One container at one time. ``now`` and ``last`` are container states of the API."""

    now: Object
    last: Object | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    phase: str = "Pending"


def moment() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, message: str = "") -> Object:
    """A container that does not run."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(since: str) -> Object:
    """A container that runs."""
    return {"running": {"startedAt": since}}


def terminated(code: int, since: str, words: str = "") -> Object:
    """A container that has ended, and its last words. A signal counts as shells count it."""
    known = {0: "Completed", -9: "Error"}
    told: dict[str, Any] = {
        "exitCode": code if code >= 0 else 128 - code, "reason": known.get(code, "Error"),
    }  # fmt: skip
    if words:
        told["message"] = words
    if code < 0:
        told["signal"] = -code
    return {"terminated": {**told, "startedAt": since, "finishedAt": moment()}}


def last_words(container: Object, code: int, log: str) -> str:
    """What a kubelet tells of the log of a container that has failed, where it asks for that.

    As https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
    limits it.
    """
    if not code or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return ""
    end = "\n".join(log.splitlines()[-WORDS_LINES:])
    return end.encode()[-WORDS_BYTES:].decode(errors="replace")


def status(pod: Object, state: State, ip: str) -> dict[str, Any]:
    """The pod's status, as a strategic merge patch: other people's conditions stay."""
    (container,) = pod["spec"]["containers"]
    unready = f"containers with unready status: [{container['name']}]"
    why = None if state.ready else ("ContainersNotReady", unready)
    own = {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"] if "running" in state.now else "",
        "ready": state.ready,
        "started": state.started,
        "restartCount": state.restarts,
        "state": state.now,
        "lastState": state.last or {},
    }
    conditions = [
        _condition(pod, "PodReadyToStartContainers", None),
        _condition(pod, "Initialized", None),
        _condition(pod, "ContainersReady", why),
        _condition(pod, "Ready", why),
    ]
    told = pod.get("status", {})
    return {
        "phase": state.phase,
        "conditions": conditions,
        "containerStatuses": [own],
        "startTime": told.get("startTime") or moment(),
        "podIP": ip,
        "podIPs": [{"ip": ip}],
    }


def _condition(pod: Object, kind: str, why_not: tuple[str, str] | None) -> dict[str, Any]:
    """A condition that keeps its time as long as it holds."""
    value = "False" if why_not else "True"
    reason, message = why_not or (None, None)
    before = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
    same = before.get(kind, {}).get("status") == value
    since = before[kind]["lastTransitionTime"] if same else moment()
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def is_ready(pod: Object) -> bool:
    """Whether a Service sends it anything: ready, and not about to go."""
    conditions = pod.get("status", {}).get("conditions", ())
    held = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return held and "deletionTimestamp" not in pod["metadata"]
