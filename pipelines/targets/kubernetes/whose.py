"""Whose an object is: all applications and environments write as one field manager, so the API
server sees no conflict between them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.targets.kubernetes.facts import APPLICATION, ENVIRONMENT, labels
from release.errors import GreenlightError

WHOSE = (APPLICATION, ENVIRONMENT)
"""Labels that say of which application and environment an object is."""

REMEDY = "Give each application and each environment a namespace of its own (kubernetes.namespace)"


def why_theirs(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> str:
    """Whose what is ``found`` in the place of ``wanted`` is; empty where it is of the same
    application and environment, as far as it says, or nothing is found.
    """
    kind, meta = wanted["kind"], wanted["metadata"]
    theirs, ours = labels(found) if found else {}, labels(wanted)
    if all(theirs.get(key) in (None, ours.get(key, theirs.get(key))) for key in WHOSE):
        return ""
    who = " in ".join(theirs.get(key, "?") for key in WHOSE)
    where = f" in {meta['namespace']}" if "namespace" in meta else ""
    return f"{kind} {meta['name']}{where} belongs to {who}"


def require_ours(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """GreenlightError where what is ``found`` in the place of ``wanted`` is of another application
    or environment, which would lose it.
    """
    if why := why_theirs(found, wanted):
        raise GreenlightError(f"{why}: nothing of it was changed. {REMEDY}")
