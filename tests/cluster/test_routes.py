"""Which rule and which backend a request gets, as the Gateway API says it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.routes import Request, Rule, choose, rules, services, unsupported

HEADER = {"type": "Exact", "name": "X-Slot", "value": "green"}
COOKIE = {"type": "RegularExpression", "name": "cookie", "value": "(.*; )?slot=green(;.*)?"}


def request(path: str = "/v1/chat", method: str = "POST", host: str = "a.example.com",
            **headers: str) -> Request:  # fmt: skip
    """One request; ``_`` in a header's name is a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, host, path, named, {})


def route(*rules_: dict[str, Any], created: str = "1", **spec: Any) -> dict[str, Any]:
    """A route whose rules are named by their only backend."""
    meta = {"name": "r", "namespace": "n", "creationTimestamp": created}
    return {"metadata": meta, "spec": {"rules": list(rules_), **spec}}


def to(name: str, *matches: dict[str, Any]) -> dict[str, Any]:
    """A rule for ``matches`` with the backend ``name``."""
    return {"matches": list(matches), "backendRefs": [{"name": name, "port": 80}]}


def chosen(asked: Request, *routes: dict[str, Any]) -> str | None:
    """The name of the backend that ``asked`` gets."""
    rule = choose([(one, rules(one)) for one in routes], asked)
    backend = rule and rule.next()
    return backend.service if backend else None


def prefix(value: str) -> dict[str, Any]:
    """Matches by the beginning of the path."""
    return {"path": {"type": "PathPrefix", "value": value}}


PINNED = route(to("green", {**prefix("/v1"), "headers": [HEADER]}), to("any", prefix("/v1")))
BY_COOKIE = route(to("any", prefix("/v1")), to("green", {**prefix("/v1"), "headers": [COOKIE]}))


@pytest.mark.parametrize(
    ("asked", "of", "gets"),
    [
        (request(), PINNED, "any"),
        (request(x_slot="green"), PINNED, "green"),
        (request(x_slot="Green"), PINNED, "any"),
        (request("/v2/chat"), PINNED, None),
        (request("/v1"), PINNED, "any"),
        (request("/v11"), PINNED, None),
        (request(cookie="a=b; slot=green"), BY_COOKIE, "green"),
        (request(cookie="a=b; slot=greenish"), BY_COOKIE, "any"),
        (request("/v1/x"), route(to("short", prefix("/")), to("long", prefix("/v1"))), "long"),
        (request(), route(to("all")), "all"),
        (request(), route(to("get", {"method": "GET"}), to("post", {"method": "POST"})), "post"),
        (request(), route(to("it"), hostnames=["*.example.com"]), "it"),
        (request(host="example.com"), route(to("it"), hostnames=["*.example.com"]), None),
    ],
)
def test_the_most_specific_match_decides(
    asked: Request, of: dict[str, Any], gets: str | None
) -> None:
    """Header names have no case, values have; a prefix ends where a segment ends."""
    assert chosen(asked, of) == gets


def test_among_equals_the_older_route_decides() -> None:
    """Also where the younger one comes first."""
    assert chosen(request(), route(to("young"), created="2"), route(to("old"))) == "old"


@given(st.lists(st.integers(0, 100), min_size=1, max_size=4), st.integers(1, 3))
def test_backends_get_what_their_weights_say(weights: list[int], rounds: int) -> None:
    """To the request, whenever the sum of the weights is full."""
    own = [{"name": f"b{index}", "weight": one} for index, one in enumerate(weights)]
    (rule,) = rules(route({"backendRefs": own}))

    if sum(weights):
        told = Counter(_named(rule) for _ in range(rounds * sum(weights)))
        assert [told[f"b{index}"] for index in range(len(own))] == [rounds * w for w in weights]
    else:
        assert rule.next() is None


def _named(rule: Rule) -> str:
    one = rule.next()
    assert one is not None
    return one.service


@given(st.integers(0, 100))
def test_a_mirror_gets_its_share(percent: int) -> None:
    """Of a hundred requests as many as it has per cent."""
    mirror = {"backendRef": {"name": "green"}, "percent": percent}
    (rule,) = rules(route({"filters": [{"type": "RequestMirror", "requestMirror": mirror}]}))

    assert sum(len(list(rule.copies())) for _ in range(100)) == percent


def test_what_a_route_names_is_known() -> None:
    """Its Services, and "" for one of another namespace, which it may not use."""
    away = {"backendRefs": [{"name": "a", "namespace": "other"}]}

    assert services(route(away, to("b"))) == {"", "b"}


def test_a_filter_that_nobody_follows_is_named() -> None:
    """A route is accepted as a whole or not at all."""
    assert "URLRewrite" in unsupported(route({"filters": [{"type": "URLRewrite"}]}))
    assert unsupported(PINNED) == ""
