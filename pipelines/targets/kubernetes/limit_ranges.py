"""What a namespace's LimitRanges make of a pod before it is counted, or why they refuse it. Pure.

As the API server does it (plugin/pkg/admission/limitranger of Kubernetes): what a container does
not say is filled in, then each container and each pod is held against the bounds. Ranges of claims
are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.cluster import UNIT, Amounts, shown
from pipelines.targets.kubernetes.pods import Thing, amounts, asked, containers, of_container

Quantities = Mapping[str, str]


@dataclass(frozen=True)
class Limit:
    """One line of the LimitRange ``name``, for containers or for pods as a whole."""

    name: str
    of: Literal["Container", "Pod"]
    requests: Quantities
    limits: Quantities
    least: Amounts
    most: Amounts
    ratio: Amounts


def read_limits(found: Iterable[Thing]) -> tuple[Limit, ...]:
    """The lines for containers and pods."""
    return tuple(
        Limit(
            name=one["metadata"]["name"],
            of=line["type"],
            requests=line.get("defaultRequest") or {},
            limits=line.get("default") or {},
            least=amounts(line.get("min")),
            most=amounts(line.get("max")),
            ratio=amounts(line.get("maxLimitRequestRatio")),
        )
        for one in found
        for line in one["spec"].get("limits") or ()
        if line["type"] in ("Container", "Pod")
    )


def filled(spec: Thing, limits: Iterable[Limit]) -> dict[str, Any]:
    """``spec`` with what its containers do not say."""
    found = dict(spec)
    for one in (limit for limit in limits if limit.of == "Container"):
        for which in ("initContainers", "containers"):
            if which in found:
                found[which] = [_filled(container, one) for container in found[which]]
    return found


def _filled(container: Thing, limit: Limit) -> dict[str, Any]:
    """A limit without a request is the request too: that is settled before any LimitRange is."""
    given = container.get("resources") or {}
    limits = given.get("limits") or {}
    requests = {**limits, **(given.get("requests") or {})}
    resources = {
        **given,
        "requests": {**limit.requests, **requests},
        "limits": {**limit.limits, **limits},
    }
    return {**container, "resources": resources}


def why_refused(spec: Thing, limits: Iterable[Limit]) -> Iterator[str]:
    """Why no pod of a ``spec`` that is ``filled`` is taken."""
    held = tuple(limits)
    for one in containers(spec):
        who = f"container {one['name']}"
        has = of_container(one, "requests"), of_container(one, "limits")
        yield from _above_its_limit(who, *has, held)
        for limit in held:
            yield from _broken(who, *has, limit) if limit.of == "Container" else ()
    for limit in held:
        if limit.of == "Pod":
            yield from _broken("a pod", asked(spec, "requests"), asked(spec, "limits"), limit)


def _above_its_limit(
    who: str, requests: Amounts, limits: Amounts, held: Iterable[Limit]
) -> Iterator[str]:
    """A default limit that is below what a container asks for makes a pod that cannot be."""
    for name in sorted(n for n in requests if n in limits and requests[n] > limits[n]):
        told = [one.name for one in held if one.of == "Container" and name in one.limits]
        by = f" by LimitRange {', '.join(told)}" if told else ""
        yield (
            f"{who} asks for {shown(name, requests[name])} {name} "
            f"and is limited{by} to {shown(name, limits[name])}"
        )


def _broken(who: str, requests: Amounts, limits: Amounts, limit: Limit) -> Iterator[str]:
    by = f"LimitRange {limit.name}"
    for name, most in limit.most.items():
        if limits.get(name, most + 1) > most:
            has = f"of {shown(name, limits[name])} " if name in limits else "that is missing "
            yield f"{who} has a limit {has}of {name}, {by} wants at most {shown(name, most)}"
    for name, least in limit.least.items():
        if requests.get(name, 0) < least:
            has = shown(name, requests.get(name, 0))
            yield f"{who} asks for {has} {name}, {by} wants at least {shown(name, least)}"
    for name, ratio in limit.ratio.items():
        request, bound = requests.get(name, 0), limits.get(name, 0)
        if not request or not bound or bound * UNIT > ratio * request:
            yield (
                f"{who} may use {shown(name, bound)} {name} and asks for {shown(name, request)}, "
                f"{by} wants at most {shown('', ratio)} times as much"
            )
