"""``destroy``: nothing stays but ledger, evidence and keys."""

from __future__ import annotations

from pipelines import past
from pipelines.engine import Engine
from pipelines.provisioned import read_provisioned
from pipelines.reporting import Reporter
from pipelines.run import open_run
from pipelines.workspace import Workspace
from release.spec import LOCAL
from release.state import StateFolder
from serving import local


def destroy(workspace: Workspace, reporter: Reporter) -> tuple[str, ...]:
    """End every process of the application and remove its files; the environments that went.

    Raises Waiting, naming who, when somebody holds one of them, and BadInput where it is not known
    what runs.
    """
    state, names = workspace.state, workspace.environments
    read_provisioned(state)  # with one that nobody can read, who knows what else runs?
    there = _there(workspace)
    entries = workspace.entries()
    live = any(past.live_history(entries, name).live for name in names)
    if not there and not live and not state.pulumi.exists() and not state.work.exists():
        return ()
    with open_run(workspace, "destroy", names, reporter) as run:
        reporter.step("destroy " + ", ".join(there or names))
        for name, target in workspace.targets.items():
            for line in target.destroy(run.lease(name).fence):
                reporter.note(f"{name}: {line}")
        Engine(state, workspace.root).destroy(reporter.note)
        remove_environments(state)
        run.append(past.DESTROYED, {"environments": sorted({*there, *names})})
    Engine(state, workspace.root).forget()
    return there


def _there(workspace: Workspace) -> tuple[str, ...]:
    """What is to go: folders here, whoever knows of them, and what other targets have."""
    return tuple(sorted({*environments_there(workspace.state), *environments_away(workspace)}))


def environments_away(workspace: Workspace) -> tuple[str, ...]:
    """The environments elsewhere of which something is there, whether or not anybody is let in:
    their targets remember the ledger.
    """
    away = {name: workspace.targets[name] for name in workspace.environments
            if name not in workspace.on(LOCAL)}  # fmt: skip
    return tuple(name for name, one in away.items() if one.witness.seen() is not None)


def environments_there(state: StateFolder) -> tuple[str, ...]:
    """The environments of which there is a folder, whoever knows of them."""
    folders = state.environments.iterdir() if state.environments.is_dir() else ()
    return tuple(sorted(folder.name for folder in folders))


def remove_environments(state: StateFolder) -> None:
    """End and remove what an engine without its state no longer knows of."""
    for name in environments_there(state):
        local.destroy(state.environment(name))
