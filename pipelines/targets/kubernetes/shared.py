"""What a release changes at a model server that the slot beside it runs on.

The server is known by the model alone, so a setting that was changed since, such as memory or
replicas, reaches it with the next release that asks for it, whatever else that changes. The API
server says whether, by a dry run: its defaults and what others write into pods are no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.targets.kubernetes.diff import Change, Cluster, difference
from pipelines.targets.kubernetes.facts import Live
from pipelines.targets.kubernetes.refusals import ApiError, UnreachableError

Object = Mapping[str, Any]

NAMED = 3
"""Places that are told of all that differ."""


@dataclass(frozen=True)
class Changed:
    """The Deployment of a model server that ``slots`` ask, as it is and as it would be."""

    name: str
    slots: tuple[str, ...]
    before: Object
    after: Object

    @property
    def more(self) -> int:
        """The pods that come beside those that run: what replaces them comes first, and these go
        one by one.
        """
        old, new = self.before["spec"], self.after["spec"]
        surge = 0 if old["template"] == new["template"] else _surge(new)
        return max(0, int(new.get("replicas", 1)) + surge - int(old.get("replicas", 1)))

    def __str__(self) -> str:
        paths = [*_paths(difference(self.before, self.after))]
        left = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        slots = " and ".join(self.slots)
        return (
            f"it also changes {self.name}, which {slots} runs on: {', '.join(paths[:NAMED])}{left}"
        )


def changed(
    cluster: Cluster, live: Live, wanted: Iterable[Object], slot: str, manager: str
) -> Iterator[Changed]:
    """Those of the model servers among ``wanted``, for ``slot``, that others run on too, and that
    ``manager`` would write otherwise than they are. UnreachableError.
    """
    for one in wanted:
        name = one["metadata"]["name"]
        slots = live.asking(name, slot) if one["kind"] == "Deployment" else ()
        before = live.servers.get(name)
        after = _tried(cluster, one, manager) if slots and before else None
        if before and after and after["spec"] != before["spec"]:
            yield Changed(name, slots, before, after)


def with_slots_beside(live: Live, slot: str, found: Iterable[Change]) -> Iterator[Change]:
    """``found`` for ``slot``; changes of a model server say who runs on it already."""
    for one in found:
        slots = live.asking(one.name, slot) if one.kind == "Deployment" else ()
        yield replace(one, beside=slots) if [*_paths(one)] else one


def _paths(change: Change) -> Iterator[str]:
    """Where its pods, or how many they are, would be otherwise."""
    return (one.path for one in change.fields if one.path.startswith("spec."))


def _tried(cluster: Cluster, one: Object, manager: str) -> Object | None:
    """What the API server refuses now it refuses in the deploy, which says so."""
    try:
        return cluster.apply(one, dry_run=True, manager=manager)
    except UnreachableError:
        raise
    except ApiError:
        return None


def _surge(spec: Object) -> int:
    """Pods beyond ``replicas`` while they are replaced; a share is rounded up."""
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    most = str((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%"))
    share = most.endswith("%")
    return -(-int(most[:-1]) * int(spec.get("replicas", 1)) // 100) if share else int(most)
