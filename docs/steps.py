"""Write docs/steps.md from the steps: ``python docs/steps.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from pipelines.steps import KINDS

FILE = Path(__file__).parent / "steps.md"

HEAD = """# Steps

Everything that Greenlight does to an environment is one of these. The intent of each goes into the
ledger before it, what was read back after it; a process that is killed in between is resumed by
the same command, which plans from what is there.

This page is written by `python docs/steps.py`; a test keeps it current.

| step | what it is for | changes | done again after a kill | undone by |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for name, kind in KINDS.items():
        purpose = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        rows.append(f"| `{name}` | {purpose} | {kind.changes} | {kind.again} | {kind.undone} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    FILE.write_text(page())
