"""``scraped``: pods for real, and a Prometheus that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from manifests.model import Rendering
from tests.cluster.scraping import Prometheus
from tests.manifests.making import rendering
from tests.serving.test_pods import SMALL, Cluster, small
from tests.targets.interpreter import with_standin
from tests.targets.kubernetes.pods import Namespace


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose llama.cpp answers without a model."""
    return with_standin(tmp_path_factory.mktemp("python"))


@pytest.fixture
def scraped(prometheus: Prometheus, tmp_path: Path, python: str) -> Iterator[Namespace]:
    """Two slots with no pod yet, and their model server; a refusal has a phrase."""
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    cluster = Cluster(
        telling(rendering(small(), small("Be kind."), drain_seconds=1)),
        tmp_path,
        files={f"/models/{SMALL.sha256}": weights},
        commands={"python": (python,)},
    )
    with ExitStack() as ends:
        made = Namespace(cluster, prometheus, tmp_path)
        ends.callback(made.end)
        made.server()
        yield made


def telling(what: Rendering) -> Rendering:
    """``what``, with a phrase by which each slot refuses, as every llm.yaml has one."""
    return replace(what, slots=tuple(replace(one, refusal=("i don't know",)) for one in what.slots))
