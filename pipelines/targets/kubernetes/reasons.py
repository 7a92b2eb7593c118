"""Why pods do not get ready, as the cluster tells it: a Deployment and its pods → one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from release.errors import BAD_INPUT

Object = Mapping[str, Any]

NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
            "RegistryUnavailable", "ImageInspectError")  # fmt: skip
NO_START = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
WORDS = 400
"""Characters of a container's last words that a reason repeats."""

Kind = Literal["waits", "room", "cluster", "shared", "fails", "hopeless"]


@dataclass(frozen=True)
class Reason:
    """``waits``: it may just take its time. ``room``: no node or quota has room. ``cluster``: the
    cluster itself is not in order. ``shared``: a model server is short that another release asks
    too. ``fails``: something is wrong that may pass, such as a registry that is away.
    ``hopeless``: another try ends alike.
    """

    kind: Kind
    text: str


ENDS: Mapping[Kind, str] = {
    "room": "room for it",
    "cluster": "the cluster in order again",
    "shared": "that model server whole again",
}
"""Kinds that say nothing of the release, and what ends them."""

_RANK = {"hopeless": 0, "fails": 1, "cluster": 2, "shared": 3, "room": 4, "waits": 5}


def why_not_ready(deployments: Iterable[Object], pods: Iterable[Object]) -> Reason:
    """The worst of what is told about ``deployments`` and ``pods``."""
    found = [one for each in pods for one in _of_pod(each)]
    found += [one for each in deployments for one in _of_deployment(each)]
    return min(found, key=lambda one: _RANK[one.kind], default=Reason("waits", "no pod is there"))


def _of_deployment(one: Object) -> Iterator[Reason]:
    name = one["metadata"]["name"]
    for condition in _conditions(one):
        said = condition.get("message") or condition.get("reason", "")
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Reason(_kind_of_refusal(said), f"no pod of {name} can be made: {said}")
        if condition.get("reason") == "ProgressDeadlineExceeded":
            yield Reason("waits", f"{name} makes no progress: {said}")


def _kind_of_refusal(said: str) -> Kind:
    """Of what the API server says of a pod that it did not take."""
    if "exceeded quota" in said:
        return "room"
    return "cluster" if "failed calling webhook" in said else "fails"


def _of_pod(pod: Object) -> Iterator[Reason]:
    name = pod["metadata"]["name"]
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Reason("room", f"{name} has no node: {condition.get('message', '')}")
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    for one in containers:
        yield from _of_container(name, one)
    if not _is_ready(pod):
        doing = next(filter(None, map(_doing, containers)), "")
        yield Reason("waits", f"{name} is not ready yet" + (f": {doing}" if doing else ""))


def _of_container(pod: str, status: Object) -> Iterator[Reason]:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    if reason in NO_IMAGE:
        yield Reason("fails", f"{pod}: the image {status.get('image')} cannot be had: {said}")
    elif reason in NO_START:
        yield Reason("fails", f"{pod} cannot start ({reason}): {said}")
    ended = _ended(status)
    if ended and not status.get("ready"):
        yield _of_end(pod, ended)


def _doing(status: Object) -> str:
    """What a container that is not ready is at; empty where that is not known."""
    state = status.get("state") or {}
    if waiting := state.get("waiting"):
        return ", ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    if "running" not in state or status.get("ready"):
        return ""
    since = f"it runs since {state['running'].get('startedAt')}"
    probe = "readiness" if status.get("started") else "startup"
    return f"{since}, and its {probe} probe does not pass"


def runs_unready(pod: Object) -> bool:
    """Whether a container of the pod has started, and says that it is not ready."""
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(
        "running" in (one.get("state") or {}) and one.get("started") and not one.get("ready")
        for one in containers
    )


def _ended(status: Object) -> Object:
    """How the container ended the last time, if it did."""
    for state in ("state", "lastState"):
        if found := (status.get(state) or {}).get("terminated"):
            return dict(found)
    return {}


def _of_end(pod: str, ended: Object) -> Reason:
    code = ended.get("exitCode")
    why = f"{pod} ended with exit code {code}"
    if ended.get("reason") not in (None, "Error", "Completed"):
        why += f" ({ended['reason']})"
    words = str(ended.get("message") or "").strip()[-WORDS:]
    text = f"{why}: {words}" if words else why
    return Reason("hopeless" if code == BAD_INPUT else "fails", text)


def _conditions(one: Object) -> tuple[Object, ...]:
    return tuple((one.get("status") or {}).get("conditions") or ())


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in _conditions(pod))
