"""``diff``: what bringing the candidate to a cluster would change there; nothing is applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render_slot
from pipelines.rendering import rendering_of
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.diff import Change, changes
from pipelines.targets.kubernetes.facts import Live, place
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.leftovers import deployed, unneeded
from pipelines.targets.kubernetes.shared import with_slots_beside
from pipelines.targets.kubernetes.standing import There, found_apart, require_meant, standing
from pipelines.targets.kubernetes.whose import REMEDY
from pipelines.workspace import Workspace
from release.errors import GreenlightError


@dataclass(frozen=True)
class Difference:
    """``changes`` of every object, those that stay the same too; ``slot`` is the candidate's."""

    environment: str
    label: str
    slot: str
    changes: tuple[Change, ...]

    @property
    def refused(self) -> bool:
        """Whether the API server, or ``ship``, would refuse anything."""
        return any(one.what == "refused" for one in self.changes)


def difference_of(workspace: Workspace, environment: str) -> Difference:
    """The candidate's objects against those in ``environment``'s cluster.

    The candidate goes where a promotion would bring it: to the slot that is free, or that has the
    least traffic. Weights are the rollout's to change, and shown as they are.
    """
    r = rendering_of(workspace, environment)
    api = Api(r.settings.context)
    ground = Ground(r.application, r.environment, r.settings, r.drain_seconds, api)
    live = ground.live()
    (candidate,) = r.slots
    slot = replace(candidate, name=place(live, candidate.release.digest))
    with workspace.sources.placed():
        there = found_apart(api, r)
        first, serving = standing(r, there), _serving(ground, live, slot)
    brought = [*first.shell, *serving]
    found = (
        *_stopping(ground, r, there),
        *changes(api, [one for one in (first.namespace, *first.apart) if one]),
        *with_slots_beside(live, slot.name, changes(
            api, brought, _gone(ground, live, brought, slot.name), ground.manager
        )),
    )  # fmt: skip
    return Difference(environment, slot.release.label, slot.name, found)


def _stopping(ground: Ground, r: Rendering, there: There) -> Iterator[Change]:
    """What provisioning stops at, though the API server has nothing against it: a namespace that is
    not meant, or that another environment has.
    """
    try:
        require_meant(r, there)
    except GreenlightError as error:
        yield Change("refused", "Namespace", r.namespace, why=str(error))
    if theirs := ground.anchor.why_theirs():
        yield Change("refused", "Lease", ground.anchor.name, why=f"{theirs}. {REMEDY}")


def _serving(ground: Ground, live: Live, slot: Slot) -> tuple[Rendered, ...]:
    """The candidate's slot, and the route, which learns of that slot."""
    now = live.routing
    known = tuple(sorted({*now.slots, slot.name}))
    route = ground.route(replace(now, slots=known))
    return (*render_slot(ground.rendering(slot), slot.name), route)


def _gone(
    ground: Ground, live: Live, wanted: Sequence[Rendered], slot: str
) -> list[dict[str, Any]]:
    """What a deploy of ``wanted`` takes away."""
    names = unneeded(deployed(live, wanted), ground.maps())
    found = (ground.api.get(kind, name, ground.namespace) for kind, name in names)
    return [*ground.displaced(wanted, slot), *(one for one in found if one)]
