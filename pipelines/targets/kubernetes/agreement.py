"""Whether Git and the cluster say the same: for ``status``, which shows where they do not (S05)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from manifests.gitops import OURS
from pipelines.gitops.repository import Folder
from pipelines.gitops.writer import routing_in_git
from pipelines.targets.kubernetes.drift import drift, drift_lines
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.kinds import KINDS, resource


def disagreements(ground: Ground, folder: Folder) -> tuple[str, ...]:
    """A line for each: who is live, then every field and object. Weights of a rollout are none."""
    read = {name: _object(text) for name, text in _ours(folder)}
    wanted = [one for one in read.values() if one and one["kind"] in KINDS]
    torn = [f"{name} in Git is no object that can be read" for name in read if read[name] is None]
    live = {}
    for one in wanted:
        name, namespace = one["metadata"]["name"], one["metadata"].get("namespace", "")
        if found := ground.api.get(resource(one), name, namespace):
            live[one["kind"], name] = found
    return (*_live(ground, folder), *torn, *drift_lines(drift(wanted, live)))


def _live(ground: Ground, folder: Folder) -> Iterator[str]:
    """In a rollout two have weight: Git still says who had it before, as it should."""
    git, cluster = routing_in_git(folder, ground.application), ground.routing()
    says, has = dict(git.weights), dict(cluster.weights)
    if len(has) == 1 and says != has:
        named = " and ".join(says) or "nobody"
        yield f"Git says that {named} is live, the cluster sends everybody to {next(iter(has))}"


def _ours(folder: Folder) -> list[tuple[str, str]]:
    """Names and texts of what Greenlight has written; what it does not know is not its business."""
    return [one for one in sorted(folder.files.items()) if OURS.fullmatch(one[0])]


def _object(text: str) -> Mapping[str, Any] | None:
    """None for what somebody has spoiled, such as by a merge that went wrong."""
    try:
        one = yaml.safe_load(text)
        named = isinstance(one["kind"], str) and isinstance(one["metadata"]["name"], str)
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return one if named else None
