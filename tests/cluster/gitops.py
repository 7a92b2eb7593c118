"""A stand-in for Argo CD or Flux: applies what a folder of a bare repository holds, and reports.

It keeps to what Greenlight leans on: server-side apply by the controller's own field manager, by
force; prune, which Argo CD may do by its label; the marks by which a route's live weights are
left alone; the status fields.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from manifests import gitops
from manifests.model import Rendering
from manifests.render import Rendered
from pipelines.gitops.controllers import FIELD_MANAGERS
from tests.cluster.client import Cluster, as_text

Object = dict[str, Any]
Key = tuple[str, str, str]

RESOURCES = {
    "Application": "applications.argoproj.io",
    "Kustomization": "kustomizations.kustomize.toolkit.fluxcd.io",
    "GitRepository": "gitrepositories.source.toolkit.fluxcd.io",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
}
INSTANCE = "app.kubernetes.io/instance"
LABELLED = (
    "namespaces,serviceaccounts,roles,rolebindings,networkpolicies,configmaps,secrets,services,"
    "leases.coordination.k8s.io,poddisruptionbudgets,deployments.apps,replicasets.apps,"
    "applications.argoproj.io"
)
"""What Argo CD's stand-in looks through; the real one looks through all kinds."""

SSA = "kustomize.toolkit.fluxcd.io/ssa"
INTERVAL = 0.2


def resource(kind: str) -> str:
    """As kubectl takes a kind of which others have one of the same name."""
    return RESOURCES.get(kind, kind.lower())


def read_from(cluster: Cluster, kind: str, name: str, namespace: str) -> Object | None:
    """An object, or None."""
    found = cluster.ask(
        "get", resource(kind), name, f"--namespace={namespace}", "--output=json",
        "--ignore-not-found", "--show-managed-fields",
    )  # fmt: skip
    assert found.code == 0, found.err
    return json.loads(found.out) if found.out.strip() else None


@dataclass
class StandIn:
    """Follows ``bare``'s folder for ``rendering``. ``stuck``: it looks at nothing. ``failing``: it
    applies nothing and reports this."""

    cluster: Cluster
    bare: Path
    rendering: Rendering
    stuck: bool = False
    failing: str = ""
    rounds: int = 0
    applied: set[Key] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """argocd or flux."""
        assert self.rendering.settings.git
        return self.rendering.settings.git.controller

    def reconcile(self) -> bool:
        """Apply all of the folder, also when nothing changed in it. Whether that went well."""
        said = ""
        if head := self._git("rev-parse", "--verify", "-q", "main").strip():
            try:
                said = self.failing or self._apply(self._wanted(head))
            except (subprocess.SubprocessError, yaml.YAMLError, KeyError) as error:
                said = f"cannot build: {error}"
            self._report(head, said)
            self.rounds += 1
        return not said

    def _wanted(self, head: str) -> list[Object]:
        folder = f"{head}:{self.rendering.folder}"
        index = yaml.safe_load(self._git("show", f"{folder}/{gitops.INDEX}"))
        if index is None:  # what is there so far is another environment's
            raise KeyError(f"{folder} not found")
        texts = {name: self._git("show", f"{folder}/{name}") for name in index["resources"]}
        if lost := [name for name, text in texts.items() if not text]:  # Git went away in between
            raise KeyError(f"{lost} not found in {folder}")
        return [yaml.safe_load(text) for text in texts.values()]

    def _apply(self, wanted: list[Object]) -> str:
        """Empty when it went well, else what the API server said."""
        asked = [one for each in wanted if (one := self._left_alone(each))]
        how = ("--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGERS[self.kind]}")
        if asked:
            done = self.cluster.ask("apply", *how, "--filename=-", given=as_text(*asked))
            if done.code:
                return done.err
        keys = {key(one) for one in wanted}
        for gone in (self.applied | self._labelled()) - keys:
            kind, name, namespace = gone
            place = [f"--namespace={namespace}"] * bool(namespace)
            words = (resource(kind), name, *place, "--ignore-not-found", "--wait=false")
            self.cluster.must("delete", *words)
        self.applied = keys
        return ""

    def _labelled(self) -> set[Key]:
        """What Argo CD that tracks by labels takes for its own: nobody owns it, and it has the
        Application's name. The real one looks into every namespace; others' tests are in those.
        """
        if self.kind != "argocd":
            return set()
        name, _ = gitops.watched(self.rendering)
        own = self.rendering.namespace
        where = (f"--selector={INSTANCE}={name}", f"--namespace={own}", "--output=json")
        listed = json.loads(self.cluster.must("get", LABELLED, *where))["items"]
        ownerless = {key(one) for one in listed if not one["metadata"].get("ownerReferences")}
        return {one for one in ownerless if own == (one[2] or one[1])}

    def _left_alone(self, wanted: Object) -> Object | None:
        """``wanted`` as it is applied: None where the live object stays as it is."""
        live = read_from(self.cluster, *key(wanted)) if wanted["kind"] == "HTTPRoute" else None
        if live is None:
            return wanted
        if self.kind == "flux":
            mark = wanted["metadata"].get("annotations", {}).get(SSA)
            return None if mark == "IfNotPresent" else wanted
        return {**wanted, "spec": {**wanted["spec"], "rules": live["spec"]["rules"]}}

    def _report(self, head: str, said: str) -> None:
        (main,) = (
            one for one in gitops.render_controller(self.rendering) if one.kind != "GitRepository"
        )
        name, namespace = gitops.watched(self.rendering)
        live = read_from(self.cluster, main.kind, name, namespace)
        if live is None:
            return  # somebody took it away: nobody follows the folder then
        of = of_application if self.kind == "argocd" else of_kustomization
        subresource = ("--subresource=status",) if self.kind == "flux" else ()
        patch = json.dumps({"status": of(live, head, said)})
        where = (resource(main.kind), name, f"--namespace={namespace}", *subresource)
        self.cluster.ask("patch", *where, "--type=merge", f"--patch={patch}")

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.bare, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout

    def follow(self, over: threading.Event) -> None:
        """Look whenever the branch moved, it is to fail or no longer, or the last look failed."""
        seen: tuple[str, str] | None = None
        while not over.wait(INTERVAL):
            now = (self._git("rev-parse", "--verify", "-q", "main"), self.failing)
            if not self.stuck and now != seen:
                seen = now if self.reconcile() else None


def key(one: Mapping[str, Any]) -> Key:
    """Kind, name and namespace."""
    meta = one["metadata"]
    return one["kind"], meta["name"], meta.get("namespace", "")


def of_application(live: Object, head: str, said: str) -> Object:
    """Argo CD's status after a sync."""
    source, now = live["spec"]["source"], "2026-01-01T00:00:00Z"
    destination = live["spec"]["destination"]
    compared = {"source": source, "destination": destination}
    operation = {
        "operation": {"sync": {"revision": head}}, "startedAt": now, "finishedAt": now,
        "phase": "Failed" if said else "Succeeded",
        "message": said or "successfully synced",
        "syncResult": {"revision": head, "source": source},
    }  # fmt: skip
    state = "OutOfSync" if said else "Synced"
    sync = {"status": state, "revision": head, "comparedTo": compared}
    return {"sync": sync, "operationState": operation, "health": {"status": "Healthy"}}


def of_kustomization(live: Object, head: str, said: str) -> Object:
    """Flux's status after a reconciliation."""
    generation, revision = live["metadata"]["generation"], f"main@sha1:{head}"
    ready = {
        "type": "Ready", "status": "False" if said else "True",
        "reason": "ReconciliationFailed" if said else "ReconciliationSucceeded",
        "message": said or f"Applied revision: {revision}",
        "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    done = {} if said else {"lastAppliedRevision": revision}
    attempted = {"observedGeneration": generation, "lastAttemptedRevision": revision}
    return {"conditions": [ready], **attempted, **done}


@contextmanager
def following(cluster: Cluster, bare: Path, rendering: Rendering) -> Iterator[StandIn]:
    """A stand-in at work, with its own objects in the cluster, until the block ends."""
    for one in gitops.render_controller(rendering):
        _create(cluster, one)
    stand_in, over = StandIn(cluster, bare, rendering), threading.Event()
    thread = threading.Thread(target=stand_in.follow, args=(over,))
    thread.start()
    try:
        yield stand_in
    finally:
        over.set()
        thread.join()


def _create(cluster: Cluster, one: Rendered) -> None:
    """Flux's source takes no path as an address: nobody reads this one, so it names another."""
    made = one.object
    if one.kind == "GitRepository":
        made["spec"]["url"] = "https://git.example.com/o/r"
    done = cluster.apply(made, namespace=made["metadata"]["namespace"])
    assert done.code == 0, done.err
