"""Spec and files → release. The same inputs give the same digest on every machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import jinja2.meta
import jinja2.sandbox
from jinja2 import nodes

from pipelines.cache import ModelCache
from release.bundle import (
    PromptText,
    Release,
    RemoteWeights,
    ServingEngine,
    Template,
    VllmEngine,
    Weights,
    template_text,
)
from release.documents import Key, decode_text, dotted, read_bytes, undotted
from release.errors import BadInput, Problem
from release.model_section import LlamaCpp, Vllm
from release.spec import Message, Spec, locate
from release.state import StateFolder

ENGINE_PACKAGES = {"llama.cpp": "xllamacpp"}
MAX_TEMPLATE = 256 << 10  # bytes; a prompt is read by people
_JINJA = jinja2.sandbox.ImmutableSandboxedEnvironment()


@dataclass(frozen=True)
class Sources:
    """Where a spec came from, so that errors can point there."""

    app: Path
    changes: tuple[Path, ...] = ()

    def problem(self, path: tuple[Key, ...], expected: str, found: str, remedy: str) -> BadInput:
        """A BadInput for what stands at ``path``."""
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

    @contextmanager
    def placed(self) -> Iterator[None]:
        """A BadInput from within is told with file and line, where it knows its key alone."""
        try:
            yield
        except BadInput as error:
            raise BadInput(*map(self._placed, error.problems)) from None

    def _placed(self, problem: Problem) -> Problem:
        if problem.file or not problem.path:
            return problem
        try:
            file, line = locate(self.app, self.changes, undotted(problem.path))
        except BadInput:  # somebody edits it meanwhile
            return problem
        return replace(problem, file=file, line=line)


@dataclass(frozen=True)
class Built:
    """A release, and where its model file is on this machine; None for what a cluster fetches."""

    release: Release
    model: Path | None


def build(spec: Spec, sources: Sources, cache: ModelCache) -> Built:
    """The release that ``spec`` describes. Raises BadInput; opens no file with an engine."""
    check_files(spec, sources)
    if spec.model.remote:
        remote = RemoteWeights(source=spec.model.source, format="safetensors")
        return Built(_release(spec, sources, remote), None)
    model = model_path(spec, sources)
    format_ = _format(model, sources)
    digest = cache.digest_of(model)
    if spec.model.sha256 not in (None, digest):
        raise sources.problem(
            ("model", "sha256"), spec.model.sha256 or "", digest, "The source holds another file."
        )
    weights = Weights(sha256=digest, size=model.stat().st_size, format=format_)
    return Built(_release(spec, sources, weights), model)


def check_files(spec: Spec, sources: Sources) -> None:
    """BadInput for a named text that is not there, or that a link takes out of the application.

    What these files say goes into prompts, evidence and errors. A link to somebody's key must
    not bring it there, and another machine would not have what it leads to. The model file may
    be a link: it is known by its digest and never shown.
    """
    app = sources.app.resolve()
    for path, name in _texts(spec):
        try:
            file = (app / name).resolve()
        except (OSError, RuntimeError):  # Python 3.11 raises the latter for a loop of links
            found, remedy = f"{name}, a loop of links", "Put the file itself there."
            raise sources.problem(path, "a file", found, remedy) from None
        if not file.is_relative_to(app) or file.is_relative_to(StateFolder(app).root):
            raise sources.problem(
                path, "a file of the application", f"{name}, which leads to {file}", "Copy it here."
            )
        if not _is_file(file) and path != _CARD:  # whether there is a card is a rule's question
            raise sources.problem(path, "a file", f"none at {file}", "Check the path.")


_CARD = ("model", "card")


def _texts(spec: Spec) -> Iterator[tuple[tuple[Key, ...], str]]:
    """The files that are read as text, each with the place in the spec that names it."""
    yield _CARD, spec.model.card
    yield ("evaluation", "data"), spec.evaluation.data
    for number, message in enumerate(spec.prompt.messages):
        if message.file:
            yield ("prompt", "messages", number, "file"), message.file


def _engine(engine: LlamaCpp | Vllm) -> ServingEngine | VllmEngine:
    """The model server with its exact version: llama.cpp's is that of the installed package."""
    if isinstance(engine, LlamaCpp):
        version = importlib.metadata.version(ENGINE_PACKAGES[engine.name])
        return ServingEngine(**engine.model_dump(), version=version)
    flags = engine.model_dump(exclude={"adapter"}) | {"quantization": engine.quantization or ""}
    adapter = engine.adapter
    return VllmEngine(
        **flags,
        adapter=adapter.source if adapter else "",
        adapter_rank=adapter.rank if adapter else 0,
    )


def _release(spec: Spec, sources: Sources, weights: Weights | RemoteWeights) -> Release:
    return Release(
        application=spec.name,
        weights=weights,
        engine=_engine(spec.engine),
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
    if not _is_file(path):
        raise sources.problem(
            ("model", "source"), "a file", f"none at {path}", "Check the path, or fetch the model."
        )
    return path.resolve()


def _is_file(path: Path) -> bool:
    """Whether a file is there, and the folders on the way to it are open to us."""
    try:
        return path.is_file()
    except OSError:
        return False


def _package_folder(package: str, sources: Sources) -> Path:
    """The folder of an installed package, found without importing it."""
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module that was made without a file, such as __main__
        found = None
    if found is None or found.origin is None or not found.submodule_search_locations:
        raise sources.problem(
            ("model", "source"),
            "an installed Python package",
            repr(package),
            "Add the package to the environment and run again.",
        )
    return Path(found.origin).parent


def _format(path: Path, sources: Sources) -> str:
    try:
        with path.open("rb") as handle:
            return "gguf" if handle.read(4) == b"GGUF" else "unknown"
    except OSError as error:
        raise sources.problem(
            ("model", "source"),
            "a readable file",
            f"{path}: {error.strerror}",
            "Check its permissions.",
        ) from error


def _template(spec: Spec, sources: Sources, number: int, message: Message) -> Template:
    """One message with its text, compiled once here so that no slot finds an error first."""
    place: tuple[Key, ...] = ("prompt", "messages", number, "file" if message.file else "content")
    text = template_text(_text(sources, message))
    try:
        tree = _JINJA.parse(text)
        _JINJA.from_string(text)
        wrong = _wrong_in(tree, spec.prompt.inputs)
    except jinja2.TemplateSyntaxError as error:
        wrong = error.lineno, "a Jinja2 template", error.message or "something else"
    except (RecursionError, ValueError, OverflowError):
        wrong = 1, "a Jinja2 template", "one nested too deep, or with a number too large"
    if wrong:
        raise _template_problem(sources, place, message, *wrong)
    return Template(role=message.role, template=text)


def _wrong_in(tree: nodes.Template, inputs: tuple[str, ...]) -> tuple[int, str, str] | None:
    """Line, expectation and finding for what would fail when a slot fills the template."""
    for tag in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        return tag.lineno, "a template on its own", "a tag that loads another"
    undeclared = sorted(jinja2.meta.find_undeclared_variables(tree) - set(inputs))
    if not undeclared:
        return None
    lines = [one.lineno for one in tree.find_all(nodes.Name) if one.name in undeclared]
    return min(lines, default=1), "only declared inputs", ", ".join(undeclared)


def _text(sources: Sources, message: Message) -> str:
    if not message.file:
        return message.content or ""
    path = sources.app / message.file
    return decode_text(read_bytes(path, MAX_TEMPLATE), str(path))


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
