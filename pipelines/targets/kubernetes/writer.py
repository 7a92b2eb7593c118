"""How objects get into the cluster: at once, or by way of Git (``pipelines.gitops``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from manifests.render import Rendered
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.kinds import kind_of, resource

Name = tuple[str, str]
"""Kind and name of an object in the environment's namespace."""


class Writer(Protocol):
    """Puts objects there and takes them away; both return when the cluster has been told."""

    def put(self, objects: Sequence[Rendered], fence: int, why: str) -> None:
        """Make these as they are rendered; others stay."""

    def take_away(self, names: Sequence[Name], fence: int, why: str) -> None:
        """Let these go, in this order."""

    def tell(self, route: Rendered, why: str) -> None:
        """Say where it is kept which slot is live, after the cluster has it."""


@dataclass(frozen=True)
class Watching:
    """What watches a rollout: ``objects`` in their order, ``secret`` with its key, which is in no
    file; and what ``goes`` when nothing is watched any more.
    """

    objects: Sequence[Rendered]
    secret: Mapping[str, Any] = field(repr=False)
    goes: Sequence[Name] = ()


@dataclass(frozen=True)
class DirectWriter:
    """Server-side apply, in the order in which objects need each other."""

    api: Api
    anchor: Anchor

    def put(self, objects: Sequence[Rendered], fence: int, why: str) -> None:
        """Kind by kind; each only where nobody newer has written it."""
        for one in objects:
            if kind_of(resource(one.object)).namespaced:
                self.anchor.apply(one.object, fence)
            else:  # the whole cluster's: one environment's fence says nothing there
                self.anchor.require(fence)
                self.api.apply(one.object)

    def take_away(self, names: Sequence[Name], fence: int, why: str) -> None:
        """One by one; each only where nobody newer has written it."""
        for kind, name in names:
            self.anchor.delete(kind, name, fence)

    def tell(self, route: Rendered, why: str) -> None:
        """The cluster is all there is."""
