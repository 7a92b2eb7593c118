"""A release: all that serves, under one digest.

The digest covers what a caller can notice (weights, engine with version and flags, prompts,
parameters) and nothing else: no path, no time, no machine, no order of keys.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from release.integrity import canonical, sha256
from release.sections import Identifier
from release.spec import Parameters

LABEL_DIGITS = 7  # as git abbreviates

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


def label(application: str, digest: str) -> str:
    """How people name a release: ``app@3f2a91c``."""
    return f"{application}@{digest[:LABEL_DIGITS]}"


class Part(BaseModel):
    """A frozen part of a release."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Weights(Part):
    """A model file, known by its content."""

    sha256: Digest
    size: int
    format: str


class RemoteWeights(Part):
    """Weights that a cluster fetches; ``source`` carries what makes them the same everywhere."""

    source: str
    format: Literal["safetensors"]

    def __str__(self) -> str:
        return self.source


class ServingEngine(Part):
    """llama.cpp with its version and flags."""

    name: Literal["llama.cpp"]
    version: str
    context: int
    parallel: int
    threads: int
    isolation: Literal["shared", "dedicated"]


class VllmEngine(Part):
    """vLLM with its version and flags. ``adapter`` is a LoRA adapter's source, empty for none."""

    name: Literal["vllm"]
    version: str
    context: int
    parallel: int
    tensor_parallel: int
    quantization: str
    dtype: str
    gpu_memory: float
    adapter: str
    adapter_rank: int
    isolation: Literal["shared", "dedicated"]


class Template(Part):
    """One message of the prompt, its template written out."""

    role: Literal["system", "user", "assistant"]
    template: str


class PromptText(Part):
    """The prompt with its declared inputs; their order means nothing."""

    inputs: tuple[Identifier, ...]
    messages: tuple[Template, ...]


class Release(Part):
    """An immutable bundle; equal content gives an equal digest on every machine."""

    version: Literal[1] = 1
    application: str
    weights: Weights | RemoteWeights
    engine: ServingEngine | VllmEngine
    prompt: PromptText
    parameters: Parameters

    @cached_property
    def content(self) -> bytes:
        """The bytes that the digest is taken of, and that the lock file holds."""
        return canonical(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``content``."""
        return sha256(self.content)

    @property
    def file(self) -> Weights | None:
        """The model file, where it is one that this machine can hold."""
        return self.weights if isinstance(self.weights, Weights) else None

    @property
    def label(self) -> str:
        """``app@3f2a91c``."""
        return label(self.application, self.digest)

    @property
    def engine_key(self) -> str:
        """Equal for releases that can share one model server: same weights, engine and flags."""
        shared = {"weights": self.weights.model_dump(), "engine": self.engine.model_dump()}
        return sha256(canonical(shared))


def parse_release(content: bytes) -> Release:
    """The release whose ``content`` this is; ValueError when it is none."""
    return Release.model_validate_json(content)


def template_text(text: str) -> str:
    """A template with line ends as LF: a checkout on another system changes nothing."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
