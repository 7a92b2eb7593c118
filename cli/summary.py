"""The last lines of ``ship``: what is live, what the gates said, and how to ask it."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from pipelines import past
from pipelines.asking import request_body
from pipelines.ship import Outcome
from pipelines.targets.base import Endpoint
from pipelines.workspace import Workspace
from release.bundle import label


def summary(workspace: Workspace, outcome: Outcome) -> str:
    """A few lines for people; the key stays in its file."""
    release, last = workspace.built.release, workspace.environments[-1]
    lines = [""] if outcome.plan.steps else []
    lines += [f"  {_gate(verdict)}" for verdict in _verdicts(outcome)]
    lines += [f"{release.label} is live in {last}", *_stands_by(workspace, last)]
    lines += ["", f"Ask {last}:", f"  {ask(workspace)}"]
    return "\n".join(lines)


def _stands_by(workspace: Workspace, environment: str) -> list[str]:
    """What goes on after the command: the watcher, and until when."""
    rollout = past.rollout(workspace.entries(), environment)
    if rollout is None or rollout.live_since is None:
        return []
    until = time.strftime("%H:%M:%S", time.localtime(rollout.stands_by_until))
    before = label(workspace.application, rollout.before)
    return [f"{before} stands by until {until}; the watcher brings it back if this one gets worse"]


def ask(workspace: Workspace) -> str:
    """A shell command that asks the last environment a question of the evaluation data."""
    last = workspace.environments[-1]
    target = workspace.targets[last]
    case = next(case for case in workspace.dataset.cases if case.answerable)
    endpoint = Endpoint(url="", headers={}, model=workspace.application)
    body = request_body(case, endpoint, workspace.spec.prompt.inputs)
    text = json.dumps(body, ensure_ascii=False)
    key = shlex.quote(str(target.key_file("user")))
    return " ".join(
        [
            f"curl -s --noproxy '*' {target.facts().address}/v1/chat/completions",
            f'-H "Authorization: Bearer $(cat {key})"',
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(text)}",
        ]
    )


def _verdicts(outcome: Outcome) -> list[dict[str, Any]]:
    return [verdict for result in outcome.results for verdict in result.get("verdicts", [])]


def _gate(verdict: dict[str, Any]) -> str:
    return f"{verdict['outcome']:<5} {verdict['reason']}"
