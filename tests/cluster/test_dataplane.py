"""What is rendered runs on the tests' cluster, and answers through a gateway."""

from __future__ import annotations

from tests.cluster.client import Cluster
from tests.cluster.fixtures import Plane
from tests.cluster.shipping import applied, placed, ready, slot_of, small


def test_a_rendered_environment_gets_ready_and_answers(cluster: Cluster, data_plane: Plane) -> None:
    """Ready means that the application has got an answer of its model server."""
    plane = data_plane()
    what = placed(plane, small(), small("Be kind."), weights={"blue": 70, "green": 30})
    applied(cluster, what)

    ready(cluster, plane.namespace)

    told = [slot_of(plane) for _ in range(10)]
    assert (told.count("blue"), told.count("green")) == (7, 3)
    assert slot_of(plane, **{"x-greenlight-slot": "green"}) == "green"
