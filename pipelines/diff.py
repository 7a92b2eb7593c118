"""``diff``: what bringing the candidate to a cluster would change there; nothing is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from manifests.model import Rendering
from manifests.order import RANKS
from manifests.render import Rendered, render_route, render_shell, render_slot
from pipelines.gitops.controllers import FIELD_MANAGERS
from pipelines.rendering import rendering_of
from pipelines.targets.kubernetes import diff
from pipelines.targets.kubernetes.api import MANAGER, Api
from pipelines.targets.kubernetes.diff import Change, changes, leftover
from pipelines.targets.kubernetes.facts import APPLICATION, MANAGED, Live, place
from pipelines.targets.kubernetes.routing import Routing, read_route
from pipelines.workspace import Workspace

CLUSTERS = ("Namespace", "PriorityClass")
"""Kinds that are in no namespace: what is no longer rendered of them may be somebody else's."""


class Cluster(diff.Cluster, Protocol):
    """What is asked of a cluster; ``pipelines.targets.kubernetes.api.Api`` is one."""

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> Sequence[dict[str, Any]]:
        """Every object of a kind with these labels."""


@dataclass(frozen=True)
class Difference:
    """``changes`` of every object, those that stay the same too; ``slot`` is the candidate's."""

    environment: str
    label: str
    slot: str
    changes: tuple[Change, ...]

    @property
    def refused(self) -> bool:
        """Whether the API server would refuse anything."""
        return any(one.what == "refused" for one in self.changes)


def difference_of(
    workspace: Workspace, environment: str, cluster: Cluster | None = None
) -> Difference:
    """The candidate's objects against those in ``environment``'s cluster, or in ``cluster``.

    The candidate goes where a promotion would bring it: to the slot that is free, or that has the
    least traffic. Weights are the rollout's to change, and shown as they are.
    """
    rendering = rendering_of(workspace, environment)
    if cluster is None:
        cluster = Api(rendering.settings.context)
    live = _live(cluster, rendering)
    (candidate,) = rendering.slots
    slot = place(live, candidate.release.digest)
    with workspace.sources.placed():
        wanted = _wanted(replace(rendering, slots=(replace(candidate, name=slot),)), live)
    gone = leftover(_ours(cluster, rendering), wanted, slot)
    label = candidate.release.label
    return Difference(environment, label, slot, changes(cluster, wanted, gone, _manager(rendering)))


def _manager(r: Rendering) -> str:
    """Who would apply it, and so owns the fields already: by Git that is its controller."""
    return FIELD_MANAGERS[r.settings.git.controller] if r.settings.git else MANAGER


def _live(cluster: Cluster, r: Rendering) -> Live:
    return Live(
        application=r.application,
        gateway_name=r.settings.gateway.name,
        route=cluster.get("HTTPRoute", r.application, r.namespace),
        deployments=cluster.list("Deployment", r.namespace, {APPLICATION: r.application}),
    )


def _routing(live: Live) -> Routing:
    return read_route(live.route, live.application) if live.route else Routing()


def _wanted(r: Rendering, live: Live) -> tuple[Rendered, ...]:
    """The shell, the candidate's slot, and the route, which learns of that slot."""
    (slot,) = r.slots
    now = _routing(live)
    known = tuple(sorted({*now.slots, slot.name}))
    route = render_route(replace(r, known=known, weights=now.weights, mirror=now.mirror))
    return (*render_shell(r), *render_slot(r, slot.name), route)


def _ours(cluster: Cluster, r: Rendering) -> list[dict[str, Any]]:
    """Everything of ours in the namespace that we render at all."""
    labels = {APPLICATION: r.application, **MANAGED}
    kinds = [kind for kind in RANKS if kind not in CLUSTERS]
    return [one for kind in kinds for one in cluster.list(kind, r.namespace, labels)]
