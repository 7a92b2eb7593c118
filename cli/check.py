"""``greenlight check PATH…``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.common import add_json, show
from cli.judged import counted, write_sarif
from cli.terminal import terminal
from release.errors import DONE, REFUSED

if TYPE_CHECKING:
    from pipelines.check import Checked
    from policies.rules.findings import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PATH…, --stack, --sarif, --json."""
    parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+",
        help="a folder or a file: Pulumi programs, deployment templates, manifests, workflows. "
        "A file or a folder of a program stands for all of it. In a folder, hidden folders but "
        ".github, node_modules, __pycache__ and links to folders are passed by",
    )  # fmt: skip
    parser.add_argument(
        "--stack", metavar="STACK",
        help="deployment templates are for this stack, by whose settings our rules judge them; "
        "without it for any of Azure's: all of them have to allow what one has. "
        "A program is always judged for each of its stacks; what only Azure could tell is a "
        "warning (exit 0), where `preview` ends with 4",
    )  # fmt: skip
    parser.add_argument(
        "--sarif", metavar="FILE", type=Path, help="write the findings as SARIF 2.1.0 as well"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show what was found. Refused where one finding refuses; what only Azure could tell is a
    warning: in a pull request there are no credentials, so it is no reason to stop.
    """
    from infra.settings import require_settings
    from pipelines.check import check
    from pipelines.programs import programs
    from policies.rules.findings import refusals

    with terminal() as reporter:
        checked = check(
            arguments.paths,
            suppress=_suppress,
            programs=partial(programs, reporter=reporter, require=require_settings),
            stack=arguments.stack,
        )
    code = REFUSED if refusals(checked.findings) else DONE
    if arguments.sarif:
        write_sarif(arguments.sarif, checked.findings, checked.suppressed)
    if arguments.json:
        show(_document(checked, code))
    else:
        print(_text(checked))
    return code


def _suppress(
    findings: tuple[Finding, ...],
) -> tuple[tuple[Finding, ...], tuple[tuple[Finding, str], ...]]:
    """What counts, and what is let pass, with the reason: policies/suppressions.yaml says it.

    That an entry lets nothing pass is only known where a program's stacks were judged.
    """
    from policies.suppressions import suppressed_today

    whole = any(one.resource.startswith("urn:pulumi:") for one in findings)
    found = suppressed_today(findings, whole=whole)
    return found.findings, tuple((one, entry.reason) for one, entry in found.suppressed)


def _document(checked: Checked, code: int) -> dict[str, Any]:
    suppressed = [
        {**asdict(finding), "suppressed": reason} for finding, reason in checked.suppressed
    ]
    return {
        "exit_code": code,
        "files": checked.files,
        "cached": checked.cached,
        "findings": [asdict(finding) for finding in checked.findings],
        "suppressed": suppressed,
    }


def _text(checked: Checked) -> str:
    """Each finding on a line, then a sum."""
    files = ", ".join(f"{number} {kind}" for kind, number in checked.files.items())
    total = f"{counted(checked.findings, len(checked.suppressed))}; files: {files}"
    return "\n".join([*map(str, checked.findings), total])
