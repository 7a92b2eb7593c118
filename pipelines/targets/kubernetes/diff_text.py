"""Changes of a cluster's objects, shown: in a terminal, as Markdown for a pull request, as JSON.

What is shown was written by whoever wrote the objects. Control characters and those that turn the
direction of text are written out, and no fence can be closed from within.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from pipelines.targets.kubernetes.diff import Change

LONGEST = 65_536
"""Characters of a comment on GitHub: https://docs.github.com/en/rest/issues/comments"""

SIGNS = {"added": "+", "changed": "~", "removed": "-", "refused": "!"}
CONTEXT = 3  # lines around a change, as `diff -u` has them

STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
"""What a terminal would act on, or a reader not see."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Texts of several lines as several lines, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written where it stands."""
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def lines(value: Any) -> list[str]:
    """``value`` as YAML with sorted keys; none for None."""
    if value is None:
        return []
    dumped: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, width=1_000_000)
    return [harmless(one) for one in dumped.rstrip("\n").split("\n")]


def harmless(text: str) -> str:
    """``text`` with what is not to be seen written out."""
    return STRANGE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def unified(change: Change) -> list[str]:
    """The lines of a unified diff, without its two lines of file names."""
    found = difflib.unified_diff(lines(change.before), lines(change.after), lineterm="", n=CONTEXT)
    return list(found)[2:]


def total(changes: Sequence[Change]) -> str:
    """``1 added, 2 changed``."""
    counts = Counter[str](one.what for one in changes)
    told = [f"{counts[what]} {what}" for what in SIGNS if counts[what]]
    return ", ".join(told) or "nothing would change"


def terminal(changes: Sequence[Change], colours: bool = False) -> str:
    """Every changed object with its lines; of the others what happens to them."""
    told = [line for one in changes for line in _one(one)]
    painted = [_painted(line) for line in told] if colours else told
    return "\n".join([*painted, total(changes)])


def _one(change: Change) -> Iterator[str]:
    if change.what == "same":
        return
    yield f"{SIGNS[change.what]} {_named(change)}{_few(change)}"
    if change.what == "changed":
        yield from (f"    {line}" for line in unified(change))
    if change.why:
        yield f"    {harmless(' '.join(change.why.split()))}"


def _few(change: Change) -> str:
    return f": {_fields(change)}" if change.fields else ""


def _fields(change: Change) -> str:
    """The first places that differ."""
    paths = [harmless(one.path) for one in change.fields]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def _named(change: Change) -> str:
    beside = f", which {' and '.join(change.beside)} runs on too" if change.beside else ""
    return harmless(f"{change.kind}/{change.name}{beside}")


_COLOURS = {"+": "32", "-": "31", "~": "33", "!": "31;1", "@": "36"}


def _painted(line: str) -> str:
    colour = _COLOURS.get(line.strip()[:1])
    return f"\x1b[{colour}m{line}\x1b[0m" if colour else line


LEFT_OUT = "\n_{} objects of {} are not shown here: the comment would be too long._\n"


def markdown(changes: Sequence[Change], title: str, longest: int = LONGEST) -> str:
    """A table, then what changes of each object, folded; cut to ``longest`` characters.

    Rows and objects are left out whole, and how many is said.
    """
    shown = [one for one in changes if one.what != "same"]
    parts = [*zip(_table(shown), shown, strict=True), *((_folded(one), one) for one in shown)]
    text, left = f"### {harmless(title)}\n\n{total(changes)}\n", set[tuple[str, str]]()
    room = longest - len(LEFT_OUT.format(len(shown), len(shown)))
    for part, one in parts:
        if len(text) + len(part) <= room:
            text += part
        else:
            left.add((one.kind, one.name))
    return text + (LEFT_OUT.format(len(left), len(shown)) if left else "")


def _table(shown: Sequence[Change]) -> list[str]:
    """A line of the table for each, the head with the first."""
    rows = [f"| {one.what} | {_cell(_named(one))} | {_cell(_fields(one))} |\n" for one in shown]
    head = "\n| | object | fields |\n|---|---|---|\n"
    return [head + rows[0], *rows[1:]] if rows else []


def _cell(text: str) -> str:
    """Code in a cell: nothing in it is Markdown."""
    safe = text.replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{safe}`" if safe else ""


def _folded(change: Change) -> str:
    body = [change.why] if change.why else unified(change)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(body))), default=0))
    name = _named(change).replace("&", "&amp;").replace("<", "&lt;")
    inside = "\n".join(map(harmless, body))
    return (
        f"\n<details><summary>{change.what}: {name}</summary>\n\n"
        f"{fence}diff\n{inside}\n{fence}\n\n</details>\n"
    )


def document(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """For a program: every object that is not the same."""
    return [
        {
            "what": one.what, "kind": one.kind, "name": one.name, "why": one.why,
            "fields": [{"path": f.path, "from": f.before, "to": f.after} for f in one.fields],
            "before": one.before, "after": one.after, "beside": list(one.beside),
        }
        for one in changes if one.what != "same"
    ]  # fmt: skip
