"""``llm.yaml`` v1: what a team writes, frozen and checked.

Only sections that have an engine have a shape here. The names of the others are reserved and
refused by name, so that a file which asks for something never seems to get it.
``apiVersion: greenlight/v1`` only grows.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
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

from release.documents import Document, Key, Place, dotted, overlay, read_document
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

Name = Annotated[str, StringConstraints(pattern=r"^[a-z](?:-?[a-z0-9]){1,30}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Share = Annotated[float, Field(ge=0, le=1)]


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError("must be a path inside the application's folder, with forward slashes")
    return value


FilePath = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_inside)]


def _source(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if scheme in RESERVED_SOURCES:
        raise ValueError(f"a source that has an engine: {scheme}: is reserved")
    if scheme == "package" and re.fullmatch(r"//[A-Za-z_][\w.]*/[^/].*", rest):
        _inside(rest.removeprefix("//").partition("/")[2])
    elif scheme == "file" and rest and not rest.startswith("//"):
        _inside(rest)
    else:
        raise ValueError("must be package://PACKAGE/FILE or file:PATH")
    return value


_PREAMBLE = re.compile(r"^(?:Value error, )?(?:Input |String )?(?:must |should )?(?:be )?")


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
            raise ValueError("must have either content or file")
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
            raise ValueError("inputs must name query, which is the caller's last message")
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs must name each input once")
        if self.messages[-1].role != "user":
            raise ValueError("the last of messages must have the role user")
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

    metric: Quality | Speed = Field(
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
            raise ValueError("must have a limit: " + ("max" if lower else "min"))
        if (self.min if lower else self.max) is not None:
            better = "lower" if lower else "higher"
            raise ValueError(
                f"{self.metric} is better when {better}: use {'max' if lower else 'min'}"
            )
        if speed and self.max_drop is not None:
            raise ValueError("max_drop is for quality; a speed has max_change")
        if not speed and self.max_change is not None:
            raise ValueError("max_change is for speed; quality has max_drop")
        if not speed and (self.min or 0) > 1:
            raise ValueError("a quality score lies between 0 and 1")
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


class Step(Section):
    """One step of the rollout, in Argo Rollouts' words."""

    set_weight: int = Field(alias="setWeight", ge=1, le=100, description="per cent of requests")


class Rollout(Section):
    """How a release takes over from the one before it. The names are Argo Rollouts'."""

    steps: tuple[Step, ...] = Field(
        tuple(Step(setWeight=weight) for weight in (5, 25, 50, 100)),
        min_length=1,
        max_length=32,
        description="rising, the last is 100",
    )
    checks: int = Field(
        8, ge=1, le=1000, description="evaluation queries that green answers at each step"
    )
    drain_seconds: float = Field(
        30.0, alias="drainSeconds", ge=0, le=3600, description="until what is in flight is cut"
    )

    @model_validator(mode="after")
    def _rises_to_all(self) -> Rollout:
        weights = [step.set_weight for step in self.steps]
        if weights != sorted(set(weights)) or weights[-1] != 100:
            raise ValueError("steps must rise and end with setWeight: 100")
        return self


def _target(value: str) -> str:
    if value in RESERVED_TARGETS:
        raise ValueError(f"local: {value} is reserved, this version has no engine for it")
    if value != "local":
        raise ValueError("must be local")
    return value


class Environment(Section):
    """One stage on the way to production."""

    target: Annotated[str, AfterValidator(_target)] = Field(
        "local", description="local: processes on this machine"
    )
    port: int = Field(0, ge=0, le=65535, description="of the gateway; 0 lets the kernel choose")


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
    environments: Mapping[Name, Environment] = Field(
        min_length=1, max_length=16, description="in the order in which a release passes them"
    )


def load_spec(app: Path, changes: tuple[Path, ...] = ()) -> Spec:
    """The spec of the application in folder ``app``, with ``changes`` laid over it in order."""
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    return parse_spec(document)


def parse_spec(document: Document) -> Spec:
    """``document`` as a spec, or BadInput with every problem that it has."""
    reserved = [key for key in document.value if key in RESERVED]
    if reserved:
        raise BadInput(*(_reserved_problem(document, key) for key in reserved))
    try:
        return Spec.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        errors = error.errors()
        blamed = [one for one in errors if not _follows_from_another(one, errors)]
        problems = {str(p): p for p in (_problem(document, one) for one in blamed)}
        raise BadInput(*problems.values()) from None


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


def _problem(document: Document, error: Any) -> Problem:
    path = _path_in(document.value, error["loc"])
    kind, key = error["type"], str(path[-1]) if path else ""
    if kind == "missing":
        file, line = document.place(path[:-1])
        remedy = f"Add {key}." + _hint(key, _missing_neighbours(document.value, path))
        return Problem(
            file=file,
            line=line,
            path=dotted(path),
            expected="a value",
            found="nothing",
            remedy=remedy,
        )
    file, line = document.place(path)
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        remedy = _hint(key, known).strip() or f"Known keys here: {', '.join(known)}."
        return Problem(
            file=file,
            line=line,
            path=dotted(path),
            expected="a known key",
            found=repr(key),
            remedy=remedy,
        )
    expected = _PREAMBLE.sub("", error["msg"])
    return Problem(
        file=file, line=line, path=dotted(path), expected=expected, found=_shown(error["input"])
    )


def _follows_from_another(error: Any, errors: list[Any]) -> bool:
    """A list is "too short" when its only item is wrong: one complaint is enough."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in errors
    )


def _shown(value: Any) -> str:
    """Enough of a value to recognise it, never a page of it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path_in(value: Any, location: tuple[Key, ...]) -> tuple[Key, ...]:
    """``location`` without the names of union branches, which are no part of the document."""
    path: list[Key] = []
    for i, key in enumerate(location):
        if isinstance(value, dict) and (key in value or i == len(location) - 1):
            value = value.get(key) if isinstance(key, str) else None
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            continue
        path.append(key)
    return tuple(path)


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _missing_neighbours(value: Any, path: tuple[Key, ...]) -> tuple[str, ...]:
    for key in path[:-1]:
        value = value[key]
    known = _known_keys(path[:-1])
    return tuple(key for key in value if key not in known) if isinstance(value, dict) else ()


def _known_keys(path: tuple[Key, ...]) -> tuple[str, ...]:
    section: Any = Spec
    for key in path:
        section = next(_sections(_step_into(section, key)), None)
        if section is None:
            return ()
    return tuple(name.alias or key for key, name in section.model_fields.items())


def _step_into(section: Any, key: Key) -> Any:
    """The annotation behind ``key``: a field's own, or the same section for a list's or a map's."""
    for name, field in section.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return section


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections that an annotation can hold, through tuples, mappings, unions and marks."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def locate(app: Path, changes: tuple[Path, ...], path: tuple[Key, ...]) -> Place:
    """File and line of ``path`` in the spec as it was read: for errors found after reading it."""
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    return document.place(path)
