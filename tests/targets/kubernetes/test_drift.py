"""Drift: what we rendered and somebody changed in the cluster, with who did."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from manifests.render import render
from pipelines.gitops.repository import Folder
from pipelines.targets.kubernetes.agreement import disagreements
from pipelines.targets.kubernetes.drift import Drift, drift, drift_lines, equal
from pipelines.targets.kubernetes.ground import Ground
from tests.manifests.making import release, rendering, settings
from tests.manifests.variants import VARIANTS
from tests.targets.kubernetes.memory import MemoryApi

WHOLE = {
    "kind": "NetworkPolicy", "name": "assist-deny",
    "patch": {"spec": {"podSelector": {"matchLabels": None}}},
}  # fmt: skip
"""A team closes all pods of its namespace."""

BOTH = rendering(release(), release("b"), weights={"blue": 100}, given=settings(patches=[WHOLE]))
WANTED = [one.object for one in render(BOTH)]


def live(change: Callable[[dict[str, Any]], Any] = lambda one: None, kind: str = "Deployment",
         name: str = "assist-blue") -> dict[tuple[str, str], dict[str, Any]]:  # fmt: skip
    """The cluster as it was rendered, but for what ``change`` does to one object."""
    found = {(one["kind"], one["metadata"]["name"]): copy.deepcopy(one) for one in WANTED}
    change(found[kind, name])
    return found


def container(one: dict[str, Any]) -> dict[str, Any]:
    """The one container."""
    found: dict[str, Any] = one["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_as_it_was_rendered_has_not_drifted(name: str) -> None:
    objects = [one.object for one in render(VARIANTS[name])]

    assert drift(objects, {(one["kind"], one["metadata"]["name"]): one for one in objects}) == ()


def weights(route: dict[str, Any]) -> None:
    """As in mid-rollout."""
    rule = route["spec"]["rules"][-1]
    for one, weight in zip(rule["backendRefs"], (95, 5), strict=True):
        one["weight"] = weight
    rule["filters"] = [{"type": "RequestMirror", "requestMirror": {"percent": 10}}]


NO_DRIFT: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
    ("Deployment", "assist-blue", lambda one: one["spec"].update(replicas=7)),
    ("Deployment", "assist-blue", lambda one: one.update(status={"replicas": 7})),
    ("Deployment", "assist-blue", lambda one: container(one).update(terminationMessagePath="x")),
    ("Deployment", "assist-blue",
     lambda one: one["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"})),
    ("Deployment", "assist-blue", lambda one: one["metadata"]["labels"].update({"a": "b"})),
    ("Deployment", "assist-blue",
     lambda one: container(one)["resources"]["requests"].update(cpu="0.25")),
    ("HTTPRoute", "assist", weights),
    ("NetworkPolicy", "assist-deny", lambda one: one["spec"].update(podSelector=None)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "change"), NO_DRIFT)
def test_what_others_may_write_is_no_drift(kind: str, name: str, change: Any) -> None:
    """Pods, weights, mirrors, defaults, sidecars, labels of others, quantities said otherwise."""
    assert drift(WANTED, live(change, kind, name)) == ()


def by_hand(one: dict[str, Any]) -> None:
    """``kubectl edit``, as the API server records it."""
    container(one)["image"] = "other"
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:containers": {
        'k:{"name":"application"}': {".": {}, "f:image": {}}}}}}}  # fmt: skip
    one["metadata"]["managedFields"] = [
        {"manager": "greenlight", "operation": "Apply", "fieldsV1": {"f:metadata": {}}},
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": fields},
    ]


def test_a_field_that_somebody_changed_is_told_with_who_owns_it() -> None:
    (found,) = drift(WANTED, live(by_hand))

    assert found.path == "spec.template.spec.containers[application].image"
    assert (found.found, found.managers) == ("other", ("kubectl-edit",))
    (line,) = drift_lines([found])
    assert line.startswith("Deployment/assist-blue spec.template.spec.containers[application]")
    assert line.endswith(", by kubectl-edit")


def test_an_owner_of_the_whole_owns_every_part() -> None:
    """Rules of a route are one field to the API server."""

    def change(route: dict[str, Any]) -> None:
        route["spec"]["rules"][0]["matches"][0]["path"]["value"] = "/"
        route["metadata"]["managedFields"] = [
            {"manager": "argocd", "fieldsV1": {"f:spec": {"f:rules": {}}}}
        ]

    (found,) = drift(WANTED, live(change, "HTTPRoute", "assist"))
    assert (found.path, found.managers) == ("spec.rules[0].matches[0].path.value", ("argocd",))


def test_what_was_taken_away_is_drift_and_nobodys() -> None:
    (found,) = drift(WANTED, live(lambda one: container(one).pop("livenessProbe")))

    assert found.path == "spec.template.spec.containers[application].livenessProbe"
    assert (found.found, found.managers) == (None, ())
    assert "is not there, not {" in drift_lines([found])[0]


def test_an_item_that_is_missing_from_a_list_is_drift() -> None:
    def change(one: dict[str, Any]) -> None:
        container(one)["volumeMounts"].pop()

    assert [one.path for one in drift(WANTED, live(change))] == [
        "spec.template.spec.containers[application].volumeMounts[tmp]"
    ]


def test_an_object_that_is_not_there_is_missing() -> None:
    there = live()
    del there["NetworkPolicy", "assist-deny"]

    assert drift(WANTED, there) == (Drift("NetworkPolicy", "assist-deny"),)
    assert drift_lines(drift(WANTED, there)) == ["NetworkPolicy/assist-deny is missing"]


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("1", "1000m", True), ("1Gi", "1024Mi", True), ("0.5", "500m", True), ("1G", "1Gi", False),
        ("1", "2", False), ({}, None, True), ([], None, True), (0, None, False),
        (False, None, False), ("a", "b", False),
    ],
)  # fmt: skip
def test_equal_is_what_the_api_server_takes_for_equal(wanted: Any, found: Any, same: bool) -> None:
    assert equal(wanted, found) is same


def test_a_line_shows_no_more_than_the_beginning_of_a_value() -> None:
    """A dashboard is one text; control characters are written out."""
    (line,) = drift_lines([Drift("ConfigMap", "c", "data.x", "\x1b" * 500, "b")])

    assert len(line) < 200
    assert "\x1b" not in line


@pytest.mark.parametrize(("there", "is_missing"), [("azure", False), ("operator", True)])
def test_s05_a_monitor_of_another_group_is_another_object(there: str, is_missing: bool) -> None:
    """Azure's collector reads its own alone."""
    azures, found = (
        next(one for one in render(replace(BOTH, settings=settings(monitors=monitors)))
             if one.kind == "PodMonitor")
        for monitors in ("azure", there)
    )  # fmt: skip

    told = disagreements(
        Ground("assist", "production", settings(), 30, MemoryApi(found.object)),
        Folder("a" * 40, {azures.file: azures.text}),
    )

    assert (f"PodMonitor/{azures.name} is missing" in told) is is_missing


@pytest.mark.parametrize(
    "text", ["<<<<<<< HEAD\nkind: [", "kind: Service\n", "kind: Service\nmetadata: x\n"]
)
def test_s05_a_file_in_git_that_is_no_object_any_more_is_told_beside_the_rest(text: str) -> None:
    """Somebody's merge went wrong: `status` is what people look at then."""
    wanted = next(one for one in render(BOTH) if one.kind == "ServiceAccount")
    bad = next(one for one in render(BOTH) if one.kind == "Service")
    files = {wanted.file: wanted.text, bad.file: text}

    told = disagreements(
        Ground("assist", "production", settings(), 30, MemoryApi()), Folder("a" * 40, files)
    )

    assert f"{bad.file} in Git is no object that can be read" in told
    assert f"ServiceAccount/{wanted.name} is missing" in told
