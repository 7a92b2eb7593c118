"""What the policies have against a Pulumi program: each of its Azure stacks, planned and judged.

Planning takes the engine half a minute, so what was found is remembered by everything that it
depends on: the program, the settings, the rules and the versions of what judges.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from pipelines.remembered import memory_of, recall, remember
from pipelines.reporting import SILENT, Reporter
from pipelines.stack_settings import azure_stacks, stack_file
from policies.rules.findings import Finding
from release.integrity import sha256

PROJECT = "Pulumi.yaml"
VERSIONS = ("checkov", "pulumi", "pulumi-azure-native")
JUDGES = ("guarded.py", "planning.py", "preview.py", "recorder.py")
"""What of this package a finding depends on; the rules are counted by themselves."""

SIGNED_IN = ("AZURE_", "ARM_")
"""Variables that make limits live: what Azure said a minute ago is not remembered."""


def judged(folder: Path, reporter: Reporter = SILENT) -> tuple[Finding, ...] | None:
    """Findings of every Azure stack of the program in ``folder``; None where there is none.

    ``reporter`` hears of a stack that has to be planned, since that takes seconds.
    """
    folder = folder.resolve()
    root = folder.parent
    if not _is_program(root, folder):
        return None
    return tuple(
        finding
        for stack in azure_stacks(root)
        for finding in _of_stack(root, folder, stack, reporter)
    )


def _is_program(root: Path, folder: Path) -> bool:
    project = root / PROJECT
    if not project.is_file():
        return False
    found = yaml.safe_load(project.read_text())
    main = found.get("main") if isinstance(found, dict) else None
    return isinstance(main, str) and (root / main).resolve() == folder


def _of_stack(root: Path, folder: Path, stack: str, reporter: Reporter) -> tuple[Finding, ...]:
    if _signed_in(os.environ):
        return _previewed(root, stack, reporter)
    memory = _memory(root, folder, stack)
    known = recall(memory)
    if known is None:
        known = _previewed(root, stack, reporter), {}
        remember(memory, known)
    return known[0]


def _previewed(root: Path, stack: str, reporter: Reporter) -> tuple[Finding, ...]:
    from pipelines.preview import preview  # takes as long as all the rest of a run from memory

    return preview(root, stack, reporter=reporter).found


def _signed_in(environment: Mapping[str, str]) -> bool:
    return any(name.startswith(SIGNED_IN) for name in environment)


def _memory(root: Path, folder: Path, stack: str) -> Path:
    """Where the findings of ``stack`` are remembered: by all that they depend on."""
    files = [root / PROJECT, stack_file(root, stack)]
    files += sorted([*folder.rglob("*.py"), *(root / "release").rglob("*.py")])
    contents = [[str(file.relative_to(root)), sha256(file.read_bytes())] for file in files]
    judges = [sha256((Path(__file__).parent / name).read_bytes()) for name in JUDGES]
    versions = [version(name) for name in VERSIONS]
    return memory_of(stack, str(root), contents, judges, versions)
