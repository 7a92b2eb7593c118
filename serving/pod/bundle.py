"""What a pod serves: the file that ``manifests.model`` writes into a ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.errors import BadInput, Problem
from release.files import read_json
from serving.application.markers import Neutraliser, ShapeNeutraliser
from serving.application.prompt import Neutralise, Prompt, load
from serving.counting.answers import Phrases

REMEDY = "This file is rendered by Greenlight: render the environment again."


@dataclass(frozen=True)
class Bundle:
    """``release`` is its digest. ``refusal`` is None where nobody has said how it refuses."""

    release: str
    prompt: Prompt
    refusal: Phrases | None


def read(file: Path) -> Bundle:
    """The bundle in ``file``. BadInput when it is not there, or cannot be served."""
    try:
        content = read_json(file)
    except OSError as error:
        problem = Problem("a file that can be read", str(error.strerror), REMEDY, file=str(file))
        raise BadInput(problem) from error
    if not isinstance(content, dict):
        raise _problem(file, "", "an object", type(content).__name__)
    label, release = (_text(content, name, file) for name in ("label", "release"))
    prompt = load(content, label, _neutraliser(content, file))
    refusal = _texts(content, "refusal", file)
    return Bundle(release, prompt, None if refusal is None else Phrases(refusal))


def _neutraliser(content: Mapping[str, Any], file: Path) -> Neutralise:
    """By the model's own control tokens; by their shape where nobody has read them."""
    markers = _texts(content, "markers", file)
    if markers is not None:
        return Neutraliser(markers)
    messages = content.get("prompt", {}).get("messages", ())
    return ShapeNeutraliser(str(one.get("template", "")) for one in messages)


def _text(content: Mapping[str, Any], name: str, file: Path) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise _problem(file, name, "text", type(value).__name__)
    return value


def _texts(content: Mapping[str, Any], name: str, file: Path) -> list[str] | None:
    """A list of texts, or null. To leave it out is neither: that would be a guess."""
    value = content.get(name, ...)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        found = "nothing" if value is ... else type(value).__name__
        raise _problem(file, name, "a list of texts, or null", found)
    return value


def _problem(file: Path, path: str, expected: str, found: str) -> BadInput:
    return BadInput(Problem(expected, found, REMEDY, file=str(file), path=path))
