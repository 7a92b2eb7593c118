"""Git for an environment: the controller's own objects, and the list that orders a folder.

The division with live traffic is in here. Git holds the HTTPRoute, so that it says which slot
should be live and so that a cluster made anew gets a route; what it carries afterwards is
Greenlight's, and both controllers leave it alone:

- Argo CD compares everything but the route's rules, and lays the live ones over Git's when it
  applies the rest (``RespectIgnoreDifferences``).
- Flux creates the route where there is none and never touches it again (its annotation ``ssa:
  IfNotPresent``). Its newer ``spec.ignore`` would not do: Flux gives up a field that it ignores
  from the second apply on, and a field that nobody else owns by then is removed from the object.

Replicas of what an autoscaler scales are not rendered at all, so nobody fights over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from manifests.model import Piece, Rendering
from manifests.render import CONTROLLER_KINDS, Rendered, finished
from release.errors import BadInput, Problem
from release.git_section import Git

INDEX = "kustomization.yaml"
"""What Flux and Argo CD read first: the folder's files, in order."""

OURS = re.compile(r"[0-9]{2}-[a-z]+-[a-z0-9.-]+\.yaml")
"""Names as ``Rendered.file`` gives them."""

NAMESPACES = {"argocd": "argocd", "flux": "flux-system"}


def watched(rendering: Rendering) -> tuple[str, str]:
    """Name and namespace of the controller's object. The environment needs ``git``."""
    git = _git(rendering)
    return rendering.controlled_as, git.namespace or NAMESPACES[git.controller]


def render_controller(rendering: Rendering) -> tuple[Rendered, ...]:
    """The controller's own objects, which somebody applies once; none without ``git``.

    They are not part of the folder that they make the controller follow: it would manage itself.
    """
    if rendering.settings.git is None:
        return ()
    return finished(rendering, _pieces(rendering), lambda kind: kind in CONTROLLER_KINDS)


def _pieces(r: Rendering) -> Iterator[Piece]:
    git = _git(r)
    name, namespace = watched(r)
    values = {"r": r, "git": git, "name": name, "namespace": namespace}
    if git.controller == "argocd":
        yield "Application", name, "argo-application", values
    else:
        yield "GitRepository", name, "flux-source", {**values, "url": _url(git.repository)}
        yield "Kustomization", name, "flux-kustomization", values


def _git(r: Rendering) -> Git:
    assert r.settings.git is not None, "asked for by environments with git alone"  # noqa: S101
    return r.settings.git


def _url(repository: str) -> str:
    """As Flux takes it, which knows no ``git@HOST:PATH``."""
    found = re.fullmatch(r"([\w.-]+@[A-Za-z0-9.-]+):(.+)", repository)
    return f"ssh://{found[1]}/{found[2]}" if found else repository


def index(names: Iterable[str], before: str = "") -> str:
    """``kustomization.yaml`` over the rendered ``names``, in order.

    What somebody else wrote into the one from ``before`` stays: other keys, and resources that
    are not named as ours are. BadInput where that is not a mapping.
    """
    kept = _read(before)
    listed = kept.get("resources") or []
    others = [one for one in listed if not (isinstance(one, str) and OURS.fullmatch(one))]
    ours = sorted(one for one in names if OURS.fullmatch(one))
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    made = {**head, **kept, "resources": [*ours, *others]}
    return yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def _read(text: str) -> dict[str, Any]:
    """A complaint names the line alone: what stands there is somebody else's."""
    try:
        found = yaml.safe_load(text) or {}
        if isinstance(found, dict) and isinstance(found.get("resources") or [], list):
            return found
        line = 1
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
    remedy = "Put it right, or remove it: it is written anew."
    raise BadInput(
        Problem("a mapping with a list of resources", "something else", remedy, INDEX, line)
    )
