"""What belongs to no slot: made before the first release, and taken away with everything else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from manifests.order import RANKS
from manifests.watcher import keys_name, watcher_name
from pipelines.targets.kubernetes.api import again
from pipelines.targets.kubernetes.facts import APPLICATION, MANAGED, labels, name_of, notes
from pipelines.targets.kubernetes.ground import POLL_SECONDS, Ground
from pipelines.targets.kubernetes.kinds import KINDS, bare
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.standing import (
    MADE,
    Standing,
    found_apart,
    require_meant,
    standing,
)
from pipelines.targets.kubernetes.writer import DirectWriter, Writer
from release.errors import GreenlightError

GONE_SECONDS = 90.0
"""Beyond the pods' drain, for everything to be gone."""


@dataclass(frozen=True)
class Shell:
    """Namespace, account, policies, monitors and the route of one environment."""

    ground: Ground
    writer: Writer

    def make(self, fence: int) -> None:
        """All of it; the route leads nowhere yet. Safe to repeat."""
        ground = self.ground
        wanted = again(self._enter)
        ground.anchor.take(fence)
        direct = DirectWriter(ground.api, ground.anchor)
        direct.put(wanted.apart, fence, "what no folder has")
        shell = [*wanted.shell]
        if ground.route_now() is None:
            shell.append(ground.route(Routing()))
        self.writer.put(shell, fence, "what every release stands on")
        ground.await_accepted()

    def _enter(self) -> Standing:
        """What to write in a namespace that is there when this returns, since the Lease has to be
        in it. GreenlightError for one that is not meant.
        """
        rendering = self.ground.rendering()
        found = found_apart(self.ground.api, rendering)
        require_meant(rendering, found)
        wanted = standing(rendering, found)
        if wanted.namespace:
            self.ground.api.create(wanted.namespace.object)
        return wanted

    def take_away(self, fence: int) -> None:
        """All that is ours; the namespace too where it was made here, and nobody else is in it."""
        api, namespace, anchor = self.ground.api, self.ground.namespace, self.ground.anchor
        found = self._namespace()
        if api.get("Lease", anchor.name, namespace) is None:
            if found and "deletionTimestamp" in found["metadata"]:  # an earlier run was killed
                self._await_gone("Namespace")
            return
        anchor.take(fence)
        if found and notes(found).get(MADE) and not self._is_shared():
            api.delete("Namespace", namespace)
            self._await_gone("Namespace")
            return
        for kind in _kinds_inside():
            for one in api.list(kind, namespace, self.ground.ours):
                api.delete(kind, name_of(one), namespace)
        self._await_gone("Pod")
        rendering = self.ground.rendering()
        api.delete("Secret", keys_name(rendering), namespace)
        api.delete("Lease", watcher_name(rendering), namespace)
        api.delete("Lease", anchor.name, namespace)  # the last: until then it is run again

    def _namespace(self) -> dict[str, Any] | None:
        """None also for who may not read it: then somebody else has made it."""
        try:
            return self.ground.api.get("Namespace", self.ground.namespace)
        except DeniedError:
            return None

    def _is_shared(self) -> bool:
        """Whether somebody else is in the namespace too: then it stays, whoever made it."""
        api, namespace = self.ground.api, self.ground.namespace
        environments = api.list("Lease", namespace, MANAGED)
        found = [*environments, *(o for k in ("Deployment", "Pod") for o in api.list(k, namespace))]
        return any(labels(one).get(APPLICATION) != self.ground.application for one in found)

    def _await_gone(self, kind: str) -> None:
        """Until no pod of ours, or the namespace itself, is left."""
        ground = self.ground
        give_up = time.monotonic() + ground.drain_seconds + GONE_SECONDS
        while self._is_left(kind):
            if time.monotonic() > give_up:
                what = f"{kind} of {ground.namespace}"
                raise GreenlightError(f"{ground.environment}: {what} does not go away")
            time.sleep(POLL_SECONDS)

    def _is_left(self, kind: str) -> bool:
        api, namespace = self.ground.api, self.ground.namespace
        if kind == "Namespace":
            return api.get("Namespace", namespace) is not None
        return bool(api.list(kind, namespace, self.ground.ours))


def _kinds_inside() -> list[str]:
    """What can be of ours in a namespace, of either group; in the order in which it is deleted."""
    kinds = [kind for kind, one in KINDS.items() if one.namespaced and bare(kind) in RANKS]
    return sorted(kinds, key=lambda kind: -RANKS[bare(kind)])
