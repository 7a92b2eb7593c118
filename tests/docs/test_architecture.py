"""The picture of the architecture says what the imports say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("release", "manifests", "policies", "serving", "infra", "pipelines", "cli")


def imported(file: Path) -> set[str]:
    """The top-level packages that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_picture_shows_every_import_between_packages_and_no_other() -> None:
    """docs/architecture.md, its first diagram."""
    text = (ROOT / "docs/architecture.md").read_text()
    picture = text.split("```mermaid\n")[1].split("```")[0]
    drawn = set(re.findall(r"(\w+) --> (\w+)", picture))
    found = {
        (package, other)
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for other in imported(file) & set(PACKAGES) - {package}
    }

    assert drawn == found


def test_the_table_names_every_package() -> None:
    """And nothing that is not there."""
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.split("| package |")[1].split("\n\n")[0]

    assert set(PACKAGES) == set(re.findall(r"^\| `(\w+)` \|", table, re.M))
