"""Versions of vLLM, and the first one that a release may ask for.

Decided once: ``llm.yaml``, the flags in ``manifests`` and the names in ``server_metrics`` go by it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from release.sections import TIGHTENED

VLLM_SINCE = (0, 18)
"""The first with ``--shutdown-timeout``, without which every answer under way is cut as soon as a
pod is told to go; flags and metrics of later ones are called as those of its documentation."""


def version_of(text: str) -> tuple[int, ...]:
    """``0.19.1`` as numbers, to be compared."""
    return tuple(map(int, text.split(".")))


def _late_enough(text: str) -> str:
    if version_of(text) < VLLM_SINCE:
        since = ".".join(map(str, VLLM_SINCE))
        raise ValueError(f"must be {since} or later: older ones cut what they have begun to answer")
    return text


VllmVersion = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){1,3}$"),
    AfterValidator(_late_enough),
    TIGHTENED,
]
