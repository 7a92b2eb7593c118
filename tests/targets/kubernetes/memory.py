"""An API server in memory: objects by kind, namespace and name, each with a version."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pipelines.targets.kubernetes.api import MANAGER, Api
from pipelines.targets.kubernetes.kinds import resource
from pipelines.targets.kubernetes.refusals import ChangedError

Key = tuple[str, str, str]


class MemoryApi(Api):
    """What is written is there, whole. ``before`` is called with each write's verb, kind, name."""

    def __init__(self, *objects: Mapping[str, Any]) -> None:
        super().__init__()
        self.objects: dict[Key, dict[str, Any]] = {}
        self.before: Callable[[str, str, str], object] = lambda *_: None
        self.versions = 0
        for one in objects:
            self._put(one)

    def _put(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """What changes nothing gives no new version, as in a real one."""
        there = self.objects.get(_key(one), {"metadata": {}})
        made = copy.deepcopy(dict(one))
        made["metadata"]["resourceVersion"] = there["metadata"].get("resourceVersion")
        if made != there:
            self.versions += 1
            made["metadata"]["resourceVersion"] = str(self.versions)
        self.objects[_key(made)] = made
        return copy.deepcopy(made)

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        return [
            copy.deepcopy(one) for (a, b, _), one in self.objects.items()
            if a == kind and b == namespace
            and (labels or {}).items() <= (one["metadata"].get("labels") or {}).items()
        ]  # fmt: skip

    def apply(
        self, one: Mapping[str, Any], *, dry_run: bool = False, version: str = "",
        over: Collection[str] = (), manager: str = MANAGER,
    ) -> dict[str, Any]:  # fmt: skip
        made = self._applied(one)
        if dry_run:
            return made
        self._begin("apply", one, version)
        return self._put(made)

    def _applied(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """What controllers say of it stays, of an older generation where the spec is another."""
        made, there = copy.deepcopy(dict(one)), self.objects.get(_key(one))
        if there and "status" in there:
            again = made.get("spec") != there.get("spec")
            generation = there["metadata"].get("generation", 1) + again
            made["metadata"] = {**made["metadata"], "generation": generation}
            made["status"] = copy.deepcopy(there["status"])
        return made

    def create(self, one: Mapping[str, Any]) -> dict[str, Any]:
        self.before("create", *_named(one))
        if _key(one) in self.objects:
            raise ChangedError("somebody was quicker")
        return self._put(one)

    def patch(
        self, kind: str, name: str, namespace: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        there = self.objects[kind, namespace, name]
        self._begin("patch", there, patch["metadata"].get("resourceVersion", ""))
        made = copy.deepcopy(there)
        for part in ("labels", "annotations"):
            given = {**(made["metadata"].get(part) or {}), **patch["metadata"].get(part, {})}
            made["metadata"][part] = {key: one for key, one in given.items() if one is not None}
        return self._put(made)

    def delete(
        self, kind: str, name: str, namespace: str = "", *, grace: int | None = None,
        version: str = "", still: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        if (one := self.objects.get((kind, namespace, name))) is None:
            return
        self._begin("delete", one, version)
        del self.objects[kind, namespace, name]
        if kind == "Namespace":
            self.objects = {key: one for key, one in self.objects.items() if key[1] != name}

    def _begin(self, verb: str, one: Mapping[str, Any], version: str) -> None:
        self.before(verb, *_named(one))
        there = self.objects.get(_key(one))
        if version and (there is None or there["metadata"]["resourceVersion"] != version):
            raise ChangedError("it has changed")


def _named(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _key(one: Mapping[str, Any]) -> Key:
    return resource(one), one["metadata"].get("namespace", ""), one["metadata"]["name"]
