"""``llm.yaml`` v1: what a team writes, frozen and checked.

Only sections that have an engine have a shape here. The names of the others are reserved and
refused by name, so that a file which asks for something never seems to get it.
``apiVersion: greenlight/v1`` only grows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from release.complaints import complaints
from release.documents import Document, Key, Place, overlay, read_document
from release.errors import BadInput, Problem

FILE_NAME = "llm.yaml"
API_VERSION = "greenlight/v1"

RESERVED = (
    "access", "adapters", "agents", "alerts", "approvals", "batch", "chain", "cost", "drift",
    "edge", "feedback", "memory", "monitoring", "privacy", "retraining", "retrieval",
    "strategies", "streaming", "tools", "training", "training_data",
)  # fmt: skip
RESERVED_TARGETS = ("kubernetes", "azureml")
RESERVED_SOURCES = ("azureml", "hf", "oci", "https", "models")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z](?:-?[a-z0-9])+$", max_length=31)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Share = Annotated[float, Field(ge=0, le=1)]

LONGEST_NAME = 255  # bytes of one name in a path; what Linux's and macOS's file systems take


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError("must be a path inside the application's folder, with forward slashes")
    if not value.isprintable() or any(len(one.encode()) > LONGEST_NAME for one in path.parts):
        raise ValueError("must be a path that a file system can hold")
    return value


FilePath = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_inside)]


def _source(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if scheme in RESERVED_SOURCES:
        raise ValueError(f"a source that has an engine: {scheme}: is reserved")
    if scheme == "package" and re.fullmatch(r"//[A-Za-z_]\w*/[^/].*", rest):
        _inside(rest.removeprefix("//").partition("/")[2])
    elif scheme == "file" and rest and not rest.startswith("//"):
        _inside(rest)
    else:
        raise ValueError("must be package://PACKAGE/FILE or file:PATH")
    return value


class Section(BaseModel):
    """What every section has in common: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(Section):
    """The weights, and what is known of them before anything opens them."""

    name: Text = Field(description="as its makers call it")
    source: Annotated[str, AfterValidator(_source)] = Field(
        description="package://PACKAGE/FILE (a file of an installed Python package) or file:PATH"
    )
    license: Text = Field(description="SPDX identifier, held against the allowed ones")
    card: FilePath = Field(description="the model card, Markdown, in the application's folder")
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="refuse any other file; None accepts what the source holds"
    )


class Engine(Section):
    """The model server."""

    name: Literal["llama.cpp"] = Field(description="the only one that this version has")
    context: int = Field(4096, ge=256, le=1 << 20, description="tokens, for all decoding slots")
    parallel: int = Field(4, ge=1, le=64, description="requests decoded at the same time")
    threads: int = Field(2, ge=1, le=256, description="CPU threads")
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


class Pause(Section):
    """A stop between weights, in which both slots are measured."""

    duration: float | None = Field(
        None, gt=0, le=604_800, description="seconds; without it until `greenlight resume`"
    )


class Approval(Section):
    """A stop until somebody says yes with `greenlight approve`."""

    message: str = Field("", max_length=500, description="what has to be looked at")


class Step(Section):
    """One step of the rollout, in Argo Rollouts' words: exactly one of these."""

    set_weight: int | None = Field(
        None, alias="setWeight", ge=1, le=100, description="per cent of requests"
    )
    pause: Pause | None = Field(None, description="a time, or without one until resumed")
    set_mirror: int | None = Field(
        None,
        alias="setMirror",
        ge=0,
        le=100,
        description="per cent of requests that green answers as well, unseen; 0 ends it",
    )
    approval: Approval | None = Field(None, description="until somebody approves")

    @model_validator(mode="after")
    def _exactly_one(self) -> Step:
        given = [self.set_weight, self.pause, self.set_mirror, self.approval]
        if sum(one is not None for one in given) != 1:
            raise ValueError("one of setWeight, pause, setMirror, approval")
        return self


PerRequest = Literal["errors", "truncated", "refusals", "abandoned", "declined"]
Seconds = Literal[
    "latency_p50_seconds",
    "latency_p95_seconds",
    "first_token_p95_seconds",
    "inter_token_p95_seconds",
]

MEASURED_UP_TO = {"inter_token_p95_seconds": 10.0}
"""Seconds where a metric's histogram ends; a limit above would never be passed."""
LATENCY_MEASURED_UP_TO = 81.92


class Limit(Section):
    """How bad green may be in one window, by itself and beside blue."""

    metric: Literal[PerRequest, Seconds] = Field(
        description="errors, truncated, refusals, abandoned (the caller gave up first), declined "
        "(a 3xx or 4xx, such as of a context that became too small): shares of requests, 0 to 1; "
        "others: seconds"
    )
    max: float | None = Field(None, ge=0, description="green alone")
    max_change: float | None = Field(
        None, gt=0, description="seconds: share above blue, now and before the rollout; 0.5 is half"
    )
    max_rise: Share | None = Field(None, description="shares: points (0 to 1) above blue's")

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Limit:
        seconds = self.metric in get_args(Seconds)
        if self.max is None and self.max_change is None and self.max_rise is None:
            raise ValueError("a limit: max, or " + ("max_change" if seconds else "max_rise"))
        if seconds and self.max_rise is not None:
            raise ValueError("max_change for seconds; max_rise is for shares")
        if not seconds and self.max_change is not None:
            raise ValueError("max_rise for shares; max_change is for seconds")
        if not seconds and (self.max or 0) > 1:
            raise ValueError("a share between 0 and 1")
        most = MEASURED_UP_TO.get(self.metric, LATENCY_MEASURED_UP_TO)
        if seconds and (self.max or 0) > most:
            raise ValueError(f"at most {most:g} seconds, up to which {self.metric} is measured")
        return self


class Analysis(Section):
    """What is looked at while green has traffic. The names are Argo Rollouts'."""

    interval: float = Field(10.0, gt=0, le=3600, description="seconds of one window")
    failure_limit: int = Field(
        0, alias="failureLimit", ge=0, le=100, description="windows that may fail; one more returns"
    )
    consecutive_error_limit: int = Field(
        4,
        alias="consecutiveErrorLimit",
        ge=0,
        le=100,
        description="windows in a row that could not be judged; one more waits for somebody",
    )
    min_requests: int = Field(
        8,
        ge=1,
        le=100_000,
        description="of each slot, for a window to be judged; where users send fewer, evaluation "
        "queries are replayed",
    )
    concurrency: int = Field(4, ge=1, le=256, description="replayed queries at the same time")
    limits: tuple[Limit, ...] = Field(
        (
            Limit(metric="errors", max=0.05, max_rise=0.02),
            Limit(metric="truncated", max=0.05, max_rise=0.02),
            Limit(metric="declined", max_rise=0.1),
            Limit(metric="latency_p95_seconds", max_change=2.0),
        ),
        min_length=1,
        max_length=32,
        description="all of them have to hold in a window",
    )


class Rollout(Section):
    """How a release takes over from the one before it. The names are Argo Rollouts'."""

    steps: tuple[Step, ...] = Field(
        (
            Step(setWeight=5),
            Step(pause=Pause(duration=10)),
            Step(setWeight=25),
            Step(pause=Pause(duration=10)),
            Step(setWeight=50),
            Step(pause=Pause(duration=10)),
            Step(setWeight=100),
            Step(pause=Pause(duration=10)),
        ),
        min_length=1,
        max_length=64,
        description="weights rise, the last is 100",
    )
    checks: int = Field(
        8, ge=1, le=1000, description="evaluation queries that green answers at each weight"
    )
    analysis: Analysis = Field(Analysis(), description="what is looked at in every pause")
    soak: float = Field(
        60.0, alias="soakSeconds", ge=0, le=2_592_000,
        description="after the last step; what gets worse in that time is brought back",
    )  # fmt: skip
    scale_down_delay: float = Field(
        30.0, alias="scaleDownDelaySeconds", ge=0, le=2_592_000,
        description="how long blue stays ready after the last step, for an instant way back",
    )  # fmt: skip
    progress_deadline: float = Field(
        600.0, alias="progressDeadlineSeconds", gt=0, le=2_592_000,
        description="a release that is not ready so long after its start is given up; a pause that "
        "takes so much longer than planned ends the rollout",
    )  # fmt: skip
    lease_duration: float = Field(
        30.0, alias="leaseDurationSeconds", ge=2, le=3600,
        description="a rollout whose process is silent for so long is brought back",
    )  # fmt: skip
    drain_seconds: float = Field(
        30.0, alias="drainSeconds", ge=0, le=3600, description="until what is in flight is cut"
    )

    @model_validator(mode="after")
    def _rises_to_all(self) -> Rollout:
        weights = [step.set_weight for step in self.steps if step.set_weight is not None]
        if not weights or weights != sorted(set(weights)) or weights[-1] != 100:
            raise ValueError("weights that rise and end with setWeight: 100")
        first = next(i for i, step in enumerate(self.steps) if step.set_weight is not None)
        if any(step.set_mirror for step in self.steps[first:]):
            raise ValueError("setMirror before the first setWeight: who has weight gets no copies")
        return self


def _target(value: str) -> str:
    if value in RESERVED_TARGETS:
        raise ValueError(f"local: {value} is reserved, this version has no engine for it")
    if value != "local":
        raise ValueError("must be local")
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
        description="local: processes on this machine",
        json_schema_extra={"enum": ["local"]},
    )
    port: int = Field(0, ge=0, le=65535, description="of the gateway; 0 lets the kernel choose")
    rate_limit: RateLimit | None = Field(
        None, alias="rateLimit", description="for the user's key; None: no limit"
    )


def _own_ports(environments: Mapping[str, Environment]) -> Mapping[str, Environment]:
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
    engine: Engine = Field(description="the model server")
    prompt: Prompt = Field(description="what is put around a question")
    parameters: Parameters = Field(Parameters(), description="sampling")
    evaluation: Evaluation = Field(description="questions and gates")
    compliance: Compliance = Field(Compliance(), description="what else is asked of the model")
    rollout: Rollout = Field(Rollout(), description="how traffic moves")
    environments: Annotated[Mapping[Name, Environment], AfterValidator(_own_ports)] = Field(
        min_length=1,
        max_length=16,
        description="in the order in which a release passes them",
        json_schema_extra={"additionalProperties": False},
    )


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


def locate(app: Path, changes: tuple[Path, ...], path: tuple[Key, ...]) -> Place:
    """File and line of ``path`` in the spec as it was read: for errors found after reading it."""
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    return document.place(path)
