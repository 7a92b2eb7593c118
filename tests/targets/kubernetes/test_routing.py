"""The route says who gets how much, and what it may not say is refused before it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.render import render_route
from pipelines.targets.kubernetes.routing import (
    Routing,
    read_route,
    require_possible,
    why_not_accepted,
)
from release.errors import GreenlightError
from tests.manifests.making import rendering

READY = {"blue": "ready", "green": "ready", "new": "starting", "bad": "failed"}


@given(st.integers(0, 100), st.integers(0, 100), st.booleans())
def test_what_is_rendered_is_what_is_read(weight: int, percent: int, mirrored: bool) -> None:
    """Slots, weights and mirror come back from the HTTPRoute as they were put in."""
    weights = {"blue": 100 - weight, "green": weight}
    mirror = {"green": percent} if mirrored and not weight and percent else {}
    wanted = replace(rendering(), known=("blue", "green"), weights=weights, mirror=mirror)

    found = read_route(render_route(wanted).object, wanted.application)

    live = {slot: one for slot, one in weights.items() if one}
    assert found == Routing(("blue", "green"), live, mirror)


def test_a_route_without_a_slot_leads_nowhere() -> None:
    """It is there from provisioning on."""
    route = render_route(rendering()).object

    assert read_route(route, "assist") == Routing()
    assert route["spec"]["rules"]


REFUSED: dict[str, tuple[dict[str, int], dict[str, int], str]] = {
    "S12 too little": ({"blue": 50}, {}, "total 50"),
    "S12 too much": ({"blue": 60, "green": 60}, {}, "total 120"),
    "S12 below zero": ({"blue": 110, "green": -10}, {}, "0 to 100"),
    "a slot that is not there": ({"nobody": 100}, {}, "no slot nobody"),
    "S02 one that starts": ({"blue": 50, "new": 50}, {}, "new is starting"),
    "S02 one that has failed": ({"bad": 100}, {}, "bad is failed"),
    "a mirror with weight": ({"blue": 100}, {"blue": 10}, "answer twice"),
    "a mirror that is not ready": ({"blue": 100}, {"new": 10}, "new"),
    "two mirrors": ({}, {"blue": 10, "green": 10}, "one slot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_cannot_be_are_refused(case: str) -> None:
    weights, mirror, says = REFUSED[case]

    with pytest.raises(GreenlightError, match=says):
        require_possible(weights, mirror, READY)


@pytest.mark.parametrize("weights", [{}, {"blue": 100}, {"blue": 30, "green": 70}])
def test_weights_that_can_be_are_not(weights: dict[str, int]) -> None:
    require_possible(weights, {}, READY)


def route(generation: int, *conditions: dict[str, Any]) -> dict[str, Any]:
    """As a gateway has written its status."""
    parents = [{"parentRef": {"name": "greenlight"}, "conditions": list(conditions)}]
    return {"metadata": {"generation": generation}, "status": {"parents": parents}}


def said(kind: str, status: str, seen: int = 3, message: str = "") -> dict[str, Any]:
    """A condition."""
    return {"type": kind, "status": status, "observedGeneration": seen, "message": message}


ACCEPTED: dict[str, tuple[dict[str, Any], str]] = {
    "followed": (route(3, said("Accepted", "True"), said("ResolvedRefs", "True")), ""),
    "an older one is": (route(4, said("Accepted", "True")), "not seen its last change"),
    "refused": (route(3, said("Accepted", "False", message="no such host")), "no such host"),
    "a service is missing": (route(3, said("ResolvedRefs", "False", message="gone")), "gone"),
    "nobody has said anything": ({"metadata": {"generation": 1}}, "said nothing"),
    "another gateway has": (
        {"metadata": {}, "status": {"parents": [{"parentRef": {"name": "other"}}]}},
        "said nothing",
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_route_is_followed_when_its_gateway_says_so(case: str) -> None:
    """Of this very generation."""
    written, says = ACCEPTED[case]

    found = why_not_accepted(written, "greenlight")

    assert (says in found) if says else (found == "")
