"""What the policies have against a Pulumi program: each of its Azure stacks, planned and judged.

Planning takes the engine half a minute, so what was found is remembered by everything that it
depends on: the program, the settings, the rules and the versions of what judges.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from pipelines.cache import cache_folder
from pipelines.stack_settings import STACKS, read_settings
from policies.rules.findings import Finding
from policies.source import rules_digest
from release.errors import BadInput
from release.files import read_json, write_json
from release.integrity import canonical, sha256

PROJECT = "Pulumi.yaml"
VERSIONS = ("checkov", "pulumi", "pulumi-azure-native")
SIGNED_IN = ("AZURE_", "ARM_")
"""Variables that make limits live: what Azure said a minute ago is not remembered."""


def judged(folder: Path) -> tuple[Finding, ...] | None:
    """Findings of every Azure stack of the program in ``folder``; None where there is none."""
    folder = folder.resolve()
    root = folder.parent
    if not _is_program(root, folder):
        return None
    return tuple(finding for stack in _stacks(root) for finding in _of_stack(root, folder, stack))


def _is_program(root: Path, folder: Path) -> bool:
    project = root / PROJECT
    if not project.is_file():
        return False
    found = yaml.safe_load(project.read_text())
    main = found.get("main") if isinstance(found, dict) else None
    return isinstance(main, str) and (root / main).resolve() == folder


def _stacks(root: Path) -> Iterator[str]:
    for file in sorted((root / STACKS).glob("Pulumi.*.yaml")):
        if read_settings(file)["config"].get("greenlight:target") == "azure":
            yield file.name.split(".")[1]


def _of_stack(root: Path, folder: Path, stack: str) -> tuple[Finding, ...]:
    from pipelines.preview import preview

    if _signed_in(os.environ):
        return preview(root, stack).found
    memory = cache_folder() / "checks" / f"{_key(root, folder, stack)}.json"
    known = _recall(memory)
    if known is None:
        known = preview(root, stack).found
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"findings": [asdict(one) for one in known]})
    return known


def _signed_in(environment: Mapping[str, str]) -> bool:
    return any(name.startswith(SIGNED_IN) for name in environment)


def _recall(memory: Path) -> tuple[Finding, ...] | None:
    try:
        known: Any = read_json(memory)
        return tuple(Finding(**one) for one in known["findings"])
    except (FileNotFoundError, BadInput, KeyError, TypeError):
        return None


def _key(root: Path, folder: Path, stack: str) -> str:
    """A digest of all that the findings of ``stack`` depend on."""
    release = root / "release"
    files = [root / PROJECT, root / STACKS / f"Pulumi.{stack}.yaml"]
    files += sorted([*folder.rglob("*.py"), *release.rglob("*.py")])
    contents = [[str(file.relative_to(root)), sha256(file.read_bytes())] for file in files]
    versions = [version(name) for name in VERSIONS]
    parts = [stack, str(root), contents, versions, rules_digest()]
    return sha256(canonical(parts)).removeprefix("sha256:")
