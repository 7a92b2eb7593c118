"""What Argo CD and Flux say of a commit, as cases; and how long they are listened to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.gitops.controllers import (
    FAILED_SECONDS,
    Controller,
    Progress,
    arrived,
    of_application,
    of_kustomization,
    of_source,
    progress,
)
from release.errors import GreenlightError, Waiting

ARGO = Controller("argocd", "x", "argocd", "https://h/r", "assist/production")
OURS, OLD, LATER = "a" * 40, "0" * 40, "b" * 40


def contains(revision: str) -> bool:
    """Ours, and what somebody put on top of it."""
    return revision in (OURS, LATER)


SOURCE = {"repoURL": "https://h/r", "path": "assist/production", "targetRevision": "main"}
AUTOMATED: dict[str, Any] = {"automated": {"prune": True}}


def application(
    revision: str = OURS, status: str = "Synced", policy: Mapping[str, Any] = AUTOMATED, **more: Any
) -> dict[str, Any]:
    """An Application that has compared ``revision``."""
    sync = {"status": status, "revision": revision, "comparedTo": {"source": SOURCE}}
    return {
        "metadata": {"name": "x"},
        "spec": {"source": SOURCE, "syncPolicy": policy},
        "status": {"sync": sync, **more},
    }


def operation(phase: str, revision: str = OURS, message: str = "") -> dict[str, Any]:
    """An Application's last sync."""
    result = {"revision": revision, "source": SOURCE}
    return {"operationState": {"phase": phase, "message": message, "syncResult": result}}


CHART = {"repoURL": "https://h/charts", "chart": "x", "targetRevision": "1.2.3"}
OTHERS = {"repoURL": "https://h/other", "path": "values", "targetRevision": "main"}
FOREIGN = "c" * 40


def of_several(
    *revisions: str, sources: Any = (CHART, OTHERS, SOURCE), **more: Any
) -> dict[str, Any]:
    """An Application with several sources, as Argo CD writes it: ``revision`` is empty."""
    compared = {"source": {"repoURL": ""}, "sources": sources}
    told = {"status": "Synced", "revisions": revisions, "comparedTo": compared}
    return {
        "metadata": {"name": "x"},
        "spec": {"sources": sources, "syncPolicy": AUTOMATED},
        "status": {"sync": told, **more},
    }


def synced_several(phase: str, *revisions: str, message: str = "") -> dict[str, Any]:
    """The last sync of an Application with several sources."""
    result = {"revision": "", "revisions": revisions}
    return {"operationState": {"phase": phase, "message": message, "syncResult": result}}


ALIKE = {**SOURCE, "repoURL": "https://h/r.git", "path": "./assist/production/"}
MOVED_SEVERAL = of_several("1.2.3", FOREIGN, OURS)
MOVED_SEVERAL["spec"] = {"sources": [CHART, {**OTHERS, "targetRevision": "next"}, SOURCE]}

MOVED = {**application(), "spec": {"source": {**SOURCE, "path": "other"}}}

APPLICATIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "synced": (application(), "done", ""),
    "synced with a later commit": (application(LATER), "done", ""),
    "synced, its pods not well yet": (application(health={"status": "Degraded"}), "done", ""),
    "synced and said so": (application(**operation("Succeeded")), "done", ""),
    "new": ({"metadata": {"name": "x"}, "spec": {}}, "waiting", "no commit yet"),
    "at an older commit": (application(OLD), "waiting", "knows 000000000000"),
    "compared": (application(status="OutOfSync"), "waiting", "not in sync"),
    "not automated": (application(status="OutOfSync", policy={}), "waiting", "sync is off"),
    "switched off": (
        application(status="OutOfSync", policy={"automated": {"enabled": False}}),
        "waiting",
        "sync is off",
    ),
    "syncing": (application(**operation("Running", message="one of 3")), "waiting", "one of 3"),
    "failed": (
        application(status="OutOfSync", **operation("Failed", message="webhook denied")),
        "failed",
        "webhook denied",
    ),
    "failed with an older commit": (
        application(OLD, "OutOfSync", **operation("Failed", OLD, "denied")),
        "waiting",
        "knows 000000000000",
    ),
    "not automated, and what is to go is still there": (
        application(
            status="OutOfSync",
            policy={"automated": {"prune": False}},
            resources=[
                {"kind": "Service", "name": "a", "status": "OutOfSync", "requiresPruning": True}
            ],
        ),
        "waiting",
        "Service a has to be pruned, and its automated sync does not prune",
    ),
    "some of it is not in sync": (
        application(
            status="OutOfSync",
            resources=[
                {"kind": "Service", "name": "a", "status": "Synced"},
                {"kind": "Deployment", "name": "b", "status": "OutOfSync"},
            ],
        ),
        "waiting",
        "not in sync with it: Deployment b; a sync window",
    ),
    "another Application has one of them": (
        application(
            status="OutOfSync",
            conditions=[
                {"type": "SharedResourceWarning", "message": "Service/a is part of b and c"}
            ],
        ),
        "waiting",
        "not in sync with it; Service/a is part of b and c; a sync window",
    ),
    "it cannot read Git": (
        application(OLD, conditions=[{"type": "ComparisonError", "message": "no route"}]),
        "waiting",
        "no route",
    ),
    "several sources, synced": (of_several("1.2.3", FOREIGN, OURS), "done", ""),
    "several sources, synced with a later commit": (
        of_several("1.2.3", FOREIGN, LATER, **synced_several("Succeeded", "1.2.3", FOREIGN, LATER)),
        "done",
        "",
    ),
    "several sources, at an older commit of ours": (
        of_several("1.2.3", FOREIGN, OLD),
        "waiting",
        "knows 000000000000",
    ),
    "several sources, the commit is another one's": (
        of_several("1.2.3", OURS, OLD),
        "waiting",
        "knows 000000000000",
    ),
    "several sources, none looked at yet": (of_several(), "waiting", "no commit yet"),
    "several sources, failed": (
        of_several(
            "1.2.3",
            FOREIGN,
            OURS,
            **synced_several("Failed", "1.2.3", FOREIGN, OURS, message="denied"),
        ),
        "failed",
        "denied",
    ),
    "several sources, failed with another one's commit": (
        of_several(
            "1.2.3", FOREIGN, OLD, **synced_several("Failed", "1.2.3", OURS, OLD, message="denied")
        ),
        "waiting",
        "knows 000000000000",
    ),
    "several sources, ours written otherwise": (
        of_several(FOREIGN, OURS, sources=(OTHERS, ALIKE)),
        "done",
        "",
    ),
    "several sources, ours known by its folder alone": (
        of_several(FOREIGN, OURS, sources=(OTHERS, {**SOURCE, "repoURL": "git@h:r"})),
        "done",
        "",
    ),
    "several sources, ours known by its repository alone": (
        of_several(FOREIGN, OURS, sources=(OTHERS, {**SOURCE, "path": "assist"})),
        "done",
        "",
    ),
    "several sources, of other settings": (MOVED_SEVERAL, "waiting", "settings were changed"),
    "of other settings": (MOVED, "waiting", "settings were changed"),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_what_an_application_says(name: str) -> None:
    """Its status, what that means, and words that the reason holds."""
    found, state, words = APPLICATIONS[name]
    told = of_application(found, contains, ARGO)

    assert told.state == state
    assert words in told.reason


def kustomization(
    applied: str = "", tried: str = "", ready: str = "", reason: str = "", message: str = "",
    generations: tuple[int, int, int] = (2, 2, 2), suspend: bool = False, stalled: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A Kustomization; ``generations`` of its settings, its status, its conditions."""
    own, seen, told = generations
    conditions = [
        {"type": kind, "status": value, "reason": reason, "message": message,
         "observedGeneration": told}
        for kind, value in (("Ready", ready), ("Stalled", "True" if stalled else ""))
        if value
    ]  # fmt: skip
    status: dict[str, Any] = {"observedGeneration": seen, "conditions": conditions}
    if applied:
        status["lastAppliedRevision"] = f"main@sha1:{applied}"
    if tried:
        status["lastAttemptedRevision"] = f"main@sha1:{tried}"
    ref = {"kind": "GitRepository", "name": "x"}
    return {
        "metadata": {"name": "x", "generation": own},
        "spec": {"suspend": suspend, "sourceRef": ref},
        "status": status,
    }


KUSTOMIZATIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "applied": (kustomization(OURS, OURS, "True"), "done", ""),
    "applied a later commit": (kustomization(LATER, LATER, "True"), "done", ""),
    "applied, a later one fails": (
        kustomization(OURS, LATER, "False", "BuildFailed", "bad"), "done", ""),
    "new": ({"metadata": {"generation": 1}, "spec": {}}, "waiting", "settings were changed"),
    "at an older commit": (kustomization(OLD, OLD, "True"), "waiting", "applied 000000000000"),
    "applying": (kustomization(OLD, OURS, "Unknown", "Progressing", "in progress"),
                 "waiting", "in progress"),
    "failed": (kustomization(OLD, OURS, "False", "ReconciliationFailed", "denied"),
               "failed", "denied"),
    "failed with an older commit": (
        kustomization("", OLD, "False", "BuildFailed", "bad"), "waiting", "applied nothing"),
    "its source is not ready": (
        kustomization(OLD, OURS, "False", "ArtifactFailed", "no artifact"), "waiting", "artifact"),
    "waits for another": (
        kustomization(OLD, OURS, "False", "DependencyNotReady", "of y"), "waiting", "of y"),
    "stalled": (kustomization(stalled=True, message="no such path"), "failed", "no such path"),
    "suspended": (kustomization(OURS, OURS, "True", suspend=True), "waiting", "suspended"),
    "of other settings": (
        kustomization(OURS, OURS, "True", generations=(3, 2, 2)), "waiting", "settings"),
    "with an old complaint": (
        kustomization(OLD, OURS, "False", "BuildFailed", "bad", generations=(3, 3, 2)),
        "waiting", "applied 000000000000"),
}  # fmt: skip


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_a_kustomization_says(name: str) -> None:
    """Its status, what that means, and words that the reason holds."""
    found, state, words = KUSTOMIZATIONS[name]
    told = of_kustomization(found, contains)

    assert told.state == state
    assert words in told.reason


def test_older_revisions_of_flux_are_read_too() -> None:
    found = kustomization()
    found["status"]["lastAppliedRevision"] = f"main/{OURS}"

    assert of_kustomization(found, contains) == Progress("done")


def test_a_source_that_cannot_fetch_is_told_beside_the_kustomization() -> None:
    """The reason is there, not in what waits for it."""
    ready = {"type": "Ready", "status": "False", "message": "authentication required"}
    source = {"metadata": {"name": "x"}, "status": {"conditions": [ready]}}
    objects = {"Kustomization": kustomization(OLD, OLD, "True"), "GitRepository": source}
    flux = Controller("flux", "x", "flux-system")

    told = progress(flux, lambda kind, name, namespace: objects[kind], contains)

    assert told.state == "waiting"
    assert "its source x: authentication required" in told.reason
    assert of_source(None) == "its source is not there"


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.passed += max(seconds, 0.001)


def waited(*told: dict[str, Any] | None, seconds: float = 600) -> float:
    """How long ``arrived`` took over a controller that says one after the other, then the last."""
    said, time = list(told), Time()

    def read(kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        return said.pop(0) if len(said) > 1 else said[0]

    arrived(ARGO, read, contains, seconds, time.now, time.sleep)
    return time.passed


def test_it_waits_until_the_very_commit_is_reported() -> None:
    assert waited(None, application(OLD), application(status="OutOfSync"), application()) == 6


def test_a_stuck_controller_is_told_with_what_it_last_said() -> None:
    with pytest.raises(Waiting, match=r"600 s: it knows 000000000000.*kubectl --namespace argocd"):
        waited(application(OLD))


def test_a_failure_that_stays_ends_the_wait_early() -> None:
    failed = application(status="OutOfSync", **operation("Failed", message="denied"))

    with pytest.raises(GreenlightError, match="cannot apply the commit: denied") as ended:
        waited(failed)
    assert not isinstance(ended.value, Waiting)


@pytest.mark.parametrize(
    ("spec", "followed"),
    [
        ({"source": SOURCE}, "assist/production"),
        ({"sources": [CHART, OTHERS, ALIKE]}, "assist/production"),
        ({"source": OTHERS}, "values"),
        ({"sources": [CHART, OTHERS]}, ""),
        ({}, ""),
    ],
)
def test_the_folder_that_it_follows_is_ours_where_one_of_its_sources_is(
    spec: dict[str, Any], followed: str
) -> None:
    assert ARGO.follows(lambda *_: {"spec": spec}) == followed


def test_a_failure_that_passes_is_none() -> None:
    """Both controllers try again by themselves."""
    failed = application(status="OutOfSync", **operation("Failed", message="denied"))

    assert waited(failed, failed, application()) < FAILED_SECONDS


def test_a_controller_that_is_not_there_is_told_with_what_makes_it() -> None:
    with pytest.raises(Waiting, match="greenlight render"):
        waited(None, seconds=4)


def test_a_look_at_once_is_asked_for_as_each_controller_takes_it() -> None:
    (argo,) = ARGO.refreshed()
    flux = Controller("flux", "x", "flux-system").refreshed()

    assert argo[3] == {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
    assert [one[0] for one in flux] == ["GitRepository", "Kustomization"]
    assert all("reconcile.fluxcd.io/requestedAt" in str(one[3]) for one in flux)
