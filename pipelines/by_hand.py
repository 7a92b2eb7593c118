"""``greenlight pulumi``: the engine by hand, under the rules of every other verb.

What the engine changes carries users' requests. So a command that may change something holds the
lease of every environment, and what it did is found again: by ``ship``, and in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines import past
from pipelines.destroy import environments_there, remove_environments
from pipelines.engine import Engine
from pipelines.provisioned import read_provisioned, write_provisioned
from pipelines.provisioning import UNKNOWN, fingerprint
from pipelines.reporting import Silent
from pipelines.run import open_run
from pipelines.typed import DOWN, UP, Typed, parse_typed
from pipelines.workspace import ROOT, Workspace, open_running, open_workspace
from release.spec import LOCAL
from release.state import StateFolder


def by_hand(app: Path, arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run the engine for the application in ``app``; the engine's exit code.

    BadInput before it starts for what cannot be done by hand, and when the program would not get
    past ``llm.yaml``. Waiting, naming who, when the command may change something that somebody
    else holds.
    """
    typed = parse_typed(arguments)
    typed.refuse()
    engine = Engine(StateFolder(app), root)
    if typed.runs_the_program:
        workspace = open_workspace(app, engine.changes())
    if typed.only_looks:
        return engine.by_hand(arguments, typed.takes_settings)
    if not typed.runs_the_program:
        workspace = open_running(app, engine.changes())
    return _change(workspace, engine, typed, arguments)


def _change(workspace: Workspace, engine: Engine, typed: Typed, arguments: Sequence[str]) -> int:
    names, state = workspace.environments, workspace.state
    with open_run(workspace, f"pulumi {typed.verb}", names, Silent()) as run:
        before = fingerprint(workspace)
        _forget_fingerprint(workspace, typed)
        code = engine.by_hand(arguments, typed.takes_settings)
        if typed.verb in UP and typed.plain and not code:
            write_provisioned(state, before, workspace.spec)
        emptied = typed.verb in DOWN and not code and engine.is_empty()
        if emptied and typed.plain:
            remove_environments(state)
        emptied = emptied and not environments_there(state)
        if emptied and (local := workspace.on(LOCAL)):  # elsewhere all of it goes on
            run.append(past.DESTROYED, {"environments": list(local)})
    if emptied:
        engine.forget()
    return code


def _forget_fingerprint(workspace: Workspace, typed: Typed) -> None:
    """What was provisioned last keeps its names; what is there is not known until it is done."""
    last = read_provisioned(workspace.state)
    if typed.runs_the_program:
        write_provisioned(workspace.state, UNKNOWN, workspace.spec)
    elif last:
        write_provisioned(workspace.state, UNKNOWN, last.spec)
