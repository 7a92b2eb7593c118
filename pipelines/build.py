"""Spec and files → release. The same inputs give the same digest on every machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import jinja2
import jinja2.meta
import jinja2.sandbox

from pipelines.cache import ModelCache
from release.bundle import (
    PromptText,
    Release,
    ServingEngine,
    Template,
    Weights,
    template_text,
)
from release.documents import Key, read_bytes
from release.errors import BadInput, Problem
from release.spec import Message, Spec, locate

ENGINE_PACKAGES = {"llama.cpp": "xllamacpp"}
MAX_TEMPLATE = 256 << 10  # bytes; a prompt is read by people


@dataclass(frozen=True)
class Sources:
    """Where a spec came from, so that errors can point there."""

    app: Path
    changes: tuple[Path, ...] = ()

    def problem(self, path: tuple[Key, ...], expected: str, found: str, remedy: str) -> BadInput:
        """A BadInput for what stands at ``path``."""
        from release.documents import dotted

        file, line = locate(self.app, self.changes, path)
        return BadInput(
            Problem(
                file=file,
                line=line,
                path=dotted(path),
                expected=expected,
                found=found,
                remedy=remedy,
            )
        )


@dataclass(frozen=True)
class Built:
    """A release, and where its model file is on this machine."""

    release: Release
    model: Path


def build(spec: Spec, sources: Sources, cache: ModelCache) -> Built:
    """The release that ``spec`` describes. Raises BadInput; opens no file with an engine."""
    model = model_path(spec, sources)
    digest = cache.digest_of(model)
    if spec.model.sha256 not in (None, digest):
        raise sources.problem(
            ("model", "sha256"), spec.model.sha256 or "", digest, "The source holds another file."
        )
    weights = Weights(sha256=digest, size=model.stat().st_size, format=_format(model))
    return Built(_release(spec, sources, weights), model)


def _release(spec: Spec, sources: Sources, weights: Weights) -> Release:
    engine = spec.engine
    return Release(
        application=spec.name,
        weights=weights,
        engine=ServingEngine(
            **engine.model_dump(),
            version=importlib.metadata.version(ENGINE_PACKAGES[engine.name]),
        ),
        prompt=PromptText(
            inputs=tuple(sorted(spec.prompt.inputs)),
            messages=tuple(
                _template(spec, sources, i, message)
                for i, message in enumerate(spec.prompt.messages)
            ),
        ),
        parameters=spec.parameters,
    )


def model_path(spec: Spec, sources: Sources) -> Path:
    """The file that ``model.source`` names; BadInput when there is none."""
    scheme, _, rest = spec.model.source.partition(":")
    if scheme == "file":
        path = sources.app / rest
    else:
        package, _, file = rest.removeprefix("//").partition("/")
        path = _package_folder(package, sources) / file
    if not path.is_file():
        raise sources.problem(
            ("model", "source"), "a file", f"none at {path}", "Check the path, or fetch the model."
        )
    return path.resolve()


def _package_folder(package: str, sources: Sources) -> Path:
    """The folder of an installed package, found without importing it."""
    found = importlib.util.find_spec(package) if "." not in package else None
    if found is None or found.origin is None:
        raise sources.problem(
            ("model", "source"),
            "an installed Python package",
            repr(package),
            "Add the package to the environment and run again.",
        )
    return Path(found.origin).parent


def _format(path: Path) -> str:
    with path.open("rb") as handle:
        return "gguf" if handle.read(4) == b"GGUF" else "unknown"


def _template(spec: Spec, sources: Sources, number: int, message: Message) -> Template:
    """One message with its text, parsed once here so that no slot finds an error first."""
    place = ("prompt", "messages", number, "file" if message.file else "content")
    if message.file:
        text = template_text(read_bytes(sources.app / message.file, MAX_TEMPLATE))
    else:
        text = message.content or ""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment()
    try:
        used = jinja2.meta.find_undeclared_variables(environment.parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise _template_problem(
            sources, place, message, error.lineno, "a Jinja2 template", error.message or ""
        ) from None
    undeclared = sorted(used - set(spec.prompt.inputs))
    if undeclared:
        raise _template_problem(
            sources, place, message, 1, "only declared inputs", ", ".join(undeclared)
        )
    return Template(role=message.role, template=text)


def _template_problem(
    sources: Sources,
    place: tuple[Key, ...],
    message: Message,
    line: int,
    expected: str,
    found: str,
) -> BadInput:
    remedy = "Mend the template, or declare the input in prompt.inputs."
    if not message.file:
        return sources.problem(place, expected, found, remedy)
    file = str(sources.app / message.file)
    return BadInput(Problem(file=file, line=line, expected=expected, found=found, remedy=remedy))
