"""The kubernetes target on a real API server: its pods, gateway and Prometheus are processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.targets.kubernetes.slots import Patience
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.targets.conformance import Conformance
from tests.targets.kubernetes.bed import KubernetesBed, provisioned


@pytest.fixture(scope="module")
def environment(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[KubernetesBed]:  # fmt: skip
    """Provisioned once: each test puts its slots right."""
    program, folder = found(pytestconfig, provide_prometheus), tmp_path_factory.mktemp("kubernetes")
    with provisioned(cluster, program, folder, standin, Patience(tolerated=5.0)) as bed:
        yield bed


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
