"""What several commands share: their arguments, the application, and how a plan is shown."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.ship import Outcome
    from pipelines.steps import Plan
    from pipelines.workspace import Workspace


def add_app(parser: argparse.ArgumentParser) -> None:
    """APP and --with."""
    parser.add_argument("app", metavar="APP", type=Path, help="the folder that holds llm.yaml")
    parser.add_argument(
        "--with", dest="changes", metavar="FILE", type=Path, action="append", default=[],
        help="lay a partial llm.yaml over the application's own; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="TARGET", help="run every environment on this target, local or "
        "kubernetes, whatever llm.yaml says",
    )  # fmt: skip


def add_env(parser: argparse.ArgumentParser) -> None:
    """--env."""
    parser.add_argument("--env", metavar="ENV", required=True, help="the environment")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on standard output, nothing else"
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """--dry-run."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan with its reasons; change nothing"
    )


def add_retry(parser: argparse.ArgumentParser) -> None:
    """--retry."""
    parser.add_argument(
        "--retry", action="store_true",
        help="ship a release that was refused or brought back, measured anew",
    )  # fmt: skip


def workspace(arguments: argparse.Namespace) -> Workspace:
    """The application that the arguments name."""
    from pipelines.workspace import open_workspace

    return open_workspace(arguments.app, _changes(arguments))


def running(arguments: argparse.Namespace) -> Workspace:
    """As ``workspace``, for verbs about what runs: where llm.yaml cannot be used, they say so
    and go by what was last provisioned.
    """
    from pipelines.workspace import open_running

    opened = open_running(arguments.app, _changes(arguments))
    if opened.fault:
        text = "going by what was last provisioned, because llm.yaml cannot be used"
        print(f"greenlight: {text}:\n{opened.fault}", file=sys.stderr)
    return opened


def _changes(arguments: argparse.Namespace) -> tuple[Path, ...]:
    """The files that are laid over ``llm.yaml``: a target that was asked for is the last."""
    changes = tuple(arguments.changes)
    if not arguments.target:
        return changes
    from pipelines.retarget import retarget

    return (*changes, retarget(arguments.app, changes, arguments.target))


def show(document: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2))


def say(arguments: argparse.Namespace, text: str) -> int:
    """One sentence about what was done."""
    if arguments.json:
        show({"exit_code": 0, "said": text})
    else:
        print(text)
    return 0


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    return {"reason": plan.reason, "steps": [step.as_json() for step in plan.steps]}


def plan_text(plan: Plan, application: str, seconds: dict[str, float]) -> str:
    """A plan for people: its steps in order, each with its reason and how long it took last."""
    from pipelines.steps import describe

    if not plan.steps:
        return f"nothing to do: {plan.reason}"
    lines = [
        f"{number:3}. {describe(step, application)}{_last_time(step.kind, seconds)}"
        for number, step in enumerate(plan.steps, 1)
    ]
    known = [seconds[step.kind] for step in plan.steps if step.kind in seconds]
    total = f"about {sum(known):.0f} s, as the last time" if known else "duration not known yet"
    return "\n".join([f"plan: {plan.reason} ({total})", *lines])


def _last_time(kind: str, seconds: dict[str, float]) -> str:
    return f" [{seconds[kind]:.1f} s]" if seconds.get(kind, 0) >= 1 else ""


def finish(arguments: argparse.Namespace, opened: Workspace, outcome: Outcome) -> int:
    """Show how a verb ended: its plan when it was only asked for, else what it did."""
    if arguments.json:
        show({**plan_json(outcome.plan), "application": opened.application,
              "dry_run": arguments.dry_run, "results": list(outcome.results)})  # fmt: skip
    elif arguments.dry_run or not outcome.plan.steps:
        from pipelines.past import seconds

        last = dict(seconds(opened.entries()))
        print(plan_text(outcome.plan, opened.application, last))
    return 0
