"""What Argo CD and Flux say of a commit: the cluster has it, will have it, or cannot take it.

Pure: objects in, a sentence out. ``arrived`` alone waits, by what it is given to read with.
Formats: https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml and
https://fluxcd.io/flux/components/kustomize/kustomizations/#kustomization-status.

A controller that says nothing of our commit says nothing: neither done nor failed. Health is not
asked for here: a Deployment that does not get ready is told by its pods, with better reasons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from pipelines.gitops.git_cli import GitError
from release.errors import GreenlightError, Waiting

Object = Mapping[str, Any]
Contains = Callable[[str], bool]
"""Whether a revision, a commit's id, is the commit that is waited for or came after it."""

Read = Callable[[str, str, str], Object | None]
"""Kind, name and namespace to the object; None where there is none."""

LOOK_SECONDS = 2.0
FAILED_SECONDS = 60.0
"""Both controllers try again by themselves: a failure counts once it has stood for so long."""

FIELD_MANAGERS = {"argocd": "argocd-controller", "flux": "kustomize-controller"}
"""Who owns the fields of an object that the controller made (Argo CD with server-side apply)."""


@dataclass(frozen=True)
class Progress:
    """How far a commit has come. ``reason`` is empty when it is done, else a clause."""

    state: Literal["done", "waiting", "failed"]
    reason: str = ""


@dataclass(frozen=True)
class Controller:
    """The object by which ``kind``, argocd or flux, follows a folder. ``repository`` and ``folder``
    say which of several sources is ours.
    """

    kind: Literal["argocd", "flux"]
    name: str
    namespace: str
    repository: str = ""
    folder: str = ""

    @property
    def object_kind(self) -> str:
        """``Application`` or ``Kustomization``."""
        return "Application" if self.kind == "argocd" else "Kustomization"

    @property
    def called(self) -> str:
        """For people."""
        said = "Argo CD's Application" if self.kind == "argocd" else "Flux's Kustomization"
        return f"{said} {self.name} in {self.namespace}"

    @property
    def look(self) -> str:
        """A command that shows more."""
        plural = "applications.argoproj.io" if self.kind == "argocd" else (
            "kustomizations.kustomize.toolkit.fluxcd.io"
        )  # fmt: skip
        return f"kubectl --namespace {self.namespace} describe {plural} {self.name}"

    def follows(self, read: Read) -> str:
        """The folder that it follows; empty where that is the whole repository, or several."""
        spec = _at(read(self.object_kind, self.name, self.namespace) or {}, "spec")
        if self.kind == "flux":
            return _folder(spec)
        folders = {_folder(one) for one in self.ours(_sources(spec))}
        return folders.pop() if len(folders) == 1 else ""

    def ours(self, sources: Sequence[Object]) -> list[Object]:
        """Those of an Application's sources that may be of our folder: by folder and repository,
        else by one of them, else all.
        """
        here = [one for one in sources if _folder(one) == self.folder]
        known = [one for one in sources if _same(one.get("repoURL"), self.repository)]
        both = [one for one in here if one in known]
        return both or here or known or [*sources]

    def refreshed(self, at: datetime | None = None) -> list[tuple[str, str, str, Object]]:
        """Merge patches that ask for a look at once: kind, name, namespace, patch."""
        if self.kind == "argocd":
            patch = _annotation("argocd.argoproj.io/refresh", "normal")
            return [("Application", self.name, self.namespace, patch)]
        moment = (at or datetime.now(UTC)).isoformat()
        patch = _annotation("reconcile.fluxcd.io/requestedAt", moment)
        kinds = ("GitRepository", "Kustomization")
        return [(kind, self.name, self.namespace, patch) for kind in kinds]


def _annotation(name: str, value: str) -> Object:
    return {"metadata": {"annotations": {name: value}}}


def progress(controller: Controller, read: Read, contains: Contains) -> Progress:
    """How far the commit of ``contains`` is by what ``controller``'s objects say."""
    found = read(controller.object_kind, controller.name, controller.namespace)
    if found is None:
        return Progress("waiting", "it is not there; `greenlight render --out` writes it")
    try:
        if controller.kind == "argocd":
            return of_application(found, contains, controller)
        told = of_kustomization(found, contains)
    except GitError as error:  # what it reports could not be looked up just now
        return Progress("waiting", f"it reports a commit that is not known here, and {error}")
    if told.state != "waiting":
        return told
    ref = _at(found, "spec", "sourceRef")
    namespace = str(ref.get("namespace") or controller.namespace)
    source = read(str(ref.get("kind") or "GitRepository"), str(ref.get("name")), namespace)
    trouble = of_source(source)
    return Progress("waiting", "; ".join(filter(None, (told.reason, trouble))))


def of_application(found: Object, contains: Contains, controller: Controller) -> Progress:
    """By Argo CD's Application."""
    sync, operation = _at(found, "status", "sync"), _at(found, "status", "operationState")
    phase, said = str(operation.get("phase") or ""), str(operation.get("message") or "")
    tried = _revisions(_at(operation, "syncResult"), found, controller)
    if phase in ("Failed", "Error") and any(_has(contains, one) for one in tried):
        return Progress("failed", said or f"its sync ended as {phase}")
    if phase in ("Running", "Terminating"):
        return Progress("waiting", f"it is syncing: {said}" if said else "it is syncing")
    if stale := _compared_otherwise(found):
        return Progress("waiting", stale)
    known = _revisions(sync, found, controller)
    if not any(_has(contains, one) for one in known):
        return Progress("waiting", _of_another(known, found))
    if sync.get("status") == "Synced":
        return Progress("done")
    return Progress("waiting", _why_out_of_sync(found))


def _compared_otherwise(found: Object) -> str:
    """A sentence where its status is of other settings than it has now."""
    now, then = (_where(_at(found, *at)) for at in (("spec",), ("status", "sync", "comparedTo")))
    return "it has not looked since its own settings were changed" if then and now != then else ""


def _where(settings: Object) -> list[list[object]]:
    keys = ("repoURL", "path", "targetRevision", "chart")
    return [[one.get(key) for key in keys] for one in _sources(settings)]


def _sources(settings: Object) -> list[Object]:
    """Where what is applied comes from: of several, the single one that an older one may have
    beside them counts for nothing, nor does one that is empty.
    """
    one = _at(settings, "source")
    return [*(settings.get("sources") or ([one] if one.get("repoURL") or one.get("path") else []))]


def _revisions(told: Object, found: Object, controller: Controller) -> list[str]:
    """What of our source was compared or synced. Of several, ``revisions`` has one for each, by its
    place; only ids of commits are ours, since a chart has a version there.
    """
    sources = _at(found, "spec").get("sources") or ()
    if not sources:
        return [str(told.get("revision") or "")]
    ours = controller.ours(sources)
    listed = zip(sources, told.get("revisions") or (), strict=False)
    return [str(one) for source, one in listed if source in ours and _revision(one)]


def _folder(source: Object) -> str:
    return str(source.get("path") or "").removeprefix("./").strip("/")


def _same(one: object, other: str) -> bool:
    """Whether two addresses are of one repository, as far as that can be told without asking."""
    plain = [str(each or "").removesuffix("/").removesuffix(".git") for each in (one, other)]
    return bool(other) and plain[0] == plain[1]


def _of_another(known: Sequence[str], found: Object) -> str:
    head = f"it knows {known[0][:12]}" if any(known) else "it has looked at no commit yet"
    return "; ".join([head, *_conditions_said(found)])


def _why_out_of_sync(found: Object) -> str:
    automated = _at(found, "spec", "syncPolicy").get("automated")
    if automated is None or automated.get("enabled") is False:
        return "it knows the commit and its automated sync is off: sync it, or switch that on"
    behind = [*_behind(found, automated.get("prune"))]
    head = f"it knows the commit and is not in sync with it{': ' * bool(behind)}{', '.join(behind)}"
    errors, warnings = _conditions_said(found), _conditions_said(found, "Warning")
    windows = ["a sync window of its project may hold it up"]
    return "; ".join([head, *warnings, *(errors or windows)])


def _behind(found: Object, prunes: object) -> Iterator[str]:
    """The objects that keep an Application from being in sync."""
    for one in _at(found, "status").get("resources") or ():
        if one.get("requiresPruning") and not prunes:
            yield f"{_named(one)} has to be pruned, and its automated sync does not prune"
        elif one.get("status") == "OutOfSync":
            yield _named(one)


def _named(one: Object) -> str:
    return f"{one.get('kind')} {one.get('name')}"


def _conditions_said(found: Object, level: str = "Error") -> list[str]:
    """Argo CD's conditions that report an error; or a Warning, such as that another Application
    has the same object, which then is never in sync.
    """
    listed = _at(found, "status").get("conditions") or ()
    return [str(one.get("message")) for one in listed if str(one.get("type")).endswith(level)]


def of_kustomization(found: Object, contains: Contains) -> Progress:
    """By Flux's Kustomization."""
    status, ready = _at(found, "status"), _condition(found, "Ready")
    if _at(found, "spec").get("suspend"):
        return Progress("waiting", "it is suspended: resume it")
    if _is_stale(found, status):
        return Progress("waiting", "it has not looked since its own settings were changed")
    if _has(contains, _revision(status.get("lastAppliedRevision"))):
        return Progress("done")
    stalled = _condition(found, "Stalled")
    is_stalled = stalled.get("status") == "True"
    said = str((is_stalled and stalled.get("message")) or ready.get("message") or "")
    tried = _has(contains, _revision(status.get("lastAttemptedRevision")))
    if is_stalled or (tried and ready.get("status") == "False" and ready.get("reason") in _FAILED):
        return Progress("failed", said or "it does not say why")
    applied = _revision(status.get("lastAppliedRevision"))[:12] or "nothing"
    return Progress("waiting", f"it has applied {applied}" + (f": {said}" if said else ""))


_FAILED = (
    "BuildFailed", "ReconciliationFailed", "PruneFailed", "HealthCheckFailed", "InvalidPath",
    "InvalidCELExpression",
)  # fmt: skip
"""Reasons of Flux that speak of the commit itself; of a source or dependency it waits for, not."""


def of_source(found: Object | None) -> str:
    """What is wrong with Flux's source; empty where nothing is."""
    if found is None:
        return "its source is not there"
    if _at(found, "spec").get("suspend"):
        return f"its source {found['metadata']['name']} is suspended: resume it"
    ready = _condition(found, "Ready")
    said = ready.get("message") if ready.get("status") == "False" else ""
    return f"its source {found['metadata']['name']}: {said}" if said else ""


def _condition(found: Object, kind: str) -> Object:
    """The condition of that type; empty where there is none, or it is of an older generation."""
    generation = _at(found, "metadata").get("generation")
    for one in _at(found, "status").get("conditions") or ():
        current = one.get("observedGeneration", generation) == generation
        if one.get("type") == kind and current:
            return dict(one)
    return {}


def _is_stale(found: Object, status: Object) -> bool:
    generation = _at(found, "metadata").get("generation")
    return bool(generation is not None and status.get("observedGeneration") != generation)


def _revision(text: object) -> str:
    """The commit's id in ``main@sha1:ID``, or in the older ``main/ID``."""
    found = re.search(r"(?:^|[:/])([0-9a-f]{40}(?:[0-9a-f]{24})?)$", str(text or ""))
    return found[1] if found else ""


def _has(contains: Contains, revision: str) -> bool:
    return bool(revision) and contains(revision)


def _at(found: Object, *path: str) -> Object:
    """What is there below ``path``; empty where nothing is."""
    for key in path:
        inner = found.get(key)
        found = inner if isinstance(inner, Mapping) else {}
    return found


def arrived(
    controller: Controller, read: Read, contains: Contains, seconds: float,
    now: Callable[[], float], sleep: Callable[[float], None],
) -> None:  # fmt: skip
    """Return when ``controller`` reports the commit.

    GreenlightError where it says for ``FAILED_SECONDS`` that it cannot apply it; Waiting with what
    it last said after ``seconds``.
    """
    deadline = now() + seconds
    failing_since: float | None = None
    while (told := progress(controller, read, contains)).state != "done":
        moment = now()
        if told.state != "failed":
            failing_since = None
        elif failing_since is None:
            failing_since = moment
        if failing_since is not None and moment - failing_since >= FAILED_SECONDS:
            _end(GreenlightError, controller, "cannot apply the commit", told)
        if moment >= deadline:
            failed = told.state == "failed"
            kind: type[GreenlightError] = GreenlightError if failed else Waiting
            _end(kind, controller, f"has not reported the commit after {seconds:g} s", told)
        sleep(min(LOOK_SECONDS, max(0.0, deadline - moment)))


def _end(
    kind: type[GreenlightError], controller: Controller, what: str, told: Progress
) -> NoReturn:
    raise kind(
        f"{controller.called} {what}: {told.reason[:1000]}. Git has it, the cluster does not. Look "
        f"with `{controller.look}`; run the command again to go on waiting"
    )
