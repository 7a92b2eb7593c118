"""What a namespace's limit ranges refuse and ask for is known before a pod is made."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifests.making import rendering
from tests.pipelines.rooms import CPU, limit_range, room


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (limit_range(default={"cpu": "1"}),
         "container model asks for 2 cpu and is limited by LimitRange bounds to 1"),
        (limit_range(max={"memory": "2Gi"}),
         "container model has a limit of 4Gi of memory, LimitRange bounds wants at most 2Gi"),
        (limit_range(max={"cpu": "1"}),
         "container application has a limit that is missing of cpu, LimitRange bounds wants "
         "at most 1"),
        (limit_range(min={"memory": "1Gi"}),
         "container application asks for 512Mi memory, LimitRange bounds wants at least 1Gi"),
        (limit_range("Pod", max={"memory": "1Gi"}),
         "a pod has a limit of 4Gi of memory, LimitRange bounds wants at most 1Gi"),
        (limit_range(default={"cpu": "4"}, maxLimitRequestRatio={"cpu": "8"}),
         "container application may use 4 cpu and asks for 0.25, LimitRange bounds wants at most "
         "8 times as much"),
    ],
)  # fmt: skip
def test_S04_what_a_limit_range_refuses_is_told_before_it_is_made(
    given: dict[str, Any], says: str
) -> None:
    """By the container and by the range's name."""
    found = room(rendering(CPU), LimitRange=[given])

    assert found.verdict == "refused"
    assert any(one.endswith(says) for one in found.missing), found.missing


@pytest.mark.parametrize(
    "given",
    [
        limit_range(default={"cpu": "4"}, defaultRequest={"cpu": "1"}),
        limit_range(min={"cpu": "100m"}, max={"memory": "4Gi"}),
        limit_range("Pod", max={"memory": "4Gi"}, maxLimitRequestRatio={"memory": "1"}),
        limit_range("PersistentVolumeClaim", max={"storage": "1Gi"}),
    ],
)
def test_what_a_limit_range_takes_has_room(given: dict[str, Any]) -> None:
    """On its bounds, too."""
    assert room(rendering(CPU), LimitRange=[given]).verdict == "enough"


def test_S04_what_a_limit_range_asks_for_is_counted() -> None:
    """A container that says nothing of it gets the default."""
    bounds = limit_range(defaultRequest={"ephemeral-storage": "100Gi"})

    (*_, told) = room(rendering(CPU), LimitRange=[bounds]).missing

    assert "1 of 2 pods of assist-blue have no room: 100Gi ephemeral-storage" in told
