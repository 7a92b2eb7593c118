"""The HTTPRoute as Greenlight reads it: which slots it knows, and who gets how much.

Its last rule carries the weights; each rule before it pins one slot. Where somebody has taken the
last one away, a pin is not mistaken for it: whoever does not ask for a slot gets none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from release.errors import GreenlightError

ALL = 100

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Routing:
    """Slots in the route's order; per cent by slot, and of requests that a slot gets a copy of."""

    slots: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)


def read_route(route: Object, application: str) -> Routing:
    """What ``route`` says now. Weights that total something else are told in per cent of it."""
    rules = (route.get("spec") or {}).get("rules") or ()
    last = next((rule for rule in reversed(rules) if not _is_pin(rule)), None)
    if last is None:
        return Routing()
    weights = {
        _slot(one["name"], application): int(one.get("weight", 1))
        for one in last.get("backendRefs") or ()
    }
    mirror = dict(_mirrors(last, application))
    total = sum(weights.values())
    shares = {slot: round(ALL * one / total) for slot, one in weights.items() if one and total}
    return Routing(tuple(weights), shares, mirror)


def _is_pin(rule: Object) -> bool:
    """Whether it is for those alone who send a header. A rule that matches nothing by name is for
    everybody.
    """
    matches = rule.get("matches") or ()
    return bool(matches) and all(one.get("headers") for one in matches)


def _mirrors(rule: Object, application: str) -> Iterator[tuple[str, int]]:
    for one in rule.get("filters") or ():
        if one.get("type") == "RequestMirror":
            copied = one["requestMirror"]
            yield _slot(copied["backendRef"]["name"], application), int(copied.get("percent", ALL))


def _slot(service: str, application: str) -> str:
    return service.removeprefix(f"{application}-")


def require_possible(
    weights: Mapping[str, int], mirror: Mapping[str, int], states: Mapping[str, str]
) -> None:
    """GreenlightError for weights and mirror that may not be, with slots in ``states``.

    They total 0 or 100, each of a slot that is ready; a mirror of one that has none (S02, S12).
    """
    problem = next(_problems(weights, mirror, states), "")
    if problem:
        raise GreenlightError(f"weights {dict(weights)} cannot be: {problem}; nothing was changed")


def _problems(
    weights: Mapping[str, int], mirror: Mapping[str, int], states: Mapping[str, str]
) -> Iterator[str]:
    if any(one < 0 or one > ALL for one in weights.values()):
        yield "each is 0 to 100"
    if sum(weights.values()) not in (0, ALL):
        yield f"they total {sum(weights.values())}, not 0 or 100"
    for slot in sorted({*weights, *mirror} - set(states)):
        yield f"there is no slot {slot}"
    for slot, weight in weights.items():
        if weight and states.get(slot) != "ready":
            yield f"{slot} is {states.get(slot)}"
    if len(mirror) > 1:
        yield "one slot can be mirrored to"
    for slot, percent in mirror.items():
        if weights.get(slot):
            yield f"{slot} has weight, and would answer twice"
        if not 0 <= percent <= ALL:
            yield "a mirror gets 0 to 100 per cent"
        if percent and states.get(slot) != "ready":
            yield f"{slot}, which gets copies, is {states.get(slot)}"


def why_not_accepted(route: Object, gateway: str) -> str:
    """Why the gateway does not follow the route as it is written now; empty when it does."""
    generation = route["metadata"].get("generation", 0)
    parents = (route.get("status") or {}).get("parents") or ()
    ours = [one for one in parents if one.get("parentRef", {}).get("name") == gateway]
    if not ours:
        return f"the Gateway {gateway} has said nothing of it yet"
    for condition in ours[0].get("conditions") or ():
        if condition["type"] not in ("Accepted", "ResolvedRefs"):
            continue
        if condition.get("observedGeneration", generation) < generation:
            return f"the Gateway {gateway} has not seen its last change yet"
        if condition["status"] != "True":
            said = condition.get("message") or condition.get("reason", "")
            return f"the Gateway {gateway} does not take it: {said}"
    return ""
