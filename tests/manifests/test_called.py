"""What a cluster knows an application in an environment by is no other's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from manifests.gitops import render_controller
from manifests.model import Rendering
from manifests.render import render
from release.sections import Name
from tests.manifests.making import release, rendering, settings

URL = "https://git.example.com/o/r"
LONGEST = "a" + 15 * "-b"
"""Characters that a name may have, as many dashes among them as can be."""

PAIR = st.tuples(*2 * [st.from_regex(r"[a-d](-?[a-d]){1,5}", fullmatch=True)])


def called(application: str, environment: str, **git: Any) -> Rendering:
    """A release there; with ``git`` by a controller."""
    section = {"git": {"repository": URL, **git}} if git else {}
    there = rendering(release(), given=settings(**section))
    return replace(there, application=application, environment=environment)


@given(PAIR, PAIR)
def test_no_other_two_come_to_a_full_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Wherever the dashes are."""
    names = {called(*one).full_name, called(*other).full_name}

    assert len(names) == len({one, other})


def test_the_longest_full_name_is_one_of_an_object_and_a_labels_value() -> None:
    """RFC 1123's subdomain; 63 characters for a label's value, by Kubernetes."""
    assert TypeAdapter(Name).validate_python(LONGEST) == LONGEST
    longest = called(LONGEST, LONGEST).full_name

    assert len(longest) == 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", longest)


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_the_objects_of_a_controller_are_no_others(controller: str) -> None:
    """They all are in one namespace of the controller's."""
    one, other = (
        {
            (each.kind, each.name)
            for each in render_controller(called(*names, controller=controller))
        }
        for names in (("a-b", "c"), ("a", "b-c"))
    )

    assert one
    assert not one & other


def test_a_dashboard_is_no_others() -> None:
    """Grafana's sidecar writes those of every namespace into one folder, and knows each by its uid:
    letters, digits, dashes and at most 40 of them.
    """
    one, other = (dashboard(called(*names)) for names in (("a-b", "c"), ("a", "b-c")))
    longest = dashboard(called(LONGEST, LONGEST))

    assert one[0] != other[0]
    assert one[1] != other[1]
    assert re.fullmatch(r"[-a-zA-Z0-9]{1,40}", longest[1])


def dashboard(one: Rendering) -> tuple[str, str]:
    """Its file and its uid."""
    (made,) = (each.object for each in render(one) if each.name == f"{one.application}-dashboard")
    ((file, text),) = made["data"].items()
    return file, json.loads(text)["uid"]


@pytest.mark.parametrize("git", [{"controller": "argocd"}, {"controller": "argocd", "name": "x"}])
def test_every_object_of_a_folder_carries_the_name_of_what_controls_it(git: dict[str, str]) -> None:
    """Argo CD may take this label for its own mark, and what has another for somebody else's."""
    there = called("assist", "production", **git)
    (controller,) = render_controller(there)

    marks = {
        one.object["metadata"]["labels"].get("app.kubernetes.io/instance") for one in render(there)
    }

    assert marks == {controller.name}
