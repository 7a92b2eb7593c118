"""What ``check`` and ``preview`` say of findings in the same words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.rules.findings import Finding


def counted(findings: Sequence[Finding], suppressed: int) -> str:
    """``1 refused, 2 to look at, 3 suppressed``."""
    from policies.rules.findings import refusals

    refused = len(refusals(findings))
    return f"{refused} refused, {len(findings) - refused} to look at, {suppressed} suppressed"


def write_sarif(
    file: Path, findings: Sequence[Finding], suppressed: Sequence[tuple[Finding, str]]
) -> None:
    """Write the findings, and the suppressed ones with their reasons, as SARIF 2.1.0."""
    from importlib.metadata import version

    from policies.sarif import as_sarif

    document = as_sarif(findings, suppressed, version("greenlight"))
    file.write_text(json.dumps(document, indent=2) + "\n")
