"""What nobody needs any more: a deploy takes it away, and ``diff`` tells of it before. Pure.

Only what serves a slot is judged here. All else of an environment stays until that is destroyed:
slots of older releases may still stand on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from manifests.model import PROMPT
from manifests.render import Rendered
from pipelines.targets.kubernetes.facts import SERVER, SLOT, Live, labels, notes
from pipelines.targets.kubernetes.writer import Name

AUTOSCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
OF_A_SLOT = ("Deployment", *AUTOSCALERS, "Service", "PodDisruptionBudget")
"""What serves a slot has its name, and goes in this order: a slot that is there has all of it, so a
return that finds it may go on with it.
"""

OF_A_SERVER = ("NetworkPolicy", "PodDisruptionBudget", "Service", "Deployment")
"""The same for a server, whose Deployment goes last: by it the rest is found again after a kill."""

Object = Mapping[str, Any]


def deployed(live: Live, wanted: Iterable[Rendered]) -> Live:
    """``live`` as it will be once ``wanted`` is there."""
    new = [one.object for one in wanted if one.kind == "Deployment"]
    names = {one["metadata"]["name"] for one in new}
    old = [one for one in live.deployments if one["metadata"]["name"] not in names]
    return replace(live, deployments=(*old, *new))


def unneeded(live: Live, maps: Iterable[Object]) -> list[Name]:
    """Model servers that no slot asks, with all that is theirs; and of ``maps``, the environment's
    ConfigMaps, the prompts that no slot mounts.
    """
    return [*_unasked(live), *_unread(live, maps)]


def left_over(live: Live, wanted: Iterable[Rendered], maps: Sequence[Object]) -> list[Name]:
    """What nobody needs now, nor once ``wanted`` is there: what a deploy that was cut has left."""
    then = {*unneeded(deployed(live, wanted), maps)}
    return [name for name in unneeded(live, maps) if name in then]


def draining(live: Live) -> list[Object]:
    """The pods of slots that have gone, which answer what they have begun: by a model server that
    no slot asks any more.
    """
    return [pod for pod in live.pods if labels(pod).get(SLOT, "") not in {"", *live.slots}]


def displaced(wanted: Iterable[Rendered], name: str) -> list[Name]:
    """The autoscaler of the other kind, which ``wanted`` for the slot of ``name`` has no more."""
    kept = {(one.kind, one.name) for one in wanted}
    return [(kind, name) for kind in AUTOSCALERS if (kind, name) not in kept]


def _unasked(live: Live) -> Iterator[Name]:
    used = {notes(one).get(SERVER, "") for one in live.slots.values()}
    for name in live.servers:
        if name not in used:
            yield from ((kind, name) for kind in OF_A_SERVER)


def _unread(live: Live, maps: Iterable[Object]) -> Iterator[Name]:
    mounted = {prompt_of(one) for one in live.slots.values()}
    for one in maps:
        name = one["metadata"]["name"]
        if PROMPT.fullmatch(name) and name not in mounted:
            yield "ConfigMap", name


def prompt_of(one: Object) -> str:
    """The ConfigMap that the pods of a slot's Deployment read; empty where there is none."""
    volumes = one["spec"]["template"]["spec"].get("volumes") or ()
    named = (volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    return next((name for name in named if PROMPT.fullmatch(name)), "")
