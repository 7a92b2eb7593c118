"""What a stack would be: the real program, planned by the real engine, and nothing called.

The plan is the engine's own JSON. The engine's state, home and settings are in a folder that goes
away, so a plan changes nothing and needs neither credentials nor the stack's passphrase.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from pipelines.engine import bare_project, executable, surroundings
from pipelines.guarded import (
    Where,
    is_azures,
    refuse_foreign,
    refuse_plain_secrets,
    secret_names,
)
from pipelines.stack_settings import read_settings, stack_file
from policies.arm.convert import to_arm
from policies.arm.resource import ArmResource, Source
from policies.redaction import redacted_plan
from policies.rules.azure.credentials import without_credentials
from release.errors import BAD_INPUT, BadInput, GreenlightError, Problem

PROVIDER = "azure-native"
_EXIT = re.compile(r"exited with non-zero exit code: (\d+)")
_POSITION = re.compile(r"^project:///(?P<file>.+)#(?P<line>\d+)")


@dataclass(frozen=True)
class StackPlan:
    """A stack's plan. ``engine`` is the engine's own JSON, with every secret as ``[secret]``, and
    as ``<redacted>`` where the program has it in the clear. ``resources`` are as declared.
    """

    stack: str
    resources: tuple[ArmResource, ...]
    engine: Mapping[str, Any]


def plan_stack(root: Path, stack: str, subscription: str = "") -> StackPlan:
    """Plan ``stack`` of the program in ``root``, in ``subscription``; empty: in one made up.

    BadInput for settings that the program refuses or that show a secret, for a resource type
    without a row in the table, and in an Azure stack for one of another provider; GreenlightError
    with the engine's last words for whatever else ends it.
    """
    file = stack_file(root, stack)
    _refuse_dates(file)
    refuse_plain_secrets(file)
    with planner(root, stack, subscription) as engine:
        return engine.plan(read_settings(file)["config"])


def _refuse_dates(file: Path) -> None:
    """BadInput for a date without quotes: to the engine's YAML that is no text, here it is."""
    found = [*_dates(yaml.safe_load(file.read_text()), ())]
    if found:
        remedy = "Put it in quotes: the engine reads a bare date as a moment."
        raise BadInput(
            *(Problem("text", "a date", remedy, file=str(file), path=one) for one in found)
        )


def _dates(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, date):
        yield ".".join(path)
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, one in value.items() if isinstance(value, dict) else ():
        yield from _dates(one, (*path, str(key)))


def resources_of(engine: Mapping[str, Any]) -> list[ArmResource]:
    """The Azure resources in the engine's plan, in its order."""
    return [_resource(one) for one in _states(engine) if one["type"].startswith(f"{PROVIDER}:")]


def _states(engine: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [step["newState"] for step in engine["steps"] if step.get("newState")]


def _planned(engine: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Where]]:
    """Each state of the plan, with where the program declared it."""
    places = [(one, _source(one.get("sourcePosition", ""))) for one in _states(engine)]
    return [(one, (at.file, at.line) if at else ("", None)) for one, at in places]


def _resource(state: Mapping[str, Any]) -> ArmResource:
    return to_arm(
        state["type"],
        state.get("inputs", {}),
        urn=state["urn"],
        source=_source(state.get("sourcePosition", "")),
        depends_on=tuple(state.get("dependencies", ())),
    )


def _source(position: str) -> Source | None:
    found = _POSITION.match(position)
    return Source(found["file"], int(found["line"])) if found else None


def _without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a plan needs them: a secret's name is enough, its value is nobody's here."""
    known = {
        key: "to-be-known-at-up" if isinstance(value, dict) and "secure" in value else value
        for key, value in config.items()
    }
    for name in secret_names(known.get("greenlight:azure")):
        known.setdefault(f"greenlight:{name}", "to-be-known-at-up")
    return known


@contextlib.contextmanager
def planner(root: Path, stack: str, subscription: str = "") -> Iterator[Planner]:
    """The engine, made ready once: a plan leaves nothing behind, so more than one may be asked."""
    from pipelines.recorder import SUBSCRIPTION, Recorder, recording

    recorder = Recorder(subscription or SUBSCRIPTION)
    with tempfile.TemporaryDirectory(prefix="gl-") as folder, recording(recorder) as port:
        engine = Planner(root, stack, Path(folder), port)
        engine.make_ready()
        yield engine


@dataclass(frozen=True)
class Planner:
    """The engine with a stack of its own in ``folder``, and the recording provider at ``port``."""

    root: Path
    stack: str
    folder: Path
    port: int

    def make_ready(self) -> None:
        """Make the stack that is planned for."""
        project = bare_project(self.folder / "project")
        self.run("stack", "init", self.stack, "-C", str(project), "--non-interactive")

    def plan(self, config: Mapping[str, Any], *arguments: str) -> StackPlan:
        """The plan for a stack's ``config``, its secrets never read; as for ``plan_stack``.

        ``arguments`` are more of the engine's own.
        """
        found: Mapping[str, Any] = json.loads(self.of("preview", config, "--json", *arguments))
        if is_azures(config):
            refuse_foreign(_planned(found))
        shown = redacted_plan({k: v for k, v in found.items() if k != "config"})  # not the plan
        return StackPlan(self.stack, tuple(resources_of(found)), shown)

    def of(self, verb: str, config: Mapping[str, Any], *arguments: str) -> str:
        """What the engine says to a command that runs the program with ``config``."""
        settings = self.folder / f"Pulumi.{self.stack}.yaml"
        settings.write_text(yaml.safe_dump({"config": _without_secrets(config)}))
        return self.run(
            verb, "--non-interactive", "--stack", self.stack, "--config-file", str(settings),
            *arguments,
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        """What the engine says to a command; GreenlightError with its last words."""
        done = subprocess.run(
            [executable(), *arguments], cwd=self.root, env=self._environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise _failed(done.stdout, done.stderr)
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "ARM_"))}
        (self.folder / "backend").mkdir(exist_ok=True)
        own = {
            "PULUMI_CONFIG_PASSPHRASE": "nothing-is-kept",
            "PULUMI_DEBUG_PROVIDERS": f"{PROVIDER}:{self.port}",
        }
        return kept | surroundings(self.folder / "backend", self.folder / "home") | own


def _failed(out: str, err: str) -> GreenlightError:
    """What ended the engine: the program's own words, with its own exit code where it had one."""
    words = _diagnostics(out) or [line for line in err.splitlines() if line.strip()]
    text = "\n".join(words)
    code = _EXIT.search(text)
    said = without_credentials("\n".join(w for w in words if not _EXIT.search(w)) or text)
    if code and int(code[1]) == BAD_INPUT:
        return _Refused(said)
    return GreenlightError(f"the engine could not plan the stack:\n{said}")


class _Refused(BadInput):
    """The program's own refusal of its settings, in its own words."""

    def __init__(self, said: str) -> None:
        GreenlightError.__init__(self, said)
        self.problems = ()


def _diagnostics(out: str) -> list[str]:
    try:
        found = json.loads(out).get("diagnostics", [])
    except ValueError:
        return []
    errors = (one["message"] for one in found if one.get("severity") == "error")
    return [re.sub(r"<\{%.*?%\}>", "", message).strip() for message in errors]
