"""Whether the engine has to run: program, settings and facts against those of its last run.

Starting the engine costs seconds. Nothing that it would look at has changed when the program's
files, its settings and the environments are as they were after its last good run.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.engine import Engine
from pipelines.facts import EnvironmentFacts
from pipelines.provisioned import read_provisioned, write_provisioned
from pipelines.workspace import Workspace
from release.integrity import canonical, sha256
from release.spec import LOCAL

UNKNOWN = ""
"""The fingerprint while the engine is at work, and until a whole run has ended well."""

_PROGRAM = ("Pulumi.yaml", "infra/**/*.py", "infra/stacks/*.yaml")


def fingerprint(workspace: Workspace) -> str:
    """SHA-256 over the program, the engine's version and what it is told."""
    return sha256(
        canonical(
            {
                "program": {str(p.relative_to(workspace.root)): sha256(p.read_bytes())
                            for p in _files(workspace.root)},
                "pulumi": importlib.metadata.version("pulumi"),
                "application": workspace.application,
                "environments": {
                    name: environment.model_dump(mode="json")
                    for name, environment in workspace.spec.environments.items()
                },
                "refusal": workspace.spec.evaluation.refusal,
            }
        )
    )  # fmt: skip


def _files(root: Path) -> Iterator[Path]:
    for pattern in _PROGRAM:
        yield from sorted(root.glob(pattern))


def provision_reason(workspace: Workspace, environments: Sequence[EnvironmentFacts]) -> str:
    """Why the engine has to run, or an empty string."""
    last = read_provisioned(workspace.state)
    if last is None:
        return "nothing is known to be provisioned"
    if workspace.on(LOCAL) and not Engine(workspace.state, workspace.root).has_state():
        return "the engine's state is gone"
    if last.fingerprint == UNKNOWN:
        return "the engine's last run did not end well, or was not a whole one"
    if last.fingerprint != fingerprint(workspace):
        return "the program or its settings changed since it last ran"
    away = [one.name for one in environments if not one.provisioned]
    return f"{', '.join(away)}: the gateway does not answer" if away else ""


def provision(
    workspace: Workspace, fences: Mapping[str, int], note: Callable[[str], None]
) -> dict[str, str]:
    """What has to be there before any slot: by the engine on this machine, else by the target.

    The address of each environment. Repeating it is harmless.
    """
    before = fingerprint(workspace)
    write_provisioned(workspace.state, UNKNOWN, workspace.spec)
    if workspace.on(LOCAL):
        Engine(workspace.state, workspace.root).up(workspace.sources.changes, note)
    for name, target in workspace.targets.items():
        target.provision(fences[name])
    write_provisioned(workspace.state, before, workspace.spec)
    return {name: target.facts().address for name, target in workspace.targets.items()}
