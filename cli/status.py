"""``greenlight status APP [--watch]``."""

from __future__ import annotations

import argparse
from typing import Any

from cli.common import add_app, add_json, running, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --watch, --json."""
    add_app(parser)
    parser.add_argument(
        "--watch", action="store_true",
        help="look again every second until Ctrl-C; with --json one document a change, one a line",
    )  # fmt: skip
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show what is."""
    from pipelines.status import status

    if arguments.watch:
        from cli.watch import watch

        return watch(running(arguments), arguments.json)
    found = status(running(arguments))
    if arguments.json:
        show(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    candidate = found["candidate"] or "nothing that can be built"
    lines = [f"{found['application']} (llm.yaml describes {candidate})"]
    lines += found["problem"].splitlines() if found["problem"] else []
    for name, environment in found["environments"].items():
        live = environment["live"] or "nothing"
        where = environment["address"] if environment["provisioned"] else environment["reason"]
        lines.append(f"{name}: {live} is live, {where}")
        for slot, one in environment["slots"].items():
            why = f" ({one['reason']})" if one["reason"] else ""
            lines.append(
                f"  {slot}: {one['release']} {one['state']}{why}, {one['weight']} %{_counts(one)}"
            )
        lines += [f"  drift: {line}" for line in environment["drift"]]
        if environment["rollout"]:
            lines += _rollout(environment["rollout"])
        if environment["lease"]:
            lease = environment["lease"]
            lines.append(f"  held by {lease['holder']} since {lease['since']}")
    lines += [f"held: {release} ({reason})" for release, reason in found["held"].items()]
    last = found["ledger"]["last"]
    if last:
        lines.append(
            f"ledger: {last['sequence']} entries, the last is {last['kind']}, {last['time']}"
        )
    return lines


def _rollout(rollout: dict[str, Any]) -> list[str]:
    """What is under way and what is waited for; how the others ended is in ``report``."""
    lines = []
    if not rollout["ended"]:
        left = ", ".join(rollout["steps"]["left"]) or "none"
        lines.append(f"  rollout of {rollout['release']} since {rollout['begun']}, left: {left}")
    waiting = rollout["waiting"]
    if waiting:
        lines.append(f"  waits since {waiting['since']}: {waiting['for']}")
        lines.append(f"    what ends it: {waiting['ends']}")
    return lines


def _counts(slot: dict[str, Any]) -> str:
    counts = slot["counts"]
    if counts is None:
        return ""
    return (
        f", {counts['requests']} requests ({counts['synthetic']} synthetic), "
        f"{counts['errors']} errors, {counts['in_flight']} in flight"
    )
