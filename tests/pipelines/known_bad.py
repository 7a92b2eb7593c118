"""Programs with one mistake a resource, and the rule that each is meant for, as their comments say.

``# GL-AZ-NET-001: why`` before a statement says which rules find something at its first line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.engine import bare_project, executable, surroundings
from pipelines.planning import PROVIDER, _without_secrets
from pipelines.recorder import Recorder, recording
from pipelines.stack_settings import read_settings, stack_file

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests/cases/programs"
EXECUTABLE = ROOT / "policies/pack/greenlight-policies"
STACK = "production"
MEANT = re.compile(r"\s*# (GL-AZ-[A-Z]+-\d{3}(?:, GL-AZ-[A-Z]+-\d{3})*): \w+")

Place = tuple[str, str, int]
"""A rule, a file of the program, and a line in it."""


def meant(program: str) -> frozenset[Place]:
    """What the comments of a program say that rules find."""
    folder = PROGRAMS / program
    files = sorted((folder / "program").glob("*.py"))
    return frozenset(place for file in files for place in _meant_in(file, folder))


def _meant_in(file: Path, folder: Path) -> Iterator[Place]:
    rules: list[str] = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if found := MEANT.match(line):
            rules = found[1].split(", ")
        elif not line.lstrip().startswith("#"):
            yield from ((rule, str(file.relative_to(folder)), number) for rule in rules)
            rules = []


@dataclass(frozen=True)
class Packed:
    """What the engine said of a preview with a pack. ``told``: level, policy, URN."""

    code: int
    said: str
    told: frozenset[tuple[str, str, str]]

    def at(self, level: str) -> frozenset[tuple[str, str]]:
        """Policy and URN of each violation of ``level``, mandatory or advisory."""
        return frozenset((policy, urn) for one, policy, urn in self.told if one == level)


def packed(
    program: str, folder: Path, pack: Path = EXECUTABLE, settings: str | None = None
) -> Packed:
    """Preview a program by the real engine with ``pack``; ``folder`` is where it may write.

    ``settings`` take the place of the stack's own.
    """
    root = folder / "root"
    shutil.copytree(PROGRAMS / program, root, ignore=shutil.ignore_patterns("__pycache__"))
    if settings is not None:
        (root / f"infra/stacks/Pulumi.{STACK}.yaml").write_text(settings)
    return _previewed(folder, root, pack, STACK)


def packed_own(stack: str, folder: Path) -> Packed:
    """Preview a stack of the repository by the real engine with its pack."""
    file = stack_file(ROOT, stack)
    settings = folder / file.name
    settings.write_text(yaml.safe_dump({"config": _without_secrets(read_settings(file)["config"])}))
    return _previewed(folder, ROOT, EXECUTABLE, stack, "--config-file", str(settings))


def _previewed(folder: Path, root: Path, pack: Path, stack: str, *more: str) -> Packed:
    events = folder / "events.json"
    how = ["--stack", stack, "--policy-pack", str(pack), "--event-log", str(events), *more]
    with recording(Recorder()) as port:
        there = _environment(folder, port)
        made = _run(["stack", "init", stack, "-C", str(bare_project(folder / "own"))], root, there)
        assert made.returncode == 0, made.stderr
        done = _run(["preview", *how], root, there)
    told = _violations(events.read_text().splitlines()) if events.exists() else ()
    return Packed(done.returncode, done.stdout + done.stderr, frozenset(told))


def _run(
    arguments: list[str], root: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [executable(), *arguments, "--non-interactive", "--color", "never"], cwd=root,
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _environment(folder: Path, port: int) -> dict[str, str]:
    ours = ("PULUMI_", "ARM_", "GREENLIGHT_STACK_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    (folder / "backend").mkdir()
    own = {
        "PULUMI_CONFIG_PASSPHRASE": "made up",
        "PULUMI_DEBUG_COMMANDS": "true",  # what the engine shows --event-log to
        "PULUMI_DEBUG_PROVIDERS": f"{PROVIDER}:{port}",
    }
    return kept | surroundings(folder / "backend", folder / "home") | own


def _violations(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if found := event.get("policyEvent"):
            level, policy = found["enforcementLevel"], found["policyName"]
            yield level, policy, found.get("resourceUrn", "")
