"""A target renders parts: the shell once, a slot with what serves it, the route by its weights."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from manifests.model import Rendering, own
from manifests.render import (
    Rendered,
    followed,
    pinning,
    render,
    render_route,
    render_server,
    render_shell,
    render_slot,
)
from release.errors import BadInput
from tests.manifests.making import release, rendering, settings
from tests.manifests.variants import VARIANTS


@pytest.mark.parametrize("name", VARIANTS)
def test_the_parts_are_the_whole(name: str) -> None:
    """Byte for byte, and nothing is in two of them but a model server that slots share."""
    one = VARIANTS[name]
    slots = [each for slot in one.slots for each in render_slot(one, slot.name)]
    shell = render_shell(one)
    there = followed(shell) if one.settings.git else shell

    assert {*there, *slots, render_route(one)} == {*render(one)}
    assert not {*shell} & {*slots}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_shell_is_the_same_whatever_is_in_the_slots(name: str) -> None:
    """So that a rollout never touches it."""
    one = VARIANTS[name]

    assert render_shell(one) == render_shell(replace(one, slots=(), weights={}))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_slot_is_the_same_whatever_is_beside_it(name: str) -> None:
    """Deploying green writes nothing of blue's."""
    one = VARIANTS[name]
    for slot in one.slots:
        assert render_slot(one, slot.name) == render_slot(replace(one, slots=(slot,)), slot.name)


def test_a_part_knows_no_slot_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        render_slot(rendering(release()), "green")


def names(rendered: tuple[Rendered, ...], kind: str) -> list[str]:
    """The objects of a kind."""
    return [one.name for one in rendered if one.kind == kind]


def test_a_server_is_what_is_behind_a_slot() -> None:
    one = rendering(release(), release(threads=4))

    (server,) = names(render_server(one, "green"), "Deployment")
    assert server == one.slot("green").server_name
    assert {*render_server(one, "green")} < {*render_slot(one, "green")}


def test_a_dedicated_server_is_its_slots_own() -> None:
    """Two slots with equal flags and weights do not meet there."""
    alone = release(isolation="dedicated")
    one = rendering(alone, alone)
    blue, green = (slot.server_name for slot in one.slots)

    assert re.fullmatch("model-blue-[0-9a-f]{12}", blue)
    assert re.fullmatch("model-green-[0-9a-f]{12}", green)
    assert {blue, green} <= {*names(render(one), "Deployment")}


def test_a_slot_says_what_is_in_it_and_what_serves_it() -> None:
    """Whoever reads the cluster alone knows as much as the ledger."""
    one = rendering(release())
    (said,) = (
        each.object["metadata"]["annotations"]
        for each in render_slot(one, "blue")
        if (each.kind, each.name) == ("Deployment", "assist-blue")
    )

    held = one.slots[0].release
    assert said == {
        own("application"): "assist",
        own("label"): held.label,
        own("release"): held.digest,
        own("server"): one.slots[0].server_name,
    }


def patched(name: str, kind: str = "Deployment") -> Rendering:
    """Two slots, and a patch."""
    patch = {"kind": kind, "name": name, "patch": {"metadata": {"labels": {"team": "a"}}}}
    return rendering(release(), release("b"), given=settings(patches=[patch]))


def having(rendered: tuple[Rendered, ...]) -> set[str]:
    """Names of the objects that the patch changed."""
    return {one.name for one in rendered if "team" in one.object["metadata"]["labels"]}


def test_parts_are_patched_as_the_whole_is() -> None:
    """A patch of an object that is in another part is none of this one's."""
    one = patched("assist-green")

    assert having(render(one)) == having(render_slot(one, "green")) == {"assist-green"}
    assert having(render_slot(one, "blue")) == having(render_shell(one)) == set()
    assert having((render_route(patched("assist", "HTTPRoute")),)) == {"assist"}


def test_a_patch_of_many_objects_names_them_by_a_star() -> None:
    """A server's name holds a digest that nobody can know beforehand, and slots come and go."""
    assert having(render(patched("assist-*"))) == {"assist-blue", "assist-green"}
    (server,) = having(render(patched("model-*")))
    assert server.startswith("model-")


@pytest.mark.parametrize("name", ["assist-b", "blue", ".*", "assist.blue", "ASSIST-BLUE"])
def test_a_patch_means_whole_names_and_nothing_but_the_star(name: str) -> None:
    with pytest.raises(BadInput, match=r"patches\[0\]"):
        render(patched(name))


@pytest.mark.parametrize(
    ("patch", "lost"),
    [
        ({"kind": "Secret"}, "kind"),
        ({"apiVersion": "serving.knative.dev/v1"}, "API group"),
        ({"apiVersion": "v1"}, "API group"),
        ({"apiVersion": None}, "API group"),
        ({"apiVersion": 1}, "API group"),
        ({"metadata": {"name": "other"}}, "name"),
        ({"metadata": {"namespace": "kube-system"}}, "namespace"),
        ({"metadata": None}, "name and namespace and label app.kubernetes.io/name"),
        ({"metadata": "x"}, "name and namespace"),
        ({"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}, "label app.k.*/name"),
        ({"metadata": {"labels": {"greenlight.dev/slot": None}}}, "label greenlight.dev/slot"),
        ({"metadata": {"labels": None}}, "label app.kubernetes.io/name"),
    ],
)
def test_a_patch_makes_no_other_object_of_one(patch: dict[str, Any], lost: str) -> None:
    """It would be written where nobody looks, or found by nobody again."""
    given = settings(patches=[{"kind": "Deployment", "name": "assist-blue", "patch": patch}])

    with pytest.raises(BadInput, match=rf"patches\[0\]\.patch: .*another {lost}"):
        render(rendering(release(), given=given))


def test_a_patch_may_ask_for_another_version_of_an_interface() -> None:
    """Such as the older one of an operator that a platform still has."""
    patch = {"apiVersion": "policy/v1beta1"}
    given = settings(patches=[{"kind": "PodDisruptionBudget", "name": "*", "patch": patch}])
    rendered = render(rendering(release(), given=given))

    found = {one.object["apiVersion"] for one in rendered if one.kind == "PodDisruptionBudget"}
    assert found == {"policy/v1beta1"}


def test_a_prompt_that_no_configmap_can_hold_is_refused() -> None:
    """Before an API server does."""
    with pytest.raises(BadInput, match=r"prompt\.messages: .*1048576"):
        render(rendering(release("x" * (1 << 20))))


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ("slot.x=blue", True),
        ("a=b; slot.x=blue", True),
        ("a=b;slot.x=blue;c=d", True),
        ("slot.x=blue; c=d", True),
        ("slotyx=blue", False),
        ("my-slot.x=blue", False),
        ("slot.x=bluest", False),
        ("slot.x=green; a=slot.x=blue", False),
        ("", False),
    ],
)
def test_a_cookie_pins_its_own_slot_alone(header: str, matches: bool) -> None:
    """Whether a gateway asks for all of the header or for a part."""
    expression = pinning("slot.x", "blue")

    assert bool(re.fullmatch(expression, header)) is matches
    assert bool(re.search(expression, header)) is matches


def test_without_a_cookie_the_header_alone_pins() -> None:
    """Regular expressions are no part of what every gateway can do."""
    assert "RegularExpression" not in render_route(rendering(release())).text
