"""``greenlight preview --stack STACK``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.common import add_json, show
from cli.judged import counted, write_sarif
from cli.terminal import terminal
from release.errors import DONE, REFUSED, WAITING

if TYPE_CHECKING:
    from pipelines.preview import Preview
    from policies.limits.capacity import CapacityRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--stack, --state, --out, --sarif, --json."""
    parser.add_argument("--stack", required=True, metavar="STACK", help="such as production")
    parser.add_argument(
        "--state", metavar="FILE", type=Path,
        help="what `pulumi stack export --stack STACK --file FILE` wrote: changes of what cannot "
        "be changed are found",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path,
        help="write plan.json (the engine's), template.json (ARM) and findings.sarif there",
    )  # fmt: skip
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan and judge. Refused for a finding that refuses, inconclusive where a limit is unknown."""
    from infra.settings import require_settings
    from pipelines.preview import preview
    from pipelines.workspace import ROOT

    with terminal() as reporter:
        found = preview(
            ROOT,
            arguments.stack,
            state=arguments.state,
            reporter=reporter,
            require=require_settings,
        )
    if arguments.out:
        _write(found, arguments.out)
    code = exit_code(found)
    if arguments.json:
        show(_document(found, code))
    else:
        print("\n".join(_lines(found)))
    return code


def exit_code(found: Preview) -> int:
    """3 where something is refused; 4 where only Azure could tell, of names as of quota; else 0."""
    from policies.limits.found import inconclusive
    from policies.rules.findings import refusals

    if refusals(found.judged.findings):
        return REFUSED
    unknown = any(row.verdict == "unknown" for row in found.capacity)
    return WAITING if unknown or inconclusive(found.judged.findings) else DONE


def _write(found: Preview, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suppressed = [(one, entry.reason) for one, entry in found.judged.suppressed]
    for name, document in (("plan.json", found.plan.engine), ("template.json", found.template)):
        (folder / name).write_text(json.dumps(document, indent=2) + "\n")
    write_sarif(folder / "findings.sarif", found.judged.findings, suppressed)


def _document(found: Preview, code: int) -> dict[str, Any]:
    return {
        "exit_code": code,
        "stack": found.plan.stack,
        "resources": [
            {"urn": one.urn, "type": one.type, "name": one.name, "body": one.body,
             "source": asdict(one.source) if one.source else None}
            for one in found.plan.resources
        ],
        "findings": [asdict(one) for one in found.judged.findings],
        "suppressed": [
            {**asdict(one), "reason": entry.reason, "until": entry.until.isoformat()}
            for one, entry in found.judged.suppressed
        ],
        "capacity": [_row(row) for row in found.capacity],
        "facts": found.origin,
    }  # fmt: skip


def _row(row: CapacityRow) -> dict[str, Any]:
    return {
        "what": _what(row),
        "size": row.ask.size, "count": row.ask.count, "slots": row.ask.slots, "cores": row.cores,
        "together": row.together, "limit": row.limit, "used": row.used, "left": row.left,
        "verdict": row.verdict, "reasons": list(row.reasons),
    }  # fmt: skip


def _what(row: CapacityRow) -> str:
    """What asks for the cores: a resource of the plan, or an application that is still to come."""
    return row.ask.resource.name if row.ask.resource else row.ask.name


def _lines(found: Preview) -> list[str]:
    """The plan, what is wrong with it, and whether it fits."""
    plan, judged = found.plan, found.judged
    lines = [f"{plan.stack}: {len(plan.resources)} Azure resources"]
    for one in plan.resources:
        at = f"{one.source.file}:{one.source.line}" if one.source else ""
        lines.append(f"  + {one.type:<58} {one.name:<44} {at}")
    lines += ["", *(str(one) for one in judged.findings)]
    lines.append(counted(judged.findings, len(judged.suppressed)))
    if found.capacity:
        lines += ["", *_table(found.capacity), f"limits rest on: {found.origin}"]
    return lines


def _table(rows: tuple[CapacityRow, ...]) -> list[str]:
    head = ("what", "size", "count", "slots", "cores", "left", "verdict")
    cells: list[tuple[str, ...]] = [head]
    for row in rows:
        told = (row.ask.count, row.ask.slots, row.cores, row.left)
        cells.append((_what(row), row.ask.size, *("?" if n is None else str(n) for n in told),
                      row.verdict))  # fmt: skip
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
