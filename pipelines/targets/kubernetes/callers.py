"""Whose keys the pods of an environment know: a ConfigMap of digests, which no file holds.

Keys belong to the machines that ship. One that has keys of its own adds their digests to those that
are there, and takes none away: it cannot know that a key which is not its own is nobody's any more.
A key is taken back by who edits the ConfigMap, and removes its file so that it does not come back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from manifests.model import INSTANCE, Rendering
from pipelines.targets.kubernetes.api import Api, again
from pipelines.targets.kubernetes.facts import labels
from release.errors import BadInput
from serving.gateway.callers import Callers
from serving.gateway.watched import parse

FILE = "callers.json"
ROLES = ("tester", "operator")
"""Who may pin and mark. Users need no key of ours: the platform's gateway lets them in."""

SHORT = 12
"""Hexadecimal digits of a digest in a caller's name, of which there is one each."""


def callers_config_map(
    r: Rendering, digests: Mapping[str, str], there: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The ConfigMap that the pods of ``r`` mount. ``digests``: role → SHA-256 of its key.

    ``there`` is the one in the cluster, whose callers stay. BadInput where it cannot be read: to
    write over it would lock others out.
    """
    ours = {sha256: role for role, sha256 in digests.items() if role in ROLES}
    roles = _known(r, there) | ours
    callers = [
        {"name": f"{role}-{sha256[:SHORT]}", "role": role, "sha256": sha256}
        for sha256, role in sorted(roles.items(), key=lambda one: (one[1], one[0]))
    ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": r.callers_name, "namespace": r.namespace, "labels": r.labels_apart},
        "data": {FILE: json.dumps({"callers": callers}, indent=1)},
    }


def let_in(api: Api, r: Rendering, digests: Mapping[str, str]) -> None:
    """From now on the pods of ``r`` know the keys of ``digests`` as well. Safe to repeat."""

    def attempt() -> None:
        there = api.get("ConfigMap", r.callers_name, r.namespace)
        wanted = callers_config_map(r, digests, there)
        if there is None:
            api.create(wanted)
        elif there.get("data") != wanted["data"] or INSTANCE in labels(there):
            # no apply: whoever took a key back by hand owns the field, and what they left stays.
            # By the label, which an earlier build put there, Argo CD may prune it.
            version = there["metadata"]["resourceVersion"]
            meta = {"labels": {INSTANCE: None}, "resourceVersion": version}
            patch = {"metadata": meta, "data": wanted["data"]}
            api.patch("ConfigMap", r.callers_name, r.namespace, patch)

    again(attempt)


def _known(r: Rendering, there: Mapping[str, Any] | None) -> dict[str, str]:
    """SHA-256 → role."""
    if there is None:
        return {}
    where = f"ConfigMap {r.callers_name} in namespace {r.namespace}, {FILE}"
    try:
        content = json.loads((there.get("data") or {}).get(FILE, ""))
    except ValueError:
        content = None
    try:
        return {one.sha256: one.role for one in parse(Callers, content, where).callers}
    except BadInput as error:
        remedy = "Delete the ConfigMap: `greenlight ship` makes it anew, with this machine's keys."
        problems = (replace(one, remedy=remedy) for one in error.problems)
        raise BadInput(*problems) from None
