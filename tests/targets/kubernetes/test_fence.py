"""Two writers at once: the older one changes nothing, wherever it was when the newer one came."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.model import own
from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import MANAGED
from pipelines.targets.kubernetes.fence import Anchor
from release.integrity import Damaged
from release.ledger import Mark
from tests.cluster.client import Cluster

APP = "assist"


@pytest.fixture
def anchor(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Anchor:
    """Of an environment without anything."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return Anchor(Api(), namespace, APP, "production")


def deployment(anchor: Anchor, image: str = "a") -> dict[str, Any]:
    """Something that decides who answers."""
    labels = {"app.kubernetes.io/name": APP, **MANAGED}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": image}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    meta = {"name": "d", "namespace": anchor.namespace, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def image(anchor: Anchor) -> str:
    """What was written last."""
    found = anchor.api.get("Deployment", "d", anchor.namespace)
    assert found
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_s09_a_lower_fence_is_refused(anchor: Anchor) -> None:
    """Also when it is the first thing that this writer does; its own goes on."""
    anchor.take(7)
    anchor.take(7)

    with pytest.raises(StaleFenceError, match="fence 6 is stale: 7"):
        anchor.take(6)


class Interrupting(Api):
    """An API in which somebody newer comes between a writer's look and its write."""

    def __init__(self, newer: Anchor, fence: int) -> None:
        super().__init__()
        self.newer, self.fence, self.armed = newer, fence, True

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        found = super().get(kind, name, namespace)
        if kind == "Deployment" and self.armed:
            self.armed = False
            self.newer.take(self.fence)
        return found


def test_s09_a_write_that_was_begun_before_somebody_newer_came_is_refused(anchor: Anchor) -> None:
    """Whoever comes changes the object at once, though it has nothing to write there yet."""
    anchor.take(1)
    anchor.apply(deployment(anchor), 1)
    older = Anchor(Interrupting(anchor, 2), anchor.namespace, APP, "production")

    with pytest.raises(StaleFenceError):
        older.apply(deployment(anchor, "b"), 1)

    assert image(anchor) == "a"


def test_s09_a_delete_that_was_begun_before_somebody_newer_came_is_refused(anchor: Anchor) -> None:
    anchor.take(1)
    anchor.apply(deployment(anchor), 1)
    older = Anchor(Interrupting(anchor, 2), anchor.namespace, APP, "production")

    with pytest.raises(StaleFenceError):
        older.delete("Deployment", "d", 1)

    assert image(anchor) == "a"


def test_s09_a_takeover_that_was_cut_short_is_finished_by_the_next_write(anchor: Anchor) -> None:
    """The Lease knew of it; the objects did not."""
    anchor.take(1)
    anchor.apply(deployment(anchor), 1)
    meta = {"metadata": {"labels": {own("fence"): "2"}}}
    anchor.api.patch("Lease", anchor.name, anchor.namespace, meta)

    anchor.take(2)

    with pytest.raises(StaleFenceError):
        anchor.apply(deployment(anchor, "b"), 1)


def test_the_ledgers_head_is_remembered(anchor: Anchor) -> None:
    """It moves forward only, and another entry of the same number is refused."""
    assert anchor.seen() is None
    anchor.note(Mark(3, "a" * 64))
    assert anchor.seen() is None  # there is no environment yet

    anchor.take(1)
    anchor.note(Mark(3, "a" * 64))
    anchor.note(Mark(2, "b" * 64))
    anchor.take(2)

    assert anchor.seen() == Mark(3, "a" * 64)
    with pytest.raises(Damaged, match="Lease assist-greenlight"):
        anchor.note(Mark(3, "c" * 64))
