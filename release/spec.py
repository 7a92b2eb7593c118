"""``llm.yaml`` v1: what a team writes, frozen and checked.

Only sections that have an engine have a shape here. The names of the others are reserved and
refused by name, so that a file which asks for something never seems to get it.
``apiVersion: greenlight/v1`` only grows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from release.complaints import complaints, placed
from release.documents import Document, Key, Place, overlay, read_document
from release.errors import BadInput, Problem
from release.kubernetes_section import Kubernetes, is_the_clusters
from release.locations import EXAMPLES, Location, parse_location
from release.rollout_section import Rollout
from release.sections import RECORDED, FilePath, Identifier, Name, Section, Share, Text, inside
from release.vllm_version import VllmVersion

FILE_NAME = "llm.yaml"
API_VERSION = "greenlight/v1"

RESERVED = (
    "access", "adapters", "agents", "alerts", "approvals", "batch", "chain", "cost", "drift",
    "edge", "feedback", "memory", "monitoring", "privacy", "retraining", "retrieval",
    "strategies", "streaming", "tools", "training", "training_data",
)  # fmt: skip
LOCAL = "local"
RESERVED_TARGETS = ("azureml",)
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

    source: Annotated[str, AfterValidator(_pinned)] = Field(
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


class Message(Section):
    """One message of the prompt: a Jinja2 template, inline or in a file."""

    role: Literal["system", "user", "assistant"] = Field(description="as in a chat request")
    content: Text | None = Field(None, description="the template itself")
    file: FilePath | None = Field(None, description="the template's file, instead of content")

    @model_validator(mode="after")
    def _one_of_two(self) -> Message:
        if (self.content is None) == (self.file is None):
            raise ValueError("either content or file")
        return self


class Prompt(Section):
    """The messages that the release puts around a caller's question."""

    inputs: tuple[Identifier, ...] = Field(
        ("query",),
        min_length=1,
        max_length=32,
        description="what the templates may use; query is the caller's last message, the others "
        "come from the request's inputs object",
    )
    messages: tuple[Message, ...] = Field(
        min_length=1, max_length=64, description="in order; the last has the role user"
    )

    @model_validator(mode="after")
    def _a_question_at_the_end(self) -> Prompt:
        if "query" not in self.inputs:
            raise ValueError("inputs that name query, which is the caller's last message")
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs that name each input once")
        if self.messages[-1].role != "user":
            raise ValueError("a last message with the role user")
        return self


class Parameters(Section):
    """Sampling, with OpenAI's names. They belong to the release: callers do not change them."""

    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="share of probability to choose from")
    max_tokens: int = Field(256, ge=1, le=1 << 20, description="tokens; callers may ask for fewer")
    seed: int = Field(7, ge=0, le=2**31 - 1, description="of the random choice")
    stop: tuple[Text, ...] = Field(
        (), max_length=4, description="texts that end an answer; OpenAI's limit is 4"
    )


Quality = Literal["exact_match", "contains", "f1", "refusal"]
Speed = Literal["latency_p50_seconds", "latency_p95_seconds", "tokens_per_second"]
LOWER_IS_BETTER = ("latency_p50_seconds", "latency_p95_seconds")


class Gate(Section):
    """A limit on one metric, and how much worse than the incumbent it may be."""

    metric: Literal[Quality, Speed] = Field(
        description="quality: means over the cases, 0 to 1; speed: of requests one at a time"
    )
    min: float | None = Field(None, ge=0, description="for what is better when higher")
    max: float | None = Field(None, ge=0, description="for what is better when lower: seconds")
    max_drop: Share | None = Field(
        None, description="quality: points (0 to 1) that the candidate may lie below the incumbent"
    )
    max_change: float | None = Field(
        None, gt=0, description="speed: share by which it may be worse, 0.5 is half as much again"
    )
    tags: tuple[Text, ...] = Field((), description="only the cases with one of these tags")

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Gate:
        speed = self.metric in get_args(Speed)
        lower = self.metric in LOWER_IS_BETTER
        if self.min is None and self.max is None:
            raise ValueError("a limit: " + ("max" if lower else "min"))
        if (self.min if lower else self.max) is not None:
            limit, better = ("max", "lower") if lower else ("min", "higher")
            raise ValueError(f"{limit} alone: {self.metric} is better when {better}")
        if speed and self.max_drop is not None:
            raise ValueError("max_change for a speed; max_drop is for quality")
        if not speed and self.max_change is not None:
            raise ValueError("max_drop for quality; max_change is for a speed")
        if not speed and (self.min or 0) > 1:
            raise ValueError("a quality score between 0 and 1")
        return self


class Evaluation(Section):
    """The questions, and what the answers must reach."""

    data: FilePath = Field(description="JSONL: query, context, ground_truth, tags, optional id")
    concurrency: int = Field(4, ge=1, le=256, description="questions asked at the same time")
    timeout_seconds: float = Field(60.0, gt=0, le=3600, description="for one answer")
    latency_cases: int = Field(
        12, ge=5, le=1000, description="asked of candidate and incumbent in turn, one at a time"
    )
    refusal: tuple[Text, ...] = Field(
        ("i don't know",), min_length=1, description="an answer with one of these is a refusal"
    )
    gates: tuple[Gate, ...] = Field(
        min_length=1, max_length=64, description="all of them have to pass"
    )


class Compliance(Section):
    """Tightens what the platform allows; it cannot widen it."""

    licenses: tuple[Text, ...] | None = Field(
        None, description="SPDX identifiers; None: all that the platform allows"
    )


TARGETS = (LOCAL, "kubernetes")


def _target(value: str) -> str:
    if value in RESERVED_TARGETS:
        raise ValueError(f"local: {value} is reserved, this version has no engine for it")
    if value not in TARGETS:
        raise ValueError(f"must be {' or '.join(TARGETS)}")
    return value


class RateLimit(Section):
    """How often the environment's users may ask. Beyond it they get 429, and when to retry."""

    per_second: float = Field(
        alias="perSecond", gt=0, le=100_000, description="requests a second in the long run"
    )
    burst: int = Field(ge=1, le=100_000, description="requests that may come at once")


class Environment(Section):
    """One stage on the way to production."""

    target: Annotated[str, AfterValidator(_target)] = Field(
        "local",
        description="local: processes on this machine; kubernetes: a cluster",
        json_schema_extra={"enum": ["local", "kubernetes"]},
    )
    kubernetes: Kubernetes | None = Field(
        None, description="where in a cluster; needed for that target"
    )
    port: int = Field(0, ge=0, le=65535, description="of the gateway; 0 lets the kernel choose")
    rate_limit: RateLimit | None = Field(
        None, alias="rateLimit", description="for the user's key; None: no limit"
    )

    @model_validator(mode="after")
    def _has_what_its_target_needs(self) -> Environment:
        if self.target == "kubernetes" and self.kubernetes is None:
            raise ValueError("kubernetes beside target: kubernetes")
        return self


def _ledger(value: object) -> str:
    """``value`` as a location is spelt. A complaint shows nothing of it: it may hold a key."""
    try:
        return parse_location(value).url
    except ValueError as error:
        raise PydanticCustomError("withheld", "{text}", {"text": str(error)}) from None


def _set_apart(environments: Mapping[str, Environment]) -> Mapping[str, Environment]:
    ports = [one.port for one in environments.values() if one.port]
    if len(ports) != len(set(ports)):
        raise ValueError("a port of its own for each environment")
    return environments


class Spec(Section):
    """A whole ``llm.yaml``."""

    api_version: Literal["greenlight/v1"] = Field(
        alias="apiVersion", description="this format; it only grows"
    )
    name: Name = Field(description="lower case, 2 to 31 letters, digits and single dashes")
    description: str = Field("", description="for people")
    model: Model = Field(description="the weights")
    engine: Annotated[LlamaCpp | Vllm, Field(discriminator="name")] = Field(
        description="the model server"
    )
    prompt: Prompt = Field(description="what is put around a question")
    parameters: Parameters = Field(Parameters(), description="sampling")
    evaluation: Evaluation = Field(description="questions and gates")
    compliance: Compliance = Field(Compliance(), description="what else is asked of the model")
    rollout: Rollout = Field(Rollout(), description="how traffic moves")
    ledger: Annotated[str, BeforeValidator(_ledger)] | None = Field(
        None,
        description="where the record is kept, as a URL of Azure Blob, S3 or Google Cloud Storage; "
        "None: in the application's folder, which only environments on this machine can use",
    )
    environments: Annotated[Mapping[Name, Environment], AfterValidator(_set_apart)] = Field(
        min_length=1,
        max_length=16,
        description="in the order in which a release passes them",
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _runs_where_it_can(self) -> Spec:
        vllm = self.engine.name == "vllm"
        if vllm != self.model.remote:
            raise ValueError("a model that a cluster fetches with engine vllm, and with no other")
        if vllm and any(one.target == LOCAL for one in self.environments.values()):
            raise ValueError("target: kubernetes in every environment: no GPU is driven from here")
        return self

    @model_validator(mode="after")
    def _sets_namespaces_apart(self, info: ValidationInfo) -> Spec:
        """Also one that is named from one that is named after its environment."""
        if info.context == RECORDED:
            return self
        taken = set()
        for name, one in self.environments.items():
            if one.kubernetes is None:
                continue
            place = (one.kubernetes.context, one.kubernetes.namespace_of(self.name, name))
            if place in taken:
                expected = "a kubernetes.namespace of its own for each environment"
                raise placed(expected, place[1], "environments", name, "kubernetes", "namespace")
            taken.add(place)
        return self

    @model_validator(mode="after")
    def _keeps_out_of_the_clusters_namespaces(self, info: ValidationInfo) -> Spec:
        if info.context == RECORDED:
            return self
        for name, one in self.environments.items():
            space = one.kubernetes.namespace_of(self.name, name) if one.kubernetes else ""
            if is_the_clusters(space):
                expected = "another namespace than NAME-ENVIRONMENT: that is the cluster's own here"
                raise placed(expected, space, "environments", name, "kubernetes", "namespace")
        return self

    @property
    def location(self) -> Location | None:
        """Where the shared record is; None: it is not shared."""
        return parse_location(self.ledger) if self.ledger else None


def load_spec(app: Path, changes: tuple[Path, ...] = ()) -> Spec:
    """The spec of the application in folder ``app``, with ``changes`` laid over it in order."""
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    return parse_spec(document)


def parse_spec(document: Document) -> Spec:
    """``document`` as a spec, or BadInput with every problem that it has."""
    reserved = [_reserved_problem(document, key) for key in document.value if key in RESERVED]
    kept = {key: value for key, value in document.value.items() if key not in RESERVED}
    try:
        spec = Spec.model_validate_json(json.dumps(kept))
    except ValidationError as error:
        raise BadInput(*reserved, *complaints(document, Spec, error)) from None
    if reserved:
        raise BadInput(*reserved)
    return spec


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``llm.yaml``, for editors."""
    schema = Spec.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Greenlight application (llm.yaml)",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _reserved_problem(document: Document, key: str) -> Problem:
    file, line = document.place((key,))
    return Problem(
        file=file,
        line=line,
        path=key,
        expected="a section that has an engine",
        found=f"{key!r}, which is reserved for a later version",
        remedy="Remove it: nothing would act on it.",
    )


def require_shared(spec: Spec, app: Path, changes: tuple[Path, ...] = ()) -> None:
    """BadInput when something runs elsewhere and the record is on this machine: whoever else
    acts there could not read it, and two machines would each write their own.
    """
    away = {name: one.target for name, one in spec.environments.items() if one.target != LOCAL}
    if spec.ledger is not None or not away:
        return
    problems = []
    for name, target in away.items():
        path = ("environments", name, "target")
        file, line = locate(app, changes, path)
        expected = f"a ledger on object storage, because {name} runs on {target}"
        found = "none: the record would be in a folder of this machine"
        remedy = f"Add `ledger: URL` to {FILE_NAME}, a URL like {' or '.join(EXAMPLES)}."
        problems.append(Problem(expected, found, remedy, file, line, ".".join(path)))
    raise BadInput(*problems)


def locate(app: Path, changes: tuple[Path, ...], path: tuple[Key, ...]) -> Place:
    """File and line of ``path`` in the spec as it was read: for errors found after reading it."""
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    return document.place(path)
