"""``model`` and ``engine`` of ``llm.yaml``: the weights, where they are, and what serves them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from release.sections import TIGHTENED, FilePath, Section, Text, inside
from release.vllm_version import VllmVersion

RESERVED_SOURCES = ("azureml", "https", "models")

REMOTE = {
    "oci": r"oci://[a-z0-9][a-z0-9.:-]*/[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}",
    "hf": r"hf://[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*@[0-9a-f]{40}",
    "volume": r"volume://[a-z0-9][a-z0-9-]{0,62}/[A-Za-z0-9][\w./-]*@[0-9a-f]{64}",
}
"""Sources that a cluster fetches itself, each with what makes it the same tomorrow: an image's
digest, a commit, or the SHA-256 of the folder's SHA256SUMS (which no pod compares yet)."""

_LIKE = {
    "oci": "oci://HOST/REPOSITORY@sha256:DIGEST",
    "hf": "hf://OWNER/MODEL@COMMIT, the commit in full",
    "volume": "volume://CLAIM/FOLDER@SHA256 of the folder's file SHA256SUMS",
}


def _source(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if scheme in RESERVED_SOURCES:
        raise ValueError(f"a source that has an engine: {scheme}: is reserved")
    if scheme == "package" and re.fullmatch(r"//[A-Za-z_]\w*/[^/].*", rest):
        inside(rest.removeprefix("//").partition("/")[2])
    elif scheme == "file" and rest and not rest.startswith("//"):
        inside(rest)
    elif scheme in REMOTE:
        if ".." in rest or not re.fullmatch(REMOTE[scheme], value):
            raise ValueError(f"must be {_LIKE[scheme]}")
    else:
        raise ValueError(
            "must be package://PACKAGE/FILE or file:PATH; on Kubernetes also "
            + ", ".join(_LIKE.values())
        )
    return value


def _remote(value: str) -> str:
    if value.partition(":")[0] not in REMOTE:
        raise ValueError(f"must be {', '.join(_LIKE.values())}")
    return _source(value)


def _pinned(value: str) -> str:
    if value.startswith("hf:"):
        raise ValueError(
            f"must be {_LIKE['oci']} or {_LIKE['volume']}: vLLM takes no commit of an adapter"
        )
    return _remote(value)


class Model(Section):
    """The weights, and what is known of them before anything opens them."""

    name: Text = Field(description="as its makers call it")
    source: Annotated[str, AfterValidator(_source)] = Field(
        description="package://PACKAGE/FILE (a file of an installed Python package) or file:PATH; "
        "on Kubernetes also oci://HOST/REPOSITORY@sha256:DIGEST, hf://OWNER/MODEL@COMMIT and "
        "volume://CLAIM/FOLDER@SHA256 (of the folder's SHA256SUMS)"
    )
    license: Text = Field(description="SPDX identifier, held against the allowed ones")
    card: FilePath = Field(description="the model card, Markdown, in the application's folder")
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="refuse any other file; None accepts what the source holds"
    )

    @property
    def remote(self) -> bool:
        """Whether a cluster fetches it, and this machine never has it."""
        return self.source.partition(":")[0] in REMOTE

    @model_validator(mode="after")
    def _known_once(self) -> Model:
        if self.remote and self.sha256 is not None:
            raise ValueError("no sha256 beside a source that carries its own")
        return self


class LlamaCpp(Section):
    """llama.cpp, on the processor."""

    name: Literal["llama.cpp"] = Field(description="GGUF files")
    context: int = Field(4096, ge=256, le=1 << 20, description="tokens, for all decoding slots")
    parallel: int = Field(4, ge=1, le=64, description="requests decoded at the same time")
    threads: int = Field(2, ge=1, le=256, description="CPU threads")
    isolation: Literal["shared", "dedicated"] = Field(
        "shared", description="dedicated: a model server of its own for each slot"
    )


class Adapter(Section):
    """A LoRA adapter that the model answers through."""

    source: Annotated[str, AfterValidator(_pinned), TIGHTENED] = Field(
        description="as of the model: oci:// or volume://"
    )
    rank: int = Field(16, ge=1, le=512, description="of its matrices, at most")


class Vllm(Section):
    """vLLM, on GPUs, from safetensors files alone: other formats can carry code. Where a model is
    bitsandbytes', vLLM's own loader for it takes `*.bin` or `*.pt` if there are no safetensors.
    """

    name: Literal["vllm"] = Field(description="safetensors files, on Kubernetes")
    version: VllmVersion = Field(
        description="exactly, 0.18 or later; the environment's image must be of it"
    )
    context: int = Field(8192, ge=256, le=1 << 21, description="tokens of one request")
    parallel: int = Field(64, ge=1, le=4096, description="requests decoded at the same time")
    tensor_parallel: int = Field(1, ge=1, le=16, description="GPUs that share one model")
    quantization: Literal["awq", "gptq", "fp8", "compressed-tensors", "bitsandbytes"] | None = (
        Field(None, description="None: as the model's own configuration says")
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="of weights and activations"
    )
    gpu_memory: float = Field(
        0.9, gt=0, le=0.99, description="share of each GPU's memory that vLLM takes"
    )
    adapter: Adapter | None = Field(None, description="a LoRA adapter; None: the model alone")
    isolation: Literal["shared", "dedicated"] = Field(
        "shared", description="dedicated: a model server of its own for each slot"
    )
