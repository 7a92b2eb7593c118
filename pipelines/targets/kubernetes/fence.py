"""One writer at a time, held by the API server itself.

An environment has a Lease that holds the highest fence seen. Whoever comes with a higher one
writes it there and then into every object that decides about traffic, and into all else with what
it writes of it: so a write or a delete which an older one had begun meets an object that has
changed, and is refused (S09). The ledger's lease says who may begin; this says who may go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from manifests.model import own
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.api import Api, again
from pipelines.targets.kubernetes.facts import (
    APPLICATION,
    ENVIRONMENT,
    FENCE,
    MANAGED,
    SEEN,
    labels,
    name_of,
    notes,
)
from pipelines.targets.kubernetes.kinds import resource
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.whose import require_ours, why_theirs
from release.integrity import Damaged
from release.ledger import Mark
from release.ledger.witness import rewritten

TAKEN = own("taken")
"""On the Lease: the fence that every guarded object knows of."""

GUARDED = ("HTTPRoute", "Deployment", "Service")
"""Kinds that decide who answers: each of these knows of the highest fence as soon as it is taken;
any other of that of who wrote it last. As a label: an annotation would make a Deployment's
controller look at it anew.
"""

Object = Mapping[str, Any]

Over = Callable[[Object], Collection[str]]
"""From an object as it is to the field managers that give way."""


@dataclass(frozen=True)
class Anchor:
    """The Lease of one environment of ``application``."""

    api: Api
    namespace: str
    application: str
    environment: str

    @property
    def name(self) -> str:
        """The Lease's name."""
        return f"{self.application}-greenlight"

    @property
    def where(self) -> str:
        """For error messages."""
        return f"Lease {self.name} in namespace {self.namespace}"

    def take(self, fence: int) -> None:
        """From now on nobody with a lower fence writes here. StaleFenceError for one of those.

        GreenlightError where another environment has the Lease: its writers would be stale.
        """
        if again(lambda: self._is_taken(fence)):
            return
        touched = [self._is_touched(kind, name, fence) for kind in GUARDED
                   for name in map(name_of, self._ours(kind))]  # fmt: skip
        if all(touched):  # what was not is tried again before the next write
            again(lambda: self._note_taken(fence))

    def _note_taken(self, fence: int) -> None:
        lease = self.lease() or self.api.create(self._made(fence))  # somebody took it away
        self._write(lease, "annotations", {TAKEN: str(fence)})

    def _is_touched(self, kind: str, name: str, fence: int) -> bool:
        """A policy that refuses this refuses what an older one would write there as well."""
        try:
            again(partial(self._touch, kind, name, fence))
        except DeniedError:
            return False
        return True

    def apply(self, one: Object, fence: int, over: Over = lambda _: ()) -> dict[str, Any]:
        """Server-side apply, unless somebody newer has written it, or has come where they mark no
        such thing. Fields of the managers that ``over`` names are taken from them.

        GreenlightError where it is another application's or environment's.
        """

        def attempt() -> dict[str, Any]:
            meta = one["metadata"]
            found = self.api.get(resource(one), meta["name"], meta["namespace"])
            require_ours(found, one)
            self._require(found, fence)
            if one["kind"] not in GUARDED:
                self.require(fence)
            if found is None:  # a plain apply would go over what somebody has made meanwhile
                return self._create(one, fence)
            version = found["metadata"]["resourceVersion"]
            return self.api.apply(marked(one, fence), version=version, over=over(found))

        return again(attempt)

    def _create(self, one: Object, fence: int) -> dict[str, Any]:
        """Whoever came meanwhile found nothing to mark: so the Lease is asked again afterwards."""
        made = self.api.create(marked(one, fence))
        try:
            self.require(fence)
        except StaleFenceError:
            again(lambda: self._delete(resource(one), one["metadata"]["name"], fence))
            raise
        return made

    def require(self, fence: int) -> None:
        """StaleFenceError where somebody newer has come: before a write of what has no fence."""
        self._require(self.lease(), fence)

    def delete(self, kind: str, name: str, fence: int) -> None:
        """Let it go, unless somebody newer has written it or has come, also while the API server
        is away. Of a Secret, which nobody here may read, the Lease alone is asked.
        """
        still = partial(self.require, fence)
        if kind != "Secret":
            again(lambda: self._delete(kind, name, fence, still))
        else:
            still()
            self.api.delete(kind, name, self.namespace, still=still)

    def _delete(
        self, kind: str, name: str, fence: int, still: Callable[[], object] = lambda: None
    ) -> None:
        found = self.api.get(kind, name, self.namespace)
        self._require(found, fence)
        if found and "deletionTimestamp" not in found["metadata"]:
            still()
            version = found["metadata"]["resourceVersion"]
            self.api.delete(kind, name, self.namespace, version=version, still=still)

    def mark(self, kind: str, name: str, notes: Mapping[str, str | None], fence: int) -> None:
        """Annotate a guarded object, None takes away; unless somebody newer has written it."""

        def attempt() -> None:
            found = self.api.get(kind, name, self.namespace)
            self._require(found, fence)
            if found:
                version = found["metadata"]["resourceVersion"]
                meta = {"annotations": dict(notes), "resourceVersion": version}
                self.api.patch(kind, name, self.namespace, {"metadata": meta})

        again(attempt)

    def seen(self) -> Mark | None:
        """The ledger's head as this target remembers it."""
        lease = self.own_lease()
        text = notes(lease).get(SEEN, "") if lease else ""
        sequence, _, sha256 = text.partition(" ")
        return Mark(int(sequence), sha256) if sha256 else None

    def note(self, mark: Mark) -> None:
        """Remember ``mark`` unless a later one is known. Damaged for another of its number."""
        again(lambda: self._note(mark))

    def _note(self, mark: Mark) -> None:
        lease = self.own_lease()
        if lease is None:
            return
        seen = self.seen()
        if seen and seen.sequence == mark.sequence and seen != mark:
            raise Damaged(rewritten(self.where, seen, mark.sha256))
        if seen is None or seen.sequence < mark.sequence:
            self._write(lease, "annotations", {SEEN: f"{mark.sequence} {mark.sha256}"})

    def _is_taken(self, fence: int) -> bool:
        """Whether every object knows of ``fence`` already. The Lease does when this returns."""
        lease = self.lease()
        if lease is None:
            self.api.create(self._made(fence))
            return False
        self._require_ours(lease)
        self._require(lease, fence)
        if _fence(lease) < fence or ENVIRONMENT not in labels(lease):
            self._write(lease, "labels", {FENCE: str(fence), ENVIRONMENT: self.environment})
        return notes(lease).get(TAKEN) == str(fence)

    def _touch(self, kind: str, name: str, fence: int) -> None:
        """A new version of the object, so that no write over an older one goes through."""
        found = self.api.get(kind, name, self.namespace)
        if found is None or _fence(found) >= fence:
            return
        version = found["metadata"]["resourceVersion"]
        meta = {"labels": {FENCE: str(fence)}, "resourceVersion": version}
        self.api.patch(kind, name, self.namespace, {"metadata": meta})

    def _ours(self, kind: str) -> list[dict[str, Any]]:
        return self.api.list(kind, self.namespace, {APPLICATION: self.application, **MANAGED})

    def _require_ours(self, lease: Object) -> None:
        for one in self._telling(lease):
            require_ours(one, self._made(0))

    def why_theirs(self) -> str:
        """Which other environment has the Lease; empty where none has."""
        lease = self.lease()
        found = (why_theirs(one, self._made(0)) for one in (self._telling(lease) if lease else ()))
        return next(filter(None, found), "")

    def _telling(self, lease: Object) -> list[Object]:
        """What says whose the Lease is. One that an earlier build made has no environment: then
        what it guards has.
        """
        if ENVIRONMENT in labels(lease):
            return [lease]
        return [one for kind in GUARDED for one in self._ours(kind)]

    def lease(self) -> dict[str, Any] | None:
        """The Lease, None where there is no environment yet."""
        return self.api.get("Lease", self.name, self.namespace)

    def own_lease(self) -> dict[str, Any] | None:
        """None also where another environment has it, whose ledger may be another."""
        lease = self.lease()
        named = labels(lease).get(ENVIRONMENT, self.environment) if lease else ""
        return lease if named == self.environment else None

    def _write(self, lease: Object, where: str, what: Mapping[str, str]) -> None:
        """Over the version that was read: who changed it meanwhile is read again."""
        meta = {where: what, "resourceVersion": lease["metadata"]["resourceVersion"]}
        self.api.patch("Lease", self.name, self.namespace, {"metadata": meta})

    def _made(self, fence: int) -> Object:
        meta = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": {
                APPLICATION: self.application,
                ENVIRONMENT: self.environment,
                **MANAGED,
                FENCE: str(fence),
            },
        }
        spec = {"holderIdentity": "greenlight"}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta,
                "spec": spec}  # fmt: skip

    def _require(self, found: Object | None, fence: int) -> None:
        if found and _fence(found) > fence:
            raise StaleFenceError(
                f"{self.namespace}: the fence {fence} is stale: {_fence(found)} has been seen. "
                "Another run holds the lease; let it finish, or start again to get one of your own."
            )


def marked(one: Object, fence: int) -> dict[str, Any]:
    """``one`` with the fence of who writes it."""
    meta = one["metadata"]
    carried = {**(meta.get("labels") or {}), FENCE: str(fence)}
    return {**one, "metadata": {**meta, "labels": carried}}


def _fence(one: Object) -> int:
    return int(labels(one).get(FENCE, 0))
