"""The settings of the stack: what the checkout commits, and what an application's engine is given.

The engine writes into the settings file that it is given, so it never gets the committed one. Its
own is made anew at every run: one that was lost or damaged costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from release.documents import read_document
from release.errors import BadInput, Problem
from release.stack_keys import require_known_keys

STACK = "local"
STACKS = "infra/stacks"
"""Where the checkout keeps each stack's settings."""

TARGET = "greenlight:target"


def app_of_the_stack(root: Path) -> Path:
    """The application that the checkout's stack settings name; BadInput when it is not there."""
    file = _committed(root)
    name = read_settings(file)["config"].get("greenlight:app") or ""
    if not isinstance(name, str) or not name or not (root / name).is_dir():
        raise BadInput(
            Problem(
                file=str(file),
                path="config.greenlight:app",
                expected="the folder of an application",
                found=repr(name),
                remedy="Give a path that exists, absolute or from the checkout.",
            )
        )
    return (root / name).resolve()


def committed_config(root: Path) -> Mapping[str, Any]:
    """``config`` of the checkout's settings. BadInput as for ``read_settings``."""
    config: Mapping[str, Any] = read_settings(_committed(root))["config"]
    return config


def stack_names(root: Path) -> tuple[str, ...]:
    """The stacks whose settings the checkout commits, in order of their names."""
    files = (root / STACKS).glob("Pulumi.*.yaml")
    return tuple(sorted(file.name.split(".")[1] for file in files))


def azure_stacks(root: Path) -> tuple[str, ...]:
    """Those of them that are Azure's. BadInput as for ``read_settings``."""
    settings = ((name, read_settings(stack_file(root, name))) for name in stack_names(root))
    return tuple(name for name, one in settings if one["config"].get(TARGET) == "azure")


def stack_file(root: Path, stack: str) -> Path:
    """The stack's settings in the checkout; BadInput for a stack that is not there."""
    file = root / STACKS / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        remedy = f"Name one of them, or write {STACKS}/Pulumi.{stack}.yaml."
        there = f"one of {', '.join(stack_names(root))}"
        raise BadInput(Problem(there, repr(stack), remedy, path="--stack"))
    return file


def last_given(file: Path) -> Mapping[str, Any]:
    """The settings of the engine's last run; those that are lost or damaged are empty ones."""
    try:
        return read_settings(file)
    except BadInput:
        return {"config": {}}


def read_settings(file: Path) -> Mapping[str, Any]:
    """A stack's settings. BadInput when they are not YAML, ``config`` is not a mapping, or a key
    of ours in it is not known.
    """
    document = read_document(file)
    require_known_keys(document)
    config = document.value.get("config") or {}
    if not isinstance(config, dict):
        _, line = document.place(("config",))
        remedy = "Write settings as `greenlight:app: examples/support-bot`, one a line."
        raise BadInput(
            Problem("a mapping", repr(config), remedy, file=str(file), line=line, path="config")
        )
    return {**document.value, "config": config}


def _committed(root: Path) -> Path:
    return root / STACKS / f"Pulumi.{STACK}.yaml"
