"""``greenlight pulumi``: the engine by hand, under the rules of every other verb.

What the engine changes carries users' requests. So a command that may change something holds the
lease of every environment, and what it did is found again: by ``ship``, and in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines import past
from pipelines.engine import STACK, Engine
from pipelines.provisioned import write_provisioned
from pipelines.provisioning import fingerprint
from pipelines.reporting import Silent
from pipelines.run import open_run
from pipelines.workspace import ROOT, Workspace, open_running, open_workspace
from release.errors import BadInput, Problem
from release.state import StateFolder

_UP = frozenset({"up", "update"})
_DOWN = frozenset({"destroy", "down"})
_RUNS_THE_PROGRAM = _UP | {"preview", "pre", "watch"}
_LOOKS = frozenset(
    {"preview", "pre", "about", "config", "help", "logs", "plugin", "schema", "version", "whoami"}
)
_STACK_LOOKS = frozenset({"export", "graph", "history", "ls", "output"})
_STANDS_ALONE = frozenset(
    {
        "-d", "-e", "-f", "-h", "-j", "-r", "-y", "--debug", "--diff", "--emoji", "--help",
        "--json", "--logflow", "--logtostderr", "--non-interactive", "--refresh",
        "--skip-preview", "--suppress-outputs", "--yes",
    }
)  # fmt: skip
"""Options before the command that take no word after them; of any other, Pulumi takes one."""


def by_hand(app: Path, arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run the engine for the application in ``app``; the engine's exit code.

    BadInput before it starts when the program would not get past ``llm.yaml``. Waiting, naming
    who, when the command may change something that somebody else holds.
    """
    words = command_words(arguments)
    _refuse_lost_settings(words)
    engine, verb = Engine(StateFolder(app), root), words[0] if words else ""
    if verb in _RUNS_THE_PROGRAM:
        workspace = open_workspace(app, engine.changes())
    if not verb or _only_looks(words) or "--help" in arguments or "-h" in arguments:
        return engine.by_hand(verb, arguments)
    if verb not in _RUNS_THE_PROGRAM:
        workspace = open_running(app, engine.changes())
    return _change(workspace, engine, verb, arguments)


def _change(workspace: Workspace, engine: Engine, verb: str, arguments: Sequence[str]) -> int:
    with open_run(workspace, f"pulumi {verb}", workspace.environments, Silent()) as run:
        before = fingerprint(workspace)
        code = engine.by_hand(verb, arguments)
        emptied = verb in _DOWN and not code and engine.is_empty()
        if verb in _UP and not code:
            write_provisioned(workspace.state, before, workspace.spec)
        if emptied:
            run.append(past.DESTROYED, {"environments": list(workspace.environments)})
    if emptied:
        engine.forget()
    return code


def command_words(arguments: Sequence[str]) -> list[str]:
    """The words that name the command, such as ``stack ls``, without options and their values."""
    words, skip = [], False
    for word in arguments:
        if skip or word.startswith("-"):
            skip = not skip and "=" not in word and word not in _STANDS_ALONE
        else:
            words.append(word)
    return words


def _only_looks(words: Sequence[str]) -> bool:
    if words[0] == "stack":
        return len(words) == 1 or words[1] in _STACK_LOOKS
    return words[0] in _LOOKS


def _refuse_lost_settings(words: Sequence[str]) -> None:
    if words[:1] == ["config"] and words[1:2] and words[1] not in ("get", "env"):
        raise BadInput(
            Problem(
                path=" ".join(words[:2]),
                expected="a change of the file itself",
                remedy=f"Edit infra/stacks/Pulumi.{STACK}.yaml: it is read at every run.",
            )
        )
