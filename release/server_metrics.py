"""Which metric of a model server answers which question, for the versions that are known to.

Servers rename their metrics, and a query of a name that is gone answers nothing, or zero, for
ever (S19). So a name is asked for here, and a version that nobody has looked at is refused.

llama.cpp's names are held against the real page by the tests, and its version has to be the one
that the lock file pins: an upgrade comes here first. vLLM's are those of its documentation
(https://docs.vllm.ai/en/stable/usage/metrics/); no test of ours has seen them on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from release.bundle import ServingEngine, VllmEngine
from release.errors import BadInput, Problem
from release.vllm_version import VLLM_SINCE, version_of

Question = Literal["running", "waiting", "cache_used", "prompt_tokens", "answer_tokens"]
"""Requests that are decoded; that queue; the share of the KV cache in use, from 0 to 1; tokens
read and written since the start (counters)."""

LLAMA_CPP = "2026.10.11549"
"""Version of the ``xllamacpp`` package that the names below were read from."""


TABLE: Mapping[str, Mapping[Question, str]] = {
    "llama.cpp": {
        "running": "llamacpp:requests_processing",
        "waiting": "llamacpp:requests_deferred",
        "prompt_tokens": "llamacpp:prompt_tokens_total",
        "answer_tokens": "llamacpp:tokens_predicted_total",
    },
    "vllm": {
        "running": "vllm:num_requests_running",
        "waiting": "vllm:num_requests_waiting",
        "cache_used": "vllm:kv_cache_usage_perc",
        "prompt_tokens": "vllm:prompt_tokens_total",
        "answer_tokens": "vllm:generation_tokens_total",
    },
}


def metric(engine: ServingEngine | VllmEngine, question: Question) -> str | None:
    """The name to ask Prometheus for; None where this server does not tell.

    BadInput for a version whose names nobody has looked up: a guess would read as zero.
    """
    if not _is_known(engine):
        expected = LLAMA_CPP if engine.name == "llama.cpp" else f"{_text(VLLM_SINCE)} or later"
        remedy = "Its metrics may have other names: look them up in release/server_metrics.py."
        raise BadInput(Problem(f"{engine.name} {expected}", engine.version, remedy))
    return TABLE[engine.name].get(question)


def _is_known(engine: ServingEngine | VllmEngine) -> bool:
    if isinstance(engine, ServingEngine):
        return engine.version == LLAMA_CPP
    return version_of(engine.version) >= VLLM_SINCE


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
