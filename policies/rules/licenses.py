"""Which licences may be served.

The platform says what is allowed, the application can only take away from that. What is not
named is not allowed: a missing or unreadable licence is refused, not guessed.

Expressions are read as far as ``OR`` and ``AND`` go (SPDX specification 2.3, annex D); one with
brackets or ``WITH`` is refused as unknown, since an exception changes what a licence permits.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from policies.rules.findings import Finding, shown

PLATFORM_DEFAULT = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unlicense",
    "Zlib",
)
"""Allowed unless the platform's own settings say otherwise.

Each lets a model be served commercially and changed, asks at most for attribution, and puts no
condition on the field of use, the number of users or the output. The licences of their own that
come with several well-known models do, so somebody with the authority has to add those.
"""

_LONGEST_EXPRESSION = 1000  # characters; real ones have fewer than 100
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def alternatives(expression: str) -> tuple[tuple[str, ...], ...] | None:
    """The ways to comply with ``expression``: any one of them, with all its licences at once.

    ``MIT OR Apache-2.0 AND ISC`` gives ``(("MIT",), ("Apache-2.0", "ISC"))``, since ``AND``
    binds tighter. None when it is not an expression that these rules read.
    """
    words = " ".join(expression[: _LONGEST_EXPRESSION + 1].split())
    if not words or len(words) > _LONGEST_EXPRESSION:
        return None
    choices = tuple(
        tuple(re.split(" (?:AND|and) ", choice)) for choice in re.split(" (?:OR|or) ", words)
    )
    readable = all(_IDENTIFIER.fullmatch(name) for choice in choices for name in choice)
    return choices if readable else None


def same_license(one: str, other: str) -> bool:
    """Whether two expressions offer the same choices, whatever their case and order."""
    return _normal(one) == _normal(other)


def _normal(expression: str) -> object:
    choices = alternatives(expression.casefold())
    return frozenset(map(frozenset, choices)) if choices else expression.casefold().split()


def check_license(
    declared: str | None,
    *,
    file: str,
    line: int | None = None,
    platform: Collection[str] = PLATFORM_DEFAULT,
    application: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """Hold ``declared`` against what the platform and, if it has a list, the application allow.

    ``application`` None means that it adds nothing to the platform's list; an empty list allows
    nothing. Identifiers compare without regard to case, as SPDX says.
    """
    idle = _idle_entries(platform, application, file)
    if not (declared or "").strip():
        return (*idle, _refused("001", file, line, "a declared licence", "none", _SAY))
    choices = alternatives(declared or "")
    if choices is None:
        found = f"'{shown(declared or '')}'"
        return (*idle, _refused("002", file, line, "an SPDX licence expression", found, _SAY))
    return (*idle, *_disallowed(choices, platform, application, file, line))


_SAY = (
    "Say which licence the model comes under as an SPDX identifier such as Apache-2.0, "
    "or several joined by OR and AND"
)


def _disallowed(
    choices: tuple[tuple[str, ...], ...],
    platform: Collection[str],
    application: Collection[str] | None,
    file: str,
    line: int | None,
) -> tuple[Finding, ...]:
    found = " or ".join(" and ".join(_canonical(n, platform) for n in names) for names in choices)
    if not _allowed(choices, platform):
        expected = f"a licence that the platform allows ({', '.join(sorted(platform))})"
        remedy = "Choose another model, or ask the platform team to allow this licence"
        return (_refused("003", file, line, expected, shown(found, 200), remedy),)
    if application is not None and not _allowed(choices, _both(platform, application)):
        listed = ", ".join(sorted(_both(platform, application))) or "nothing"
        expected = f"a licence that the application's own list leaves ({listed})"
        remedy = "Choose another model, or widen the application's list within the platform's"
        return (_refused("004", file, line, expected, shown(found, 200), remedy),)
    return ()


def _idle_entries(
    platform: Collection[str], application: Collection[str] | None, file: str
) -> tuple[Finding, ...]:
    """A warning where the application means to allow what only the platform could."""
    known = {name.casefold() for name in platform}
    idle = sorted(name for name in application or () if name.casefold() not in known)
    if not idle:
        return ()
    finding = Finding(
        rule="GL-LICENSE-005",
        severity="warn",
        file=file,
        expected="an application's list within the platform's",
        found=f"{shown(', '.join(idle), 200)}, which the platform does not allow",
        remedy="It has no effect here: remove it, or ask the platform team to allow it",
    )
    return (finding,)


def _allowed(choices: tuple[tuple[str, ...], ...], allowed: Collection[str]) -> bool:
    known = {name.casefold() for name in allowed}
    return any(all(name.casefold() in known for name in names) for names in choices)


def _both(platform: Collection[str], application: Collection[str]) -> tuple[str, ...]:
    kept = {name.casefold() for name in application}
    return tuple(name for name in platform if name.casefold() in kept)


def _canonical(name: str, known: Collection[str]) -> str:
    by_key = {entry.casefold(): entry for entry in (*PLATFORM_DEFAULT, *known)}
    return by_key.get(name.casefold(), name)


def _refused(
    number: str, file: str, line: int | None, expected: str, found: str, remedy: str
) -> Finding:
    return Finding(
        rule=f"GL-LICENSE-{number}",
        file=file,
        line=line,
        expected=expected,
        found=found,
        remedy=remedy,
    )
