"""S19: which metric answers which question, and of which version that is known."""

from __future__ import annotations

import importlib.metadata

import pytest

from release.bundle import ServingEngine, VllmEngine
from release.errors import BadInput
from release.server_metrics import LLAMA_CPP, metric
from tests.manifests.making import release, vllm_release


def engine(name: str, version: str) -> ServingEngine | VllmEngine:
    """A release's engine."""
    made = release() if name == "llama.cpp" else vllm_release()
    return made.engine.model_copy(update={"version": version})


@pytest.mark.parametrize(
    ("name", "version", "waiting", "cache"),
    [
        ("llama.cpp", LLAMA_CPP, "llamacpp:requests_deferred", None),
        ("vllm", "0.19.1", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
        ("vllm", "0.18", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    ],
)
def test_a_question_has_one_name_or_none(
    name: str, version: str, waiting: str, cache: str | None
) -> None:
    """None is not zero: llama.cpp no longer tells how full its cache is."""
    assert metric(engine(name, version), "waiting") == waiting
    assert metric(engine(name, version), "cache_used") == cache


@pytest.mark.parametrize(("name", "version"), [("llama.cpp", "2025.1"), ("vllm", "0.17.1")])
def test_a_version_that_nobody_has_looked_at_is_refused(name: str, version: str) -> None:
    """A name that is gone would read as zero for ever."""
    with pytest.raises(BadInput, match="server_metrics"):
        metric(engine(name, version), "waiting")


def test_the_version_that_is_pinned_is_the_one_that_is_known() -> None:
    """An upgrade of llama.cpp has to come here first."""
    assert importlib.metadata.version("xllamacpp") == LLAMA_CPP
