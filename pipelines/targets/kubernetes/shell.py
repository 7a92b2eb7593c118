"""What belongs to no slot: made before the first release, and taken away with everything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from manifests.model import INSTANCE, Rendering
from manifests.order import RANKS
from manifests.render import render_shell
from manifests.watcher import keys_name, watcher_name
from pipelines.targets.kubernetes.api import again
from pipelines.targets.kubernetes.facts import MANAGED, labels, name_of, notes
from pipelines.targets.kubernetes.ground import POLL_SECONDS, Ground
from pipelines.targets.kubernetes.kinds import KINDS, bare, resource
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.standing import (
    MADE,
    Standing,
    found_apart,
    require_meant,
    standing,
)
from pipelines.targets.kubernetes.writer import DirectWriter, Name, Writer
from release.errors import GreenlightError

GONE_SECONDS = 90.0
"""Beyond the pods' drain, for everything to be gone."""

WORK = ("Deployment", "StatefulSet", "CronJob", "Job", "Pod", "PersistentVolumeClaim")
"""Kinds of what others may have in a namespace, their data too: it would go with it."""

BY_SETTING = (
    "ExternalSecret",
    "PodMonitor",
    "PodMonitor.azmonitoring.coreos.com",
    "PrometheusRule",
    "ScaledObject",
    "SecretProviderClass",
)
"""Kinds that not every environment has: an account may lack the right to one it never used."""


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
        if there := found["Namespace"]:
            self._unmark(there)
        wanted = standing(rendering, found)
        if wanted.namespace:
            self.ground.api.create(wanted.namespace.object)
        return wanted

    def _unmark(self, there: Mapping[str, Any]) -> None:
        """An earlier build marked the namespace for Argo CD, which may prune what has the mark and
        no file. One that is not labelled as ours keeps what it has, and so does one of which who
        runs this may only look at it: nothing here needs the mark to be gone.
        """
        ours = self.ground.rendering().labels_apart.items() <= labels(there).items()
        if ours and INSTANCE in labels(there):
            version = there["metadata"]["resourceVersion"]
            meta = {"labels": {INSTANCE: None}, "resourceVersion": version}
            with suppress(DeniedError):
                self.ground.api.patch("Namespace", self.ground.namespace, "", {"metadata": meta})

    def take_away(self, fence: int) -> tuple[str, ...]:
        """All that is ours; the namespace too where it was made here, and nobody else is in it.
        A line for each thing that stays, or of which that cannot be seen. Where another environment
        has the Lease, nothing there is ours.
        """
        api, namespace, anchor = self.ground.api, self.ground.namespace, self.ground.anchor
        found = self._namespace()
        if api.get("Lease", anchor.name, namespace) is None:
            if found and "deletionTimestamp" in found["metadata"]:  # an earlier run was killed
                self._await_gone("Namespace")
            return ()
        if theirs := anchor.why_theirs():
            return (f"nothing of it is in the namespace {namespace}: {theirs}",)
        anchor.take(fence)
        made_here = found and notes(found).get(MADE)
        if made_here and not self._is_shared():
            api.delete("Namespace", namespace, still=lambda: anchor.require(fence))
            self._await_gone("Namespace")
            return ()
        names, unseen = self._inside()  # all of it is seen, or nothing goes
        direct, rendering = DirectWriter(api, anchor), self.ground.rendering()
        direct.take_away(names, fence, "all of it goes")
        self._await_gone("Pod")
        kept = [("Secret", keys_name(rendering)), ("Lease", watcher_name(rendering))]
        lease = ("Lease", anchor.name)  # the last: until then it is run again
        direct.take_away([*kept, lease], fence, "all of it goes")
        shared = f"the namespace {namespace} stays: others are in it, or may be"
        return (*((shared,) if made_here else ()), *unseen)

    def _inside(self) -> tuple[list[Name], list[str]]:
        """What is of ours in the namespace, and a line for each kind of which that may not be seen.

        DeniedError for a kind that these settings use: then some of it is there.
        """
        ground, names, unseen = self.ground, list[Name](), list[str]()
        for kind in _kinds_inside():
            try:
                found = ground.api.list(kind, ground.namespace, ground.ours)
            except DeniedError as error:
                if kind not in _unused(ground.rendering()):
                    raise
                unseen.append(f"any {kind} that other settings have made stays: {error}")
            else:
                names += [(kind, name_of(one)) for one in found]
        return names, unseen

    def _namespace(self) -> dict[str, Any] | None:
        """None also for who may not read it: then somebody else has made it."""
        try:
            return self.ground.api.get("Namespace", self.ground.namespace)
        except DeniedError:
            return None

    def _is_shared(self) -> bool:
        """Whether somebody else is in the namespace too: then it stays, whoever made it, and where
        that may not be seen as well.
        """
        api, namespace = self.ground.api, self.ground.namespace
        try:
            found = [one for kind in WORK for one in api.list(kind, namespace)]
        except DeniedError:
            return True
        found += api.list("Lease", namespace, MANAGED)
        ours = self.ground.ours.items()
        return any(not ours <= labels(one).items() for one in found if not _is_a_pods(one))

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


def _is_a_pods(one: Mapping[str, Any]) -> bool:
    """Whether it comes and goes with a pod, as the claim of an ephemeral volume does, which has no
    labels of its own: the pod says whose it is.
    """
    owners = one["metadata"].get("ownerReferences") or ()
    return any(owner["kind"] == "Pod" for owner in owners)


def _unused(r: Rendering) -> set[str]:
    """Kinds that an environment with other settings has, and one with those of ``r`` has not.
    Patches change no kind, and one that is refused since it was applied stops no end.
    """
    plain = replace(r, settings=r.settings.model_copy(update={"patches": ()}))
    used = {resource(one.object) for one in render_shell(plain)}
    return {*BY_SETTING} - used - ({"ScaledObject"} if r.settings.scaling.prometheus else set())


def _kinds_inside() -> list[str]:
    """What can be of ours in a namespace, of either group; in the order in which it is deleted."""
    kinds = [kind for kind, one in KINDS.items() if one.namespaced and bare(kind) in RANKS]
    return sorted(kinds, key=lambda kind: -RANKS[bare(kind)])
