"""The kubernetes target on a real API server: its pods, gateway and Prometheus are processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from release.state import StateFolder
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane
from tests.cluster.fixtures import STANDIN_WEIGHTS, found
from tests.cluster.scraping import Prometheus
from tests.cluster.stage import read_by
from tests.targets.conformance import Conformance
from tests.targets.kubernetes.bed import APP, KubernetesBed, settings, watching


@pytest.fixture(scope="module")
def environment(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[KubernetesBed]:  # fmt: skip
    """Provisioned once: each test puts its slots right."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")
    folder = tmp_path_factory.mktemp("kubernetes")
    weights = folder / "weights"
    weights.write_bytes(STANDIN_WEIGHTS)
    files = {f"/models/{hashlib.sha256(STANDIN_WEIGHTS).hexdigest()}": weights}
    (folder / "prometheus").mkdir()
    prometheus = Prometheus(found(pytestconfig, provide_prometheus), folder / "prometheus")
    with ExitStack() as held, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        held.enter_context(prometheus.running())
        name = held.enter_context(cluster.namespace())
        plane = held.enter_context(
            DataPlane(cluster, name, folder / "plane", files=files, commands={"python": (standin,)})
        )
        held.enter_context(read_by(prometheus, plane))
        target = KubernetesTarget(
            Ground(APP, "staging", settings(plane, prometheus), 30, Api()),
            StateFolder(folder / "app"), lambda _: None, watching, ("i don't know",),
            Patience(tolerated=5.0), remembered=0.0,
        )  # fmt: skip
        target.provision(1)
        yield KubernetesBed(target, plane, prometheus, cluster, 1)


class TestKubernetes(Conformance):
    """``KubernetesTarget``."""

    @pytest.fixture
    def bed(self, environment: KubernetesBed) -> KubernetesBed:
        """The one environment."""
        return environment

    def test_s07_a_slot_is_retired_though_nobody_can_count(self, bed: KubernetesBed) -> None:
        """A return does not wait for Prometheus; what it cut is unknown then, and not zero."""
        bed.prometheus.stop()

        cut = bed.target.retire("green", 5.0, bed.fence())

        bed.restart()
        assert cut is None
        assert "green" not in bed.target.facts().slots
