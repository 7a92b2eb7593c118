"""A cluster's objects → what a target tells of an environment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from manifests.model import own
from pipelines.capacity import ALL
from pipelines.facts import SLOTS, SlotFacts, SlotState
from pipelines.targets.base import TargetFacts
from pipelines.targets.kubernetes.reasons import ENDS, Reason, runs_unready, why_not_ready
from pipelines.targets.kubernetes.routing import Routing, read_route, why_not_accepted

Object = Mapping[str, Any]

RELEASE, SERVER, SLOT = own("release"), own("server"), own("slot")
COMPONENT, APPLICATION = "app.kubernetes.io/component", "app.kubernetes.io/name"
MANAGED = {"app.kubernetes.io/managed-by": "greenlight"}
"""On all that is made here, whosever it is."""

FAILED = own("failed")
"""On a slot's Deployment: why its last deploy was given up."""

SHARE = own("share")
"""On a slot's Deployment: per cent of the pods that it is to have in the end."""

UNTOLD = own("untold")
"""On the Lease: why Git does not say what is live."""

FENCE, SEEN, ENVIRONMENT = own("fence"), own("seen"), own("environment")


@dataclass(frozen=True)
class Live:
    """What is in the cluster of one environment. ``route`` and ``gateway`` may be missing; an
    empty ``gateway`` is one that may not be read.
    """

    application: str
    gateway_name: str
    route: Object | None = None
    gateway: Object | None = None
    deployments: Sequence[Object] = ()
    pods: Sequence[Object] = ()

    @property
    def routing(self) -> Routing:
        """What the route says; nothing where there is none."""
        return read_route(self.route, self.application) if self.route else Routing()

    @property
    def slots(self) -> dict[str, Object]:
        """The Deployment of each slot, by the slot's name."""
        found = {labels(one).get(SLOT): one for one in self.deployments}
        return {str(slot): one for slot, one in sorted(found.items(), key=str) if slot}

    @property
    def servers(self) -> dict[str, Object]:
        """The Deployment of each model server, by its name."""
        return {
            one["metadata"]["name"]: one
            for one in self.deployments
            if labels(one).get(COMPONENT) == "model-server"
        }

    def asking(self, server: str, beside: str) -> tuple[str, ...]:
        """The slots that ask a model server, but for the one that it is looked at from."""
        found = self.slots.items()
        return tuple(
            slot for slot, one in found if slot != beside and notes(one).get(SERVER) == server
        )

    def pods_of(self, one: Object) -> list[Object]:
        """The pods that a Deployment's last template made and that are to stay."""
        wanted = one["spec"]["selector"]["matchLabels"].items()
        release = notes(one["spec"]["template"]).get(RELEASE)
        return [
            pod for pod in self.pods
            if wanted <= labels(pod).items()
            and "deletionTimestamp" not in pod["metadata"]
            and notes(pod).get(RELEASE) == release
        ]  # fmt: skip


def place(live: Live, digest: str) -> str:
    """The slot that a release with ``digest`` is in, or would come to: one that is free, else the
    one with the least traffic.
    """
    held = {slot: notes(one).get(RELEASE) for slot, one in live.slots.items()}
    weights = live.routing.weights
    return min(SLOTS, key=lambda slot: (held.get(slot) != digest, slot in held,
                                        weights.get(slot, 0)))  # fmt: skip


def target_facts(live: Live, address: str, notice: str = "") -> TargetFacts:
    """Slots, weights and whether there is a way in."""
    slots = {name: _slot(live, one) for name, one in live.slots.items()}
    reason = why_not_provisioned(live, address)
    if live.route is None:
        return TargetFacts(False, address, slots, reason=reason)
    weights = live.routing.weights
    watchers = [one for one in live.deployments if labels(one).get(COMPONENT) == "watcher"]
    behind = why_not_accepted(live.route, live.gateway_name)
    idle = _joined(_why_idle(live, one) for one in watchers)
    weak = _joined(_weakness(live, one) for one in watchers)
    return TargetFacts(
        not reason, address, slots, weights, reason=reason, watched=bool(watchers),
        notice=_joined((notice, behind, idle, weak)), unwatched=idle,
    )  # fmt: skip


def _joined(told: Iterable[str]) -> str:
    return "; ".join(filter(None, told))


def _why_idle(live: Live, watcher: Object) -> str:
    """Of a watcher of which no pod is ready: nobody would bring back what nobody goes on with."""
    if not watcher["spec"].get("replicas", 1) or available(watcher):
        return ""
    pods = live.pods_of(watcher)
    said = why_not_ready([watcher], pods).text
    return f"no pod of its watcher is ready, so nobody watches: {said}{_logs(pods)}"


def _weakness(live: Live, watcher: Object) -> str:
    """Of a watcher with a pod that could do its work and one that runs and could not: which of
    them leads is not seen here.
    """
    pods = [one for one in live.pods_of(watcher) if runs_unready(one)]
    if not available(watcher) or not pods:
        return ""
    said = why_not_ready([], pods).text
    return (
        f"a pod of its watcher, maybe the one that leads, cannot do its work: {said}{_logs(pods)}"
    )


def _logs(pods: Iterable[Object]) -> str:
    """Where a watcher says itself what it cannot have; nothing while none of ``pods`` runs."""
    name = next((name_of(one) for one in pods if runs_unready(one)), "")
    return f"; `kubectl logs {name}` says what it cannot have" if name else ""


def why_not_provisioned(live: Live, address: str) -> str:
    """What is missing before anybody can be let in; empty when nothing is.

    A gateway that does not follow the route's last change is no such thing: it goes on as before,
    and a return, which may be what puts that right, must not wait for it. Writes do.
    """
    if live.route is None:
        return f"there is no HTTPRoute {live.application}"
    if live.gateway is None:
        return f"there is no Gateway {live.gateway_name}"
    if not live.gateway:
        return ""  # a watcher may not look at it, and has to bring back all the same
    for condition in (live.gateway.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Programmed" and condition["status"] != "True":
            said = condition.get("message") or condition.get("reason", "")
            return f"the Gateway {live.gateway_name} is not programmed: {said}"
    if not address:
        return f"the Gateway {live.gateway_name} has no address"
    return ""


def reason_of(live: Live, one: Object) -> Reason:
    """Why a slot is not ready: its own pods, and those of the model server that it asks."""
    server = live.servers.get(notes(one).get(SERVER, ""))
    both = [server, one] if server and not available(server) else [one]
    return why_not_ready(both, [pod for each in both for pod in live.pods_of(each)])


def server_short(live: Live, one: Object) -> Object | None:
    """The model server that a slot asks, where not all of its pods are there as they were asked for
    last; None where they are, or where it is no Deployment of ours.
    """
    server = live.servers.get(notes(one).get(SERVER, ""))
    if server is None:
        return None
    wanted = int(server["spec"].get("replicas", 1))
    whole = not wanted or (is_current(server) and available(server) >= wanted)
    return None if whole else server


def why_short(live: Live, server: Object, slot: str) -> Reason:
    """Why a model server that ``slot`` asks is not whole. What another slot asks too says nothing
    of the release in this one.
    """
    name, wanted = name_of(server), server["spec"].get("replicas", 1)
    found = why_not_ready([server], live.pods_of(server))
    how = f"{available(server)} of {wanted} pods of {name} answer"
    text = f"{how if is_current(server) else f'{name} is being changed'}: {found.text}"
    if others := live.asking(name, slot):
        kind = found.kind if found.kind in ENDS else "shared"
        return Reason(kind, f"{text} ({', '.join(others)} asks it too)")
    return replace(found, text=text)


def _slot(live: Live, one: Object) -> SlotFacts:
    state, reason = _state(live, one)
    found = notes(one)
    return SlotFacts(
        release=found.get(RELEASE, ""),
        state=state,
        reason=reason,
        engine=found.get(SERVER, ""),
        share=int(found.get(SHARE, ALL)),
        whole=server_short(live, one) is None,
        reachable=bool((one.get("status") or {}).get("readyReplicas")),
    )


def _state(live: Live, one: Object) -> tuple[SlotState, str]:
    if "deletionTimestamp" in one["metadata"]:
        return "stopping", ""
    if failed := notes(one).get(FAILED):
        return "failed", failed
    if is_current(one) and available(one):
        return "ready", ""
    found = reason_of(live, one)
    return ("starting" if found.kind in ("waits", *ENDS) else "failed"), found.text


def is_current(one: Object) -> bool:
    """Whether nothing of an earlier template is left, and the controller has seen the last one."""
    status = one.get("status") or {}
    seen = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 1)
    updated = status.get("updatedReplicas", 0)
    return bool(seen and updated and status.get("replicas", 0) == updated)


def available(one: Object) -> int:
    """Pods of a Deployment that have been ready for long enough."""
    return int((one.get("status") or {}).get("availableReplicas") or 0)


def moved(one: Object) -> int:
    """How far a Deployment has come: grows with every pod of its last template, made or ready."""
    return available(one) + int((one.get("status") or {}).get("updatedReplicas") or 0)


def ready_since(pod: Object) -> float | None:
    """When a pod got ready, in epoch seconds; None where it is not."""
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one["type"] == "Ready" and one["status"] == "True":
            return datetime.fromisoformat(one["lastTransitionTime"]).timestamp()
    return None


def labels(one: Object) -> Mapping[str, str]:
    """The labels of an object."""
    return one["metadata"].get("labels") or {}


def name_of(one: Object) -> str:
    """An object's name."""
    return str(one["metadata"]["name"])


def notes(one: Object) -> Mapping[str, str]:
    """The annotations of an object."""
    return one["metadata"].get("annotations") or {}


def address_of(gateway: Object | None, hostnames: Iterable[str]) -> str:
    """The URL of a Gateway's first HTTP listener: by the route's own name where it has one."""
    if not gateway:
        return ""
    listeners = gateway["spec"].get("listeners") or ()
    addresses = (gateway.get("status") or {}).get("addresses") or ()
    listener = next((one for one in listeners if one["protocol"] in ("HTTPS", "HTTP")), None)
    host = next((name for name in hostnames if "*" not in name), "")
    host = host or next((str(one["value"]) for one in addresses), "")
    if listener is None or not host:
        return ""
    scheme, port = listener["protocol"].lower(), listener["port"]
    usual = {"http": 80, "https": 443}[scheme] == port
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{port}"
