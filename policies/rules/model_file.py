"""All that can be said about a model file before an engine opens it, in one call.

Check the very file that will be opened, under its digest: a check of a path says nothing about
what the path leads to later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from policies.rules.findings import Finding
from policies.rules.formats import Format, check_format, identify
from policies.rules.gguf import GgufSummary, inspect_gguf
from policies.rules.safetensors import SafetensorsSummary, inspect_safetensors


@dataclass(frozen=True)
class ModelFile:
    """A model file as its own header describes it. No summary if it was not read."""

    format: Format
    summary: GgufSummary | SafetensorsSummary | None
    findings: tuple[Finding, ...]


def check_model_file(
    file: BinaryIO, *, name: str, declared_license: str | None = None
) -> ModelFile:
    """Identify ``file``, called ``name``, and read its header if its kind is an allowed one.

    ``file`` is binary, seekable and buffered. Raises OSError only; reads no tensor.
    """
    found = identify(file)
    if refused := check_format(file, name=name):
        return ModelFile(found, None, refused)
    if found.kind == "gguf":
        return ModelFile(found, *inspect_gguf(file, name=name, declared_license=declared_license))
    return ModelFile(found, *inspect_safetensors(file, name=name))
