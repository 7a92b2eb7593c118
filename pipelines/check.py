"""Policies over what a repository holds: templates, manifests and workflows.

Files are found here, judged by ``policies.scan`` and remembered by their content: what checkov
said about the same bytes, by the same rules, at the same version, is said again without checkov.
Suppressions and today's date are never part of that memory.

Deployment templates are judged by our rules as well, for the stack that is named. Where none is, a
template could be deployed to any, so what all of them allow and what one of them asks holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.programs import Program
from pipelines.remembered import Found, memory_of, recall, remember
from pipelines.stack_settings import STACKS, TARGET, azure_stacks, stack_file, stack_names
from pipelines.walked import File, collect
from policies.rules.findings import Finding
from release.errors import BadInput, Problem
from release.integrity import sha256

if TYPE_CHECKING:
    from policies.rules.azure.bounds import Bounds

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, which has the stacks' settings."""

Suppressed = tuple[Finding, str]
"""A finding that does not count, and the reason."""

Suppress = Callable[[tuple[Finding, ...]], tuple[tuple[Finding, ...], tuple[Suppressed, ...]]]
"""Parts findings into those that count and those that are suppressed."""

Programs = Callable[[Sequence[Path]], tuple[Program, ...]]
"""The Pulumi programs that paths hold or lie in, judged: they are planned, not read."""


@dataclass(frozen=True)
class Checked:
    """What was found. ``files`` counts those judged, by kind; ``cached`` where nothing had changed
    since they were judged.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    files: dict[str, int]
    cached: bool


def keep_all(
    findings: tuple[Finding, ...],
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """Without suppressions every finding counts."""
    return findings, ()


def no_programs(paths: Sequence[Path]) -> tuple[Program, ...]:
    """Without an engine no program is planned."""
    return ()


def check(
    paths: Sequence[Path],
    *,
    suppress: Suppress = keep_all,
    programs: Programs = no_programs,
    stack: str | None = None,
    root: Path = ROOT,
) -> Checked:
    """What the policies have against all that ``paths`` hold, templates for ``stack`` of ``root``.

    BadInput for a path that is not there, a file named that no scanner takes, a file that is not
    what it says, paths that hold nothing to judge, a stack that is not there, and for templates
    where no stack says what may be.
    """
    stacks = tuple(stack_file(root, one) for one in ([stack] if stack else stack_names(root)))
    files, unread = collect(paths)
    planned = programs(paths)
    folders = tuple(one.folder for one in planned)
    memory = _memory(files, stack, stacks, folders)
    known = recall(memory)
    found = known or _judge(files, folders, lambda: _bounds(root, stack))
    if known is None:
        remember(memory, found)
    everything = (*found[0], *unread, *(finding for one in planned for finding in one.findings))
    counting, suppressed = suppress(everything)
    judged = sum(one.judged for one in planned)
    kinds = {**found[1], **({"program": judged} if judged else {})}
    return Checked(counting, suppressed, kinds, known is not None)


def _judge(files: Sequence[File], programs: Sequence[Path], bounds: Callable[[], Bounds]) -> Found:
    """What scanners have against ``files``. A file of one of the ``programs`` is planned."""
    from policies.scan.kinds import Scannable, classify
    from policies.scan.running import scan

    taken: list[Scannable] = []
    for file in files:
        scannable = classify(str(file.path), file.data)
        if scannable is not None:
            taken.append(scannable)
        elif file.named and not any(file.path.resolve().is_relative_to(one) for one in programs):
            raise BadInput(Problem(*_NO_SCANNER, file=str(file.path)))
    if not taken and not programs:
        raise BadInput(Problem(*_NOTHING))
    if not taken:
        return (), {}
    kinds = sorted(one.kind for one in taken)
    found = scan(taken, bounds() if "arm" in kinds else None)
    return found, {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _bounds(root: Path, stack: str | None) -> Bounds:
    """What templates may be: in ``stack``, or in every one of Azure's."""
    from policies.rules.azure.bounds import read_bounds, strictest

    if stack:
        return read_bounds(_of_azures(root, stack))
    stacks = {one: read_bounds(stack_file(root, one)) for one in azure_stacks(root)}
    if not stacks:
        raise BadInput(Problem(*_NO_STACK, file=str(root / STACKS)))
    return strictest(stacks)


def _of_azures(root: Path, stack: str) -> Path:
    """The settings of ``stack``; BadInput where it is not Azure's."""
    file, known = stack_file(root, stack), azure_stacks(root)
    if stack not in known:
        expected = f"for templates a stack with `{TARGET}: azure`"
        remedy = f"Name one of {', '.join(known)}." if known else _NO_STACK[2]
        raise BadInput(Problem(expected, f"'{stack}'", remedy, file=str(file), path="--stack"))
    return file


_NO_SCANNER = (
    "a deployment template (JSON), Kubernetes manifests (YAML or JSON) or a workflow in "
    ".github/workflows",
    "a file that no policy is about",
    "Leave it out of the paths to check.",
)
_NO_STACK = (
    f"the settings of a stack with `{TARGET}: azure`: they say what a template may be",
    "none",
    "Write them, or leave deployment templates out of the paths to check.",
)
_NOTHING = (
    "paths that hold a program, deployment templates, Kubernetes manifests or workflows",
    "none in them",
    "Name the folders that do.",
)


def _memory(
    files: Sequence[File], stack: str | None, stacks: Sequence[Path], programs: Sequence[Path]
) -> Path:
    """Where what is found in ``files`` is remembered, for ``stack`` by the settings ``stacks``."""
    parts = [
        [os.path.abspath(file.path), file.named, sha256(file.data)]  # noqa: PTH100
        for file in files
    ]
    settings = [[str(file), sha256(file.read_bytes())] for file in stacks]
    places = [str(one) for one in programs]
    return memory_of(version("checkov"), stack, settings, str(Path.cwd()), parts, places)
