"""The ``checkov`` command itself, to compare with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

Found = tuple[str, str, int, str]
"""Check, file, line, resource."""

COMMAND = Path(sys.executable).with_name("checkov")


def arguments(files: Sequence[Path]) -> list[str]:
    """Over ``files`` with the scans that Greenlight runs, without a word to its vendor."""
    frameworks = ("--framework", "arm", "kubernetes", "github_actions")
    quiet = ("--output", "json", "--compact", "--skip-download")
    return [str(COMMAND), *frameworks, *quiet, "--file", *map(str, files)]


def environment() -> dict[str, str]:
    """Ours, without what changes its mind."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("CHECKOV_", "CKV_", "BC_"))}


def findings(files: Sequence[Path], folder: Path) -> list[Found]:
    """All that the command finds in ``files``, what a comment skips included."""
    done = subprocess.run(
        arguments(files), env=environment(), cwd=folder, capture_output=True, text=True, check=False
    )
    reports = json.loads(done.stdout)
    return sorted(
        (one["check_id"], one["file_abs_path"], max(1, one["file_line_range"][0]), one["resource"])
        for report in (reports if isinstance(reports, list) else [reports])
        for kind in ("failed_checks", "skipped_checks")
        for one in report["results"][kind]
    )
