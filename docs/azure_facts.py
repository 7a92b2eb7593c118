"""Write docs/azure-facts.md from policies/limits/data/facts.yaml: ``python -m docs.azure_facts``.

A test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from policies.limits.tables import document

FILE = Path(__file__).parent / "azure-facts.md"

HEAD = """# What is taken as given about Azure

None of it could be tried on Azure. Each row names what the program or a rule leans on, the file,
and the page of Microsoft's (or the report) that it was compared with on {read}. The date is the
one that the page gives itself; *undated* pages were read, but give none or are made of Azure's
API. What no page that was at hand says stands under **not verified**. Sizes, regions, names and
what cannot be changed have tables of their own in [limits.md](limits.md).

| fact | file | page | dated | not verified |
|---|---|---|---|---|
"""

TAIL = """
This page is written by `python -m docs.azure_facts`; a test keeps it current.
"""


def page() -> str:
    """The whole page."""
    data = document("facts")
    return HEAD.format(read=data["read"]) + "\n".join(_rows()) + "\n" + TAIL


def _rows() -> Iterator[str]:
    data = document("facts")
    for row in data["rules"]:
        source = data["sources"][row["source"]]
        name = source["url"].rpartition("/")[2]
        cells = (
            row["fact"],
            f"`{row['in']}`",
            f"[{name}]({source['url']})",
            source["page"] or "undated",
            row.get("unverified", ""),
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    FILE.write_text(page())
