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

Kind = Literal["waits", "room", "fails", "hopeless"]


@dataclass(frozen=True)
class Reason:
    """``waits``: it may just take its time. ``room``: no node has room. ``fails``: something is
    wrong that may pass, such as a registry that is away. ``hopeless``: another try ends alike.
    """

    kind: Kind
    text: str


_RANK = {"hopeless": 0, "fails": 1, "room": 2, "waits": 3}


def why_not_ready(deployments: Iterable[Object], pods: Iterable[Object]) -> Reason:
    """The worst of what is told about ``deployments`` and ``pods``."""
    found = [one for each in deployments for one in _of_deployment(each)]
    found += [one for each in pods for one in _of_pod(each)]
    return min(found, key=lambda one: _RANK[one.kind], default=Reason("waits", "no pod is there"))


def _of_deployment(one: Object) -> Iterator[Reason]:
    name = one["metadata"]["name"]
    for condition in _conditions(one):
        said = condition.get("message") or condition.get("reason", "")
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Reason("fails", f"no pod of {name} can be made: {said}")
        if condition.get("reason") == "ProgressDeadlineExceeded":
            yield Reason("waits", f"{name} makes no progress: {said}")


def _of_pod(pod: Object) -> Iterator[Reason]:
    name = pod["metadata"]["name"]
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Reason("room", f"{name} has no node: {condition.get('message', '')}")
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        yield from _of_container(name, one)
    if not _is_ready(pod):
        yield Reason("waits", f"{name} is not ready yet")


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
