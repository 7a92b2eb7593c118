"""A difference is what matters: no noise of the API server's, and no secret."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.model import own
from manifests.render import merge, render, render_shell
from pipelines.targets.kubernetes.diff import (
    HIDDEN,
    Change,
    Field,
    changes,
    concealed,
    difference,
    fields,
)
from pipelines.targets.kubernetes.diff_text import document, markdown, terminal
from pipelines.targets.kubernetes.refusals import OwnedError, UnreachableError
from tests.manifests.making import release, rendering

Object = Mapping[str, Any]

HISTORY = {
    "metadata": {
        "uid": "1", "resourceVersion": "12", "generation": 4, "creationTimestamp": "2026-01-01",
        "managedFields": [{"manager": "greenlight"}],
        "annotations": {"deployment.kubernetes.io/revision": "3", own("share"): "100"},
        "labels": {own("fence"): "7"},
    },
    "status": {"replicas": 2},
}  # fmt: skip
DEPLOYMENT = next(
    one.object for one in render(rendering(release())) if one.name == "assist-blue"
    and one.kind == "Deployment"
)  # fmt: skip
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}}


class Remembered:
    """A cluster of plain data. ``defaults`` is what its API server adds to every object."""

    def __init__(self, *objects: Object, defaults: Object | None = None) -> None:
        self.objects = {(one["kind"], one["metadata"]["name"]): one for one in objects}
        self.defaults, self.applied = defaults or {}, 0
        self.error: Exception | None = None

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """What was put there."""
        found = self.objects.get((kind, name))
        return None if found is None else copy.deepcopy(dict(found))

    def apply(
        self, one: Object, *, dry_run: bool = False, manager: str = "greenlight"
    ) -> dict[str, Any]:
        """The object over what is there."""
        assert dry_run, "a difference writes nothing"
        self.applied += 1
        if self.error:
            raise self.error
        before = self.get(one["kind"], one["metadata"]["name"]) or {}
        found: dict[str, Any] = merge(merge(before, self.defaults), one)
        return found


def test_what_the_api_server_writes_by_itself_is_no_difference() -> None:
    assert difference(merge(DEPLOYMENT, HISTORY), DEPLOYMENT).what == "same"


def test_a_changed_object_says_which_fields_from_what_to_what() -> None:
    """Containers are known by their names."""
    after = copy.deepcopy(DEPLOYMENT)
    after["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    after["metadata"]["labels"]["example.com/team"] = "a"
    found = difference(DEPLOYMENT, after)

    assert found.what == "changed"
    assert found.fields == (
        Field("metadata.labels['example.com/team']", None, "a"),
        Field(
            "spec.template.spec.containers[application].image",
            DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]["image"],
            "other",
        ),
    )


def test_nothing_before_is_added_and_nothing_after_is_removed() -> None:
    assert difference(None, DEPLOYMENT).what == "added"
    assert difference(DEPLOYMENT, None).what == "removed"
    with pytest.raises(ValueError, match="before or after"):
        difference(None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from("xyz"), one),
)


@given(JSON, JSON)
def test_there_are_fields_where_two_values_differ_and_only_there(before: Any, after: Any) -> None:
    """Whatever they are; nothing and an absent key are alike."""
    found = [*fields(before, after)]

    assert all(one.before != one.after for one in found)
    if before == after:
        assert not found


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"data": {"a": "c2VjcmV0"}}, {"data": {"a": "c2VjcmV0"}, "x": 1}, (HIDDEN, HIDDEN)),
        ({"data": {"a": "c2VjcmV0"}}, {"data": {"a": "b3RoZXI="}}, (HIDDEN, "another")),
        ({"stringData": {"a": "secret"}}, {"stringData": {"a": "other"}}, (HIDDEN, "another")),
        ({}, {"data": {"a": "c2VjcmV0"}}, ("", HIDDEN)),
        ({"data": {"a": "c2VjcmV0"}}, {}, (HIDDEN, "")),
    ],
)
def test_a_secrets_values_are_nowhere(before: Any, after: Any, lines: tuple[str, str]) -> None:
    """Neither in what is shown, nor in what a program reads; that one differs is."""
    found = difference({**SECRET, **before}, {**SECRET, **after})
    shown = terminal([found]) + markdown([found], "x") + json.dumps(document([found]))

    assert found.what == "changed"
    assert not any(one in shown for one in ("c2VjcmV0", "b3RoZXI=", "secret\n", '"secret"'))
    assert lines[0] in str(found.before)
    assert lines[1] in str(found.after)


def test_a_secret_that_comes_or_goes_is_hidden_too() -> None:
    one = {**SECRET, "data": {"a": "c2VjcmV0"}}

    assert "c2VjcmV0" not in terminal([difference(None, one), difference(one, None)])
    assert "c2VjcmV0" not in markdown([difference(None, one), difference(one, None)], "x")


def test_a_credential_that_stands_in_another_object_is_taken_out() -> None:
    """Somebody had put it there by hand; that it goes is still seen."""
    key = "AccountKey=" + "a" * 86 + "=="
    old, new = ({"env": [{"name": "K", "value": f"{key}{end}"}]} for end in ("", ";x"))
    before, after = concealed(old, new)

    assert key not in str(before) + str(after)
    assert before != after


def test_every_object_is_tried_and_defaults_are_no_change() -> None:
    """The API server's own answer is compared with what is there."""
    wanted = render(rendering(release()))
    defaults = {"metadata": {"annotations": {"by": "admission"}}}
    there = [merge(one.object, merge(defaults, HISTORY)) for one in wanted]
    found = changes(Remembered(*there, defaults=defaults), wanted)

    assert {one.what for one in found} == {"same"}


def test_what_is_new_is_shown_as_it_is_rendered() -> None:
    wanted = render(rendering(release()))
    namespace = wanted[0].object
    cluster = Remembered(namespace, defaults={"metadata": {"annotations": {"by": "admission"}}})
    found = changes(cluster, wanted)

    assert [one.what for one in found[1:]] == ["added"] * (len(wanted) - 1)
    assert "admission" not in str(found[1:])
    assert cluster.applied == len(wanted)


def test_in_a_namespace_that_is_still_to_be_made_nothing_can_be_tried() -> None:
    """It is shown all the same; what is in no namespace is tried."""
    wanted = render(rendering(release()))
    cluster = Remembered()

    assert {one.what for one in changes(cluster, wanted)} == {"added"}
    assert cluster.applied == sum("namespace" not in one.object["metadata"] for one in wanted)


def test_what_the_api_server_would_refuse_is_said_beside_the_rest() -> None:
    """With its reason; whoever reads it knows before anything is applied."""
    wanted = render_shell(rendering(release()))
    cluster = Remembered(*(one.object for one in wanted))
    cluster.error = OwnedError("spec.rules belongs to argocd")
    found = changes(cluster, wanted)

    assert {one.what for one in found} == {"refused"}
    assert "belongs to argocd" in terminal(found)


def test_a_server_that_does_not_answer_is_no_difference() -> None:
    cluster = Remembered(render(rendering(release()))[0].object)
    cluster.error = UnreachableError("away")

    with pytest.raises(UnreachableError):
        changes(cluster, render(rendering(release())))


def test_a_change_is_a_value() -> None:
    """Equal ones are equal."""
    assert difference(DEPLOYMENT, DEPLOYMENT) == Change("same", "Deployment", "assist-blue")
