"""``cluster``, ``namespace`` and ``prometheus`` for every test that asks for them.

Nothing is built or started for a run in which no test does. A test that does is slow, and its
time limit does not count the minutes in which the first one of a machine builds the programs.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from tests.cluster.building import provide, provide_kubectl, provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane
from tests.cluster.running import Settings
from tests.cluster.scraping import Prometheus
from tests.cluster.sharing import shared_cluster
from tests.targets.interpreter import with_standin
from tests.test_definitions import definitions
from tools.progress import Progress
from tools.work import SetupError

STANDIN_WEIGHTS = b"weights"
"""What llama.cpp's stand-in is given to compare with its digest."""

OTHER = "GREENLIGHT_TEST_KUBECONFIG"
"""Names a file that leads to a cluster to use in place of the tests' own."""


@pytest.hookimpl(tryfirst=True)  # before --fast leaves out what is slow
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses a cluster, or Prometheus."""
    for item in items:
        if not {"cluster", "prometheus"} & set(getattr(item, "fixturenames", ())):
            continue
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else config.getini("timeout")
        item.add_marker(pytest.mark.timeout(int(seconds), func_only=True), append=False)
        item.add_marker("slow")


@pytest.fixture(scope="session")
def cluster(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A Kubernetes cluster, shared by all workers of the run: a namespace belongs to one test,
    everything else to all."""
    if other := os.environ.get(OTHER):
        cache = tmp_path_factory.mktemp("kubectl")
        yield Cluster(
            found(pytestconfig, provide_kubectl), Path(other).resolve(), cache, real_pods=True
        )
        return
    crds = definitions("crds")
    programs = found(pytestconfig, provide)
    settings = Settings(programs.paths, str(programs.stages), str(crds))
    folder = run_folder(pytestconfig, tmp_path_factory) / "cluster"
    with shared_cluster(folder, settings) as kubeconfig:
        yield Cluster(programs.paths["kubectl"], kubeconfig, folder / "cache")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test's own."""
    with cluster.namespace() as name:
        yield name


class Plane(Protocol):
    """Makes data planes, see ``DataPlane``; by default the test's own ``namespace`` has one, in
    which llama.cpp answers without a model and the weights are ``STANDIN_WEIGHTS``.
    """

    def __call__(self, namespace: str = "", **options: Any) -> DataPlane:
        """One that has started."""


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose llama.cpp answers without a model."""
    return with_standin(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def played(cluster: Cluster, namespace: str) -> str:
    """A namespace of this test's own, on nodes that are played: the tests can run its pods."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")
    return namespace


@pytest.fixture
def data_plane(cluster: Cluster, played: str, tmp_path: Path, standin: str) -> Iterator[Plane]:
    """Real processes behind pods, and a gateway in front of them."""
    weights = tmp_path / "weights"
    weights.write_bytes(STANDIN_WEIGHTS)
    files = {f"/models/{hashlib.sha256(STANDIN_WEIGHTS).hexdigest()}": weights}
    commands = {"python": (standin,)}
    with ExitStack() as planes:

        def make(namespace: str = played, **options: Any) -> DataPlane:
            folder = tmp_path / f"plane-{uuid.uuid4().hex[:6]}"
            given = {"files": files, "commands": commands, **options}
            return planes.enter_context(DataPlane(cluster, namespace, folder, **given))

        yield make


@pytest.fixture
def prometheus(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus of this test's own, which reads nothing yet."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    one = Prometheus(found(pytestconfig, provide_prometheus), folder)
    with one.running():
        yield one


T = TypeVar("T")


def found(config: pytest.Config, provider: Callable[[Progress], T]) -> T:
    """What ``provider`` gives, its progress shown. Without it, fail in CI and skip elsewhere."""
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            return provider(Progress())
    except SetupError as error:
        if os.environ.get("CI"):
            pytest.fail(f"not to be had: {error}")
        pytest.skip(f"not to be had: {error}")


def run_folder(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run: those of its workers are in it."""
    own = factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own
