"""Which rule of which HTTPRoute a request belongs to, and which of its backends: all pure.

After the Gateway API v1 (https://gateway-api.sigs.k8s.io/reference/spec/): the most specific match
of all routes wins, and among equals the older route and the earlier rule. What a real gateway may
leave out is left out: filters other than RequestMirror are reported as not supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]
Rank = tuple[Any, ...]


@dataclass(frozen=True)
class Request:
    """What rules look at. Names of headers are in lower case."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True)
class Backend:
    """A Service, by name and port; "" where it is one that the route may not use."""

    service: str
    port: int
    weight: int = 1


@dataclass(frozen=True)
class Mirror:
    """Who gets copies, and of which share of requests."""

    backend: Backend
    share: float


@dataclass
class Rule:
    """One rule of a route, and whose turn it is among its backends."""

    matches: Sequence[Object]
    backends: Sequence[Backend]
    mirrors: Sequence[Mirror]
    hosts: Sequence[str]
    _credit: dict[int, int] = field(default_factory=dict)
    _copied: dict[int, float] = field(default_factory=dict)

    def next(self) -> Backend | None:
        """The next backend by smooth weighted round robin: 10 requests at 70/30 are 7 and 3.

        None where all weights are zero.
        """
        total = sum(one.weight for one in self.backends)
        if not total:
            return None
        for index, one in enumerate(self.backends):
            self._credit[index] = self._credit.get(index, 0) + one.weight
        chosen = max(range(len(self.backends)), key=lambda index: self._credit[index])
        self._credit[chosen] -= total
        return self.backends[chosen]

    def copies(self) -> Iterator[Backend]:
        """Who gets a copy of this request: of 10 at 20 % it is every fifth."""
        for index, one in enumerate(self.mirrors):
            owed = self._copied.get(index, 0.0) + one.share
            self._copied[index] = owed - int(owed + 1e-9)
            if int(owed + 1e-9):
                yield one.backend


def rules(route: Object) -> list[Rule]:
    """The rules of ``route``, in its order."""
    spec, namespace = route["spec"], route["metadata"]["namespace"]
    return [
        Rule(
            rule.get("matches") or [{}],
            [_backend(one, namespace) for one in rule.get("backendRefs", ())],
            [_mirror(one["requestMirror"], namespace) for one in rule.get("filters", ())
             if one["type"] == "RequestMirror"],
            spec.get("hostnames", ()),
        )
        for rule in spec.get("rules", ())
    ]  # fmt: skip


def unsupported(route: Object) -> str:
    """What of ``route`` nobody here follows; "" for nothing."""
    filters = (one for rule in route["spec"].get("rules", ()) for one in rule.get("filters", ()))
    strange = sorted({one["type"] for one in filters} - {"RequestMirror"})
    return f"no such filter: {', '.join(strange)}" if strange else ""


def services(route: Object) -> set[str]:
    """The Services that it names, "" for one that it may not use."""
    of = rules(route)
    named = [*(one for rule in of for one in rule.backends)]
    return {one.service for one in (*named, *(m.backend for rule in of for m in rule.mirrors))}


def choose(routes: Iterable[tuple[Object, Sequence[Rule]]], request: Request) -> Rule | None:
    """The rule that ``request`` belongs to; None for none."""
    found: list[tuple[Rank, Rule]] = []
    for route, its in routes:
        meta = route["metadata"]
        for index, rule in enumerate(its):
            ranks = [rank for match in rule.matches if (rank := _rank(match, rule, request))]
            if ranks:
                later = (meta["creationTimestamp"], meta["name"], index)
                found.append(((tuple(-part for part in max(ranks)), *later), rule))
    return min(found, key=lambda one: one[0])[1] if found else None


def _rank(match: Object, rule: Rule, request: Request) -> Rank | None:
    """How specific ``match`` is for ``request``; None where it does not match."""
    host = _host(rule.hosts, request.host)
    path = match.get("path", {"type": "PathPrefix", "value": "/"})
    headers, query = match.get("headers", ()), match.get("queryParams", ())
    method = match.get("method")
    fits = (
        host is not None
        and _path(path, request.path)
        and method in (None, request.method)
        and all(_same(one, request.headers.get(one["name"].lower())) for one in headers)
        and all(_same(one, request.query.get(one["name"])) for one in query)
    )
    if not fits:
        return None
    exact = path.get("type") == "Exact"
    return (host, exact, len(path["value"]), method is not None, len(headers), len(query))


def _host(wanted: Sequence[str], host: str) -> int | None:
    """How much of ``host`` is named; None where it is another one."""
    if not wanted:
        return 0
    fitting = [
        len(one) for one in wanted
        if one == host or (one.startswith("*.") and host.endswith(one[1:]) and host != one[1:])
    ]  # fmt: skip
    return max(fitting, default=None)


def _path(wanted: Object, path: str) -> bool:
    value = wanted["value"]
    match wanted.get("type", "PathPrefix"):
        case "Exact":
            return bool(path == value)
        case "PathPrefix":
            return path == value or path.startswith(value.rstrip("/") + "/")
        case _:
            return re.fullmatch(value, path) is not None


def _same(match: Object, value: str | None) -> bool:
    if value is None:
        return False
    if match.get("type", "Exact") == "RegularExpression":
        return re.fullmatch(match["value"], value) is not None
    return bool(value == match["value"])


def _backend(reference: Object, namespace: str) -> Backend:
    ours = reference.get("namespace", namespace) == namespace
    service = ours and reference.get("kind", "Service") == "Service"
    name = reference["name"] if service else ""
    return Backend(name, reference.get("port", 0), reference.get("weight", 1))


def _mirror(filter_: Object, namespace: str) -> Mirror:
    if fraction := filter_.get("fraction"):
        share = fraction["numerator"] / fraction.get("denominator", 100)
    else:
        share = filter_.get("percent", 100) / 100
    return Mirror(_backend(filter_["backendRef"], namespace), share)
