"""A model comes with a card that says what it is, what it is for and where it fails.

The rule reads the card's headings, since that is what a machine can check honestly: it cannot
tell whether what stands under them is true. A heading with nothing under it, or with the words
that card templates put there, counts as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from policies.rules.findings import Finding, shown
from policies.rules.licenses import alternatives

LONGEST_CARD = 200_000
"""Characters. Long cards have tens of thousands; more is not a card, and headings cost time."""

_SECTIONS = {
    "model and origin": r"model|origin|source|provenance|overview|about|base model|description",
    "licence": r"licen[cs]e|licen[cs]ing",
    "intended use": r"(?<!how to )uses?|usage|use cases?|purpose|applications?",
    "limits": r"limits?|limitations?|risks?|bias(?:es)?|caveats?|out.of.scope",
    "evaluation": r"evaluations?|results?|performance|benchmarks?|metrics|quality",
}
_NAMED = {name: re.compile(rf"\b(?:{words})\b", re.I) for name, words in _SECTIONS.items()}
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_PLACEHOLDERS = {"", "more information needed", "todo", "tbd", "to be written", "to be done"}
_FRONT_LICENSE = re.compile(r"licen[cs]e:\s*[\"']?([A-Za-z0-9][\w.+ -]*)", re.I)


@dataclass(frozen=True)
class _Section:
    level: int
    title: str
    line: int  # index of its first line below the heading


def check_model_card(
    card: str | None, *, file: str, declared_license: str | None
) -> tuple[Finding, ...]:
    """Hold a Markdown ``card`` against what a card has to say; None means that there is none."""
    if card is None:
        return (_refused("001", file, "a model card", "no such file", _WRITE),)
    if len(card) > LONGEST_CARD:
        found = f"{len(card)} characters"
        return (_refused("002", file, f"a card of at most {LONGEST_CARD}", found, "Shorten it"),)
    if not card.strip():
        return (_refused("002", file, "a model card", "an empty file", _WRITE),)
    lines = _COMMENT.sub("", card).split("\n")
    return (*_missing_sections(lines, file), *_unnamed_license(card, file, declared_license))


_WRITE = f"Write one in Markdown, with a heading for each of: {', '.join(_SECTIONS)}"


def _missing_sections(lines: list[str], file: str) -> tuple[Finding, ...]:
    titles = _titles_with_text(lines)
    if _front_license(lines):
        titles.append("licence")
    return tuple(
        _refused(
            "003",
            file,
            f"a section on {name}",
            "none with text in it",
            "Add a Markdown heading of that name, and what there is to say under it",
        )
        for name, words in _NAMED.items()
        if not any(words.search(title) for title in titles)
    )


def _unnamed_license(card: str, file: str, declared: str | None) -> tuple[Finding, ...]:
    """Findings for licences that are declared and that the card never names."""
    names = {name for choice in alternatives(declared or "") or () for name in choice}
    absent = sorted(
        name
        for name in names
        if not re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", card, re.I)
    )
    return tuple(
        _refused(
            "004",
            file,
            f"the declared licence {shown(name)} named in the card",
            "no mention",
            "Name it by its SPDX identifier, or correct the declaration: they must agree",
        )
        for name in absent
    )


def _titles_with_text(lines: list[str]) -> list[str]:
    sections = _sections(lines)
    return [
        section.title for index, section in enumerate(sections) if _has_text(lines, sections, index)
    ]


def _sections(lines: list[str]) -> list[_Section]:
    """The headings outside code blocks, in order."""
    found, fenced = [], False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.match(line)):
            found.append(_Section(len(heading[1]), heading[2], number + 1))
    return found


def _has_text(lines: list[str], sections: list[_Section], index: int) -> bool:
    """Whether anything is said between this heading and the next of its rank."""
    later = (sections[other] for other in range(index + 1, len(sections)))
    ends = (section.line - 1 for section in later if section.level <= sections[index].level)
    body = lines[sections[index].line : next(ends, len(lines))]
    return any(not _HEADING.match(line) and not _is_placeholder(line) for line in body)


def _is_placeholder(line: str) -> bool:
    words = "".join(c for c in line if c.isalnum() or c == " ")
    return words.strip().casefold() in _PLACEHOLDERS


def _front_license(lines: list[str]) -> bool:
    """Whether YAML front matter names a licence, which is where model hubs put it."""
    if lines[0].rstrip() != "---":
        return False
    front = lines[1 : next((n for n, x in enumerate(lines) if n and x.rstrip() == "---"), 0)]
    return any(_FRONT_LICENSE.match(line) for line in front)


def _refused(number: str, file: str, expected: str, found: str, remedy: str) -> Finding:
    return Finding(
        rule=f"GL-CARD-{number}", file=file, expected=expected, found=found, remedy=remedy
    )
