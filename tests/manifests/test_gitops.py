"""What makes a controller follow a folder, and the list by which it reads it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from manifests.gitops import index, render_controller, watched
from manifests.model import Rendering
from manifests.render import render, render_shell
from release.errors import BadInput
from tests.manifests.making import release, rendering, settings

URL = "https://git.example.com/o/r"


def by_git(controller: str, **given: Any) -> Rendering:
    """An environment by Git; ``git`` holds more of that section."""
    git = {"repository": URL, "controller": controller, **given.pop("git", {})}
    return rendering(release(), given=settings(git=git, **given))


def test_an_environment_without_git_has_none() -> None:
    assert render_controller(rendering(release())) == ()


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_no_folder_has_what_belongs_to_the_cluster(controller: str) -> None:
    """A controller would lay our namespace over whatever has its name, and Argo CD lets one folder
    alone have the class, which all stand on. A patch of either is still one.
    """
    patch = {"kind": "Namespace", "name": "*", "patch": {"metadata": {"labels": {"a": "b"}}}}
    one = by_git(controller, patches=[patch])

    assert not {"Namespace", "PriorityClass"} & {each.kind for each in render(one)}
    made = {each.kind: each.object["metadata"] for each in render_shell(one)}
    assert made["Namespace"]["labels"]["a"] == "b"
    assert "annotations" not in made["PriorityClass"]


@pytest.mark.parametrize(
    ("controller", "expected"),
    [("argocd", ("assist.production", "argocd")), ("flux", ("assist.production", "flux-system"))],
)
def test_it_is_where_the_controller_looks(controller: str, expected: tuple[str, str]) -> None:
    """And where the section says, if it does."""
    one = by_git(controller)
    metas = [each.object["metadata"] for each in render_controller(one)]
    assert watched(one) == expected
    assert {(meta["name"], meta["namespace"]) for meta in metas} == {expected}

    other = by_git(controller, git={"name": "x", "namespace": "y"})
    assert watched(other) == ("x", "y")


def test_s05_argo_cd_is_told_to_leave_live_weights_alone() -> None:
    """Both in what it compares and in what it applies."""
    (application,) = (one.object for one in render_controller(by_git("argocd")))
    (ignored,) = application["spec"]["ignoreDifferences"]

    assert (ignored["kind"], ignored["name"]) == ("HTTPRoute", "assist")
    assert ignored["jqPathExpressions"] == [".spec.rules"]
    assert ignored["managedFieldsManagers"] == ["greenlight"]
    assert {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= set(
        application["spec"]["syncPolicy"]["syncOptions"]
    )


def test_s05_flux_is_told_to_leave_the_route_alone() -> None:
    """By a mark on the route; with Argo CD, or without Git, there is none."""
    mark = "kustomize.toolkit.fluxcd.io/ssa"
    by = {
        name: next(one.object for one in render(each) if one.kind == "HTTPRoute")["metadata"]
        for name, each in (("flux", by_git("flux")), ("argocd", by_git("argocd")))
    }

    assert by["flux"]["annotations"] == {mark: "IfNotPresent"}
    assert "annotations" not in by["argocd"]


def test_what_an_autoscaler_sets_is_in_no_file() -> None:
    """Or the controller would put it back."""
    one = by_git("flux")
    scaled = {
        each.object["spec"]["scaleTargetRef"]["name"]
        for each in render(one)
        if each.kind in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    specs = {each.name: each.object["spec"] for each in render(one) if each.kind == "Deployment"}

    assert scaled
    assert not [name for name in scaled if "replicas" in specs[name]]


def test_a_patch_reaches_the_controllers_object_and_the_others_alike() -> None:
    """Each kind where it belongs; without Git there is no such object to patch."""
    to_application = {"kind": "Application", "name": "assist.production",
                      "patch": {"spec": {"destination": {"server": "https://far"}}}}  # fmt: skip
    to_service = {"kind": "Service", "name": "assist-blue",
                  "patch": {"metadata": {"annotations": {"a": "b"}}}}  # fmt: skip
    both = by_git("argocd", patches=[to_application, to_service])

    assert render_controller(both)[0].object["spec"]["destination"]["server"] == "https://far"
    services = [one.object["metadata"] for one in render(both) if one.kind == "Service"]
    assert {"a": "b"} in [meta.get("annotations") for meta in services]
    with pytest.raises(BadInput, match=r"Application/assist\.production"):
        render(rendering(release(), given=settings(patches=[to_application])))


def test_flux_gets_an_address_that_it_takes() -> None:
    """It knows no ``git@HOST:PATH``."""
    one = by_git("flux", git={"repository": "git@github.com:o/r.git"})

    assert render_controller(one)[0].object["spec"]["url"] == "ssh://git@github.com/o/r.git"


def test_the_list_is_in_order_and_keeps_what_is_not_ours() -> None:
    before = "resources: [02-service-old.yaml, extra.yaml, ../shared]\nimages: [{name: a}]\n"
    made = yaml.safe_load(
        index(["04-deployment-b.yaml", "note.txt", "00-namespace-a.yaml"], before)
    )

    expected = ["00-namespace-a.yaml", "04-deployment-b.yaml", "extra.yaml", "../shared"]
    assert made["resources"] == expected
    assert made["images"] == [{"name": "a"}]
    assert made["kind"] == "Kustomization"


def test_a_list_made_twice_is_the_same() -> None:
    once = index(["00-namespace-a.yaml"])

    assert index(["00-namespace-a.yaml"], once) == once


@pytest.mark.parametrize("before", ["[a, b]", "resources: x", "a: [", "text"])
def test_a_list_that_is_none_is_refused_by_its_line(before: str) -> None:
    with pytest.raises(BadInput, match=r"kustomization\.yaml:1"):
        index((), before)
