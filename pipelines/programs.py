"""What the policies have against a Pulumi program: each of its Azure stacks, planned and judged.

Planning takes the engine half a minute, so what was found is remembered by everything that it
depends on: the program, the settings, the rules and the versions of what judges.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.remembered import memory_of, recall, remember
from pipelines.reporting import SILENT, Reporter
from pipelines.stack_settings import STACKS, azure_stacks, stack_file
from pipelines.walked import walk
from policies.rules.findings import Finding
from release.documents import read_document
from release.integrity import sha256

if TYPE_CHECKING:
    from pipelines.preview import Require

PROJECT = "Pulumi.yaml"
VERSIONS = ("checkov", "pulumi", "pulumi-azure-native")
JUDGES = ("guarded.py", "planning.py", "preview.py", "recorder.py")
"""What of this package a finding depends on; the rules are counted by themselves."""

NOT_JUDGED = "GL-CHECK-002"
"""The rule of a program that was found and could not be planned."""

SIGNED_IN = ("AZURE_", "ARM_")
"""Variables that make limits live: what Azure said a minute ago is not remembered."""


Planned = Callable[[Path, str], tuple[Finding, ...]]
"""What is found in a stack of a checkout."""


@dataclass(frozen=True)
class Program:
    """What was found in the program in ``folder``. Not ``judged``: the finding says why."""

    folder: Path
    findings: tuple[Finding, ...]
    judged: bool = True


def programs(
    paths: Sequence[Path], reporter: Reporter = SILENT, require: Require | None = None
) -> tuple[Program, ...]:
    """The programs that ``paths`` hold or lie in, each once, judged for each Azure stack.

    ``reporter`` hears of a stack that has to be planned, since that takes seconds; ``require``
    reads its settings before. BadInput for a project file that is not YAML, and as they do.
    """
    found = {root: main for path in paths for root, main in _near(path)}
    planned = partial(_previewed, reporter=reporter, require=require)
    return tuple(_judged(root, main, planned) for root, main in found.items())


def _judged(root: Path, main: Path, planned: Planned) -> Program:
    stacks = azure_stacks(root)
    if not stacks:
        expected = f"a program with a stack of Azure's in {STACKS}"
        found = "none, so that it was not planned and nothing in it was judged"
        file = str(root / PROJECT)
        skipped = Finding(NOT_JUDGED, file, expected, found, _ELSEWHERE, severity="warn", line=1)
        return Program(main, (skipped,), judged=False)
    of_stacks = (_of_stack(root, main, stack, planned) for stack in stacks)
    return Program(main, tuple(finding for one in of_stacks for finding in one))


def _near(path: Path) -> Iterator[tuple[Path, Path]]:
    """Projects, each with its program's folder: that which ``path`` lies in, those it holds."""
    path = path.resolve()
    for root in (path, *path.parents):
        main = _main(root)
        if main and path.is_relative_to(main):
            yield root, main
    for file in walk(path) if path.is_dir() else ():
        main = _main(file.parent) if file.name == PROJECT else None
        if main:
            yield file.parent, main


def _main(root: Path) -> Path | None:
    """The folder of the program of the project in ``root``, None where there is none."""
    project = root / PROJECT
    if not project.is_file():
        return None
    main = read_document(project).value.get("main", ".")
    folder = (root / main).resolve() if isinstance(main, str) else root
    return folder if folder.is_dir() else folder.parent


def _of_stack(root: Path, folder: Path, stack: str, planned: Planned) -> tuple[Finding, ...]:
    if _signed_in(os.environ):
        return planned(root, stack)
    memory = _memory(root, folder, stack)
    known = recall(memory)
    if known is None:
        known = planned(root, stack), {}
        remember(memory, known)
    return known[0]


def _previewed(
    root: Path, stack: str, reporter: Reporter, require: Require | None
) -> tuple[Finding, ...]:
    # Importing it takes as long as all the rest of a run from memory.
    from pipelines.preview import engine_tells, preview

    return preview(root, stack, reporter=reporter, require=require or engine_tells).found


def _signed_in(environment: Mapping[str, str]) -> bool:
    return any(name.startswith(SIGNED_IN) for name in environment)


def _memory(root: Path, folder: Path, stack: str) -> Path:
    """Where the findings of ``stack`` are remembered: by all that they depend on."""
    files = [root / PROJECT, stack_file(root, stack)]
    files += sorted([*folder.rglob("*.py"), *(root / "release").rglob("*.py")])
    contents = [
        [str(file.relative_to(root)), sha256(file.read_bytes())] for file in files if file.is_file()
    ]
    judges = [sha256((Path(__file__).parent / name).read_bytes()) for name in JUDGES]
    versions = [version(name) for name in VERSIONS]
    return memory_of(stack, str(root), contents, judges, versions)


_ELSEWHERE = "Judge it where its stacks are, or leave it out of the paths to check."
