"""``greenlight:gitops`` of a stack: which environments of which application to render, and where.

| key | value | default | meaning |
|---|---|---|---|
| `app` | path | required | the application's folder, absolute or from the checkout |
| `folder` | path | required | a working copy of the repository that a controller follows |
| `environments` | list of names | all with `kubernetes` | which of them |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from release.complaints import complaints
from release.documents import Document
from release.errors import BadInput, Problem
from release.sections import Name, Section
from release.spec import Spec, load_spec

PATH = "greenlight:gitops"


class GitopsSettings(Section):
    """As the stack's settings have it."""

    app: str = Field(min_length=1, max_length=1000)
    folder: str = Field(min_length=1, max_length=1000)
    environments: tuple[Name, ...] = Field((), max_length=64)


def read_gitops(value: Mapping[str, Any], root: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """The application's folder, the working copy, and the environments by name.

    BadInput for settings that are none, folders that are not there, environments without
    ``kubernetes``.
    """
    try:
        settings = GitopsSettings.model_validate_json(json.dumps(value))
    except ValidationError as error:
        document = Document(dict(value), {(): (PATH, 1)})
        raise BadInput(*complaints(document, GitopsSettings, error)) from None
    app, folder = _folder(root, settings.app, "app"), _folder(root, settings.folder, "folder")
    return app, folder, _environments(load_spec(app), settings.environments)


def _folder(root: Path, given: str, key: str) -> Path:
    folder = (root / given).resolve()
    if not folder.is_dir():
        remedy = "Give a path that exists, absolute or from the checkout."
        raise BadInput(Problem("a folder", str(folder), remedy, path=f"{PATH}.{key}"))
    return folder


def _environments(spec: Spec, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Those asked for, or all that have a cluster; BadInput for one that has none."""
    there = tuple(name for name, one in spec.environments.items() if one.kubernetes)
    for name in asked:
        if name not in there:
            expected = f"one of {', '.join(there)}" if there else "one with a kubernetes section"
            raise BadInput(Problem(expected, repr(name), path=f"{PATH}.environments"))
    return asked or there
