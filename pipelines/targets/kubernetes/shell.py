"""What belongs to no slot: made before the first release, and taken away with everything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from manifests.model import INSTANCE, Rendering, own
from manifests.order import RANKS
from manifests.render import APART, Rendered, render_closing, render_shell
from manifests.watcher import keys_name, watcher_name
from pipelines.targets.kubernetes.api import again
from pipelines.targets.kubernetes.facts import MANAGED, labels, name_of, notes
from pipelines.targets.kubernetes.ground import POLL_SECONDS, Ground
from pipelines.targets.kubernetes.kinds import KINDS, bare, kind_of, resource
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.routing import Routing
from pipelines.targets.kubernetes.whose import WHOSE, require_ours
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

MADE = own("made")
"""On a namespace that was made here, and so goes with what is in it."""


@dataclass(frozen=True)
class Shell:
    """Namespace, account, policies, monitors and the route of one environment."""

    ground: Ground
    writer: Writer

    def make(self, fence: int) -> None:
        """All of it; the route leads nowhere yet. Safe to repeat."""
        ground = self.ground
        rendered = render_shell(ground.rendering())
        missing = [one for one in rendered if not again(partial(self._is_there, one))]
        ground.anchor.take(fence)
        apart = [one for one in missing if one.kind in APART]
        direct = DirectWriter(ground.api, ground.anchor)
        direct.put([*apart, *self._closing()], fence, "what no folder has")
        shell = [one for one in missing if one.kind not in APART]
        if ground.route_now() is None:
            shell.append(ground.route(Routing()))
        self.writer.put(shell, fence, "what every release stands on")
        ground.await_accepted()

    def _is_there(self, one: Rendered) -> bool:
        """Whether what belongs to no namespace is there already: then it is not ours to change.

        A namespace that is not there is made here, since the Lease has to be in it.
        """
        if kind_of(one.kind).namespaced:
            return False
        try:
            there = self.ground.api.get(one.kind, one.name)
        except DeniedError:
            if one.kind == "Namespace":
                self._require_named("may not be looked at by who runs this")
            return True
        if one.kind == "Namespace":
            self._enter(there, one.object)
            return True
        return there is not None

    def _enter(self, there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
        """GreenlightError for a namespace that somebody else made or was in first, where
        ``llm.yaml`` does not name it: ``a-b`` in ``c`` and ``a`` in ``b-c`` both come to ``a-b-c``,
        and so may a namespace that has nothing to do with Greenlight.
        """
        if there is None:
            meta = {**wanted["metadata"], "annotations": {MADE: "true"}}
            self.ground.api.create({**wanted, "metadata": meta})
            return
        if self.ground.settings.namespace is None:
            require_ours(there, wanted)
            if not {*WHOSE} <= {*labels(there)}:
                self._require_named("is there, and was not made by Greenlight")
        self._unmark(there)

    def _unmark(self, there: Mapping[str, Any]) -> None:
        """An earlier build marked the namespace for Argo CD, which may prune what has the mark and
        no file. One that is not labelled as ours keeps what it has.
        """
        ours = self.ground.rendering().labels_apart.items() <= labels(there).items()
        if ours and INSTANCE in labels(there):
            version = there["metadata"]["resourceVersion"]
            meta = {"labels": {INSTANCE: None}, "resourceVersion": version}
            self.ground.api.patch("Namespace", self.ground.namespace, "", {"metadata": meta})

    def _require_named(self, why: str) -> None:
        """GreenlightError where the namespace has its name by default alone."""
        if self.ground.settings.namespace is None:
            name, environment = self.ground.namespace, self.ground.environment
            raise GreenlightError(
                f"the namespace {name} {why}: nothing of it was changed. If it is meant for "
                f"{environment}, say so: environments.{environment}.kubernetes.namespace: {name}"
            )

    def _closing(self) -> list[Rendered]:
        """Nothing gets in or out that no policy lets, whosever the pod, in a namespace that was
        made here. Who made another, or gave this one a name, may have others in it.
        """
        ground, found = self.ground, self._namespace()
        if found and notes(found).get(MADE) and ground.settings.namespace is None:
            return [render_closing(ground.rendering())]
        return []

    def take_away(self, fence: int) -> tuple[str, ...]:
        """All that is ours; the namespace too where it was made here, and nobody else is in it.
        A line for each thing that stays, or of which that cannot be seen.
        """
        api, namespace, anchor = self.ground.api, self.ground.namespace, self.ground.anchor
        found = self._namespace()
        if api.get("Lease", anchor.name, namespace) is None:
            if found and "deletionTimestamp" in found["metadata"]:  # an earlier run was killed
                self._await_gone("Namespace")
            return ()
        anchor.take(fence)
        made_here = found and notes(found).get(MADE)
        if made_here and not self._is_shared():
            api.delete("Namespace", namespace)
            self._await_gone("Namespace")
            return ()
        names, unseen = self._inside()  # all of it is seen, or nothing goes
        for kind, name in names:
            api.delete(kind, name, namespace)
        self._await_gone("Pod")
        rendering = self.ground.rendering()
        api.delete("Secret", keys_name(rendering), namespace)
        api.delete("Lease", watcher_name(rendering), namespace)
        api.delete("Lease", anchor.name, namespace)  # the last: until then it is run again
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
        return any(not self.ground.ours.items() <= labels(one).items() for one in found)

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


def _unused(r: Rendering) -> set[str]:
    """Kinds that an environment with other settings has, and one with those of ``r`` has not."""
    used = {resource(one.object) for one in render_shell(r)}
    return {*BY_SETTING} - used - ({"ScaledObject"} if r.settings.scaling.prometheus else set())


def _kinds_inside() -> list[str]:
    """What can be of ours in a namespace, of either group; in the order in which it is deleted."""
    kinds = [kind for kind, one in KINDS.items() if one.namespaced and bare(kind) in RANKS]
    return sorted(kinds, key=lambda kind: -RANKS[bare(kind)])
