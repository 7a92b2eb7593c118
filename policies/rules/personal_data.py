"""Finds personal data and secrets that have a structure, in prompts and evaluation data.

It finds e-mail addresses, telephone numbers, payment cards, IBANs, public IP addresses, US
social security numbers, private keys and access tokens of well-known makes. It does not find
what has no structure: names, postal addresses, birthdays, health, free text about a person.
Nor does it find what is written to be overlooked ("jo at example"), escaped or encoded, a
telephone number without any separator, or one of seven digits. Passing says that much, no more.

What standards reserve for examples passes: example.com and its kin (RFC 2606, RFC 6761), the
documentation networks (RFC 5737, RFC 3849, RFC 9637), telephone numbers for fiction (555-01xx
in North America, Ofcom's numbers for drama in the United Kingdom), AWS's EXAMPLE keys.

Every pattern takes time in proportion to the text: repetitions are bounded or cannot overlap.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policies.rules.checksums import iban_length, is_card_number, is_iban
from policies.rules.findings import Finding

MAX_FINDINGS = 100
"""After so many the point is made; the last one says that the reading stopped there."""

Span = tuple[int, int]
Line = str


@dataclass(frozen=True)
class _Detector:
    rule: str
    what: str
    find: Callable[[Line], Iterator[Span]]


def check_text(text: str, *, file: str, first_line: int = 1) -> tuple[Finding, ...]:
    """Findings for ``text``, which begins at ``first_line`` of ``file``; at most MAX_FINDINGS.

    Give it text as people read it: decode JSON first, or ``\\u0040`` hides an e-mail address.
    """
    findings: list[Finding] = []
    for number, line in enumerate(text.split("\n"), first_line):
        for detector, column in _matches(line):
            if len(findings) == MAX_FINDINGS - 1:
                return (*findings, _stopped(file, number))
            findings.append(_finding(detector, file, number, column))
    return tuple(findings)


def _matches(line: Line) -> list[tuple[_Detector, int]]:
    """What stands in ``line`` and in which column, each place once: the first detector has it."""
    found: dict[Span, _Detector] = {}
    for detector in _DETECTORS:
        for start, end in detector.find(line):
            if len(found) == MAX_FINDINGS:
                break
            if not any(start < until and begin < end for begin, until in found):
                found[start, end] = detector
    return [(found[span], span[0] + 1) for span in sorted(found)]


def _finding(detector: _Detector, file: str, line: int, column: int) -> Finding:
    return Finding(
        rule=detector.rule,
        file=file,
        line=line,
        expected="no personal data and no secrets",
        found=f"{detector.what} at column {column}",
        remedy="Remove it, or use one that is reserved for examples. A secret has to be revoked"
        if detector.rule.startswith("GL-SECRET")
        else "Remove it, or use one that is reserved for examples",
    )


def _stopped(file: str, line: int) -> Finding:
    return Finding(
        rule="GL-PERSONAL-000",
        file=file,
        line=line,
        expected="no personal data and no secrets",
        found=f"{MAX_FINDINGS} places or more; the rest was not read",
        remedy="Remove those, and check again",
    )


def _all(_line: Line, _match: re.Match[str]) -> bool:
    return True


def _spans(
    pattern: str, accept: Callable[[Line, re.Match[str]], bool] = _all
) -> Callable[[Line], Iterator[Span]]:
    """A finder of the places where ``pattern`` matches and ``accept`` agrees."""
    compiled = re.compile(pattern)

    def find(line: Line) -> Iterator[Span]:
        return (match.span() for match in compiled.finditer(line) if accept(line, match))

    return find


# E-mail: RFC 5321 bounds the part before the @ to 64 characters, a label to 63 (RFC 1035).
_EMAIL = r"(?<![\w.+-])[\w%+][\w.%+'-]{0,63}@((?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24})(?![\w-])"
_RESERVED_DOMAIN = re.compile(
    r"(?:.+\.)?(?:example\.(?:com|net|org)|[^.]+\.(?:example|test|invalid|localhost))", re.I
)


def _is_real_domain(_line: Line, match: re.Match[str]) -> bool:
    return not _RESERVED_DOMAIN.fullmatch(match[1])


# Telephone: + and 8 to 15 digits (ITU-T E.164), or one of three national ways of grouping.
_INTERNATIONAL = r"(?<![\w+.])\+[2-9](?:[ ().-]{0,2}[0-9]){7,14}(?!\w)"
_NORTH_AMERICAN_ABROAD = (
    r"(?<![\w+.])\+1[ .-]?(?:\([2-9][0-9]{2}\)|[2-9][0-9]{2})[ .-]?"
    r"[2-9][0-9]{2}[ .-]?[0-9]{4}(?!\w)"
)
_NORTH_AMERICAN = (
    r"(?<![\w+.-])(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])"
    r"[2-9][0-9]{2}[-. ][0-9]{4}(?![\w-]|\.[0-9])"
)
_TRUNK_ZERO = (
    r"(?<![\w+.,:/-])(?<![0-9] )(?:\(0[1-9][0-9]{1,4}\) ?|0[1-9][0-9]{1,4}[ /-])"
    r"[0-9]{3,8}(?:[ -][0-9]{2,5}){0,3}(?![\w-]|[.,:][0-9])"
)
_PAIRS = r"(?<![\w+.,:/-])(?<![0-9] )0[1-9](?:[ .-][0-9]{2}){4}(?![\w-]|[.,:][0-9])"
_TELEPHONES = (_INTERNATIONAL, _NORTH_AMERICAN_ABROAD, _NORTH_AMERICAN, _TRUNK_ZERO, _PAIRS)
_FICTION = re.compile(r"1?[2-9][0-9]{2}55501[0-9]{2}|(?:0|44|440)(?:2079460|1632960|7700900)[0-9]+")


def _is_telephone(_line: Line, match: re.Match[str]) -> bool:
    digits = re.sub(r"[^0-9]", "", match[0])
    decimal = re.fullmatch(r"\+[0-9]+\.[0-9]+", match[0])
    round_number = set(digits[2:]) == {"0"}
    plausible = 9 <= len(digits) <= 15 and not decimal and not round_number
    return plausible and not _FICTION.fullmatch(digits)


# Cards: groups of digits; any run of neighbouring groups may be the number.
_DIGIT_GROUPS = re.compile(r"(?<![\w.])[0-9]{4,}(?:[ -][0-9]{3,})*(?!\w)")


def _cards(line: Line) -> Iterator[Span]:
    for match in _DIGIT_GROUPS.finditer(line):
        groups = [(group[0], group.start()) for group in re.finditer("[0-9]+", match[0])]
        for index in range(len(groups)):
            digits = ""
            for text, start in groups[index : index + 6]:
                digits += text
                if is_card_number(digits):
                    yield match.start() + groups[index][1], match.start() + start + len(text)


_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}")


def _ibans(line: Line) -> Iterator[Span]:
    for start in _IBAN_START.finditer(line):
        rest = iban_length(start[0][:2]) - len(start[0])
        tail = re.compile(rf"(?: ?[A-Z0-9]){{{max(rest, 1)}}}(?![A-Za-z0-9])")
        match = tail.match(line, start.end())
        if match and is_iban((start[0] + match[0]).replace(" ", "")):
            yield start.start(), match.end()


# Four numbers with dots are as often a version or a section as an address.
_IPV4 = r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|-[A-Za-z]|\.[0-9])"
_IPV6 = r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"
_NUMBERED = re.compile(
    r"(?:(?:version|release|firmware|build|section|chapter)\W{0,3}|[=!<>~]= ?)$", re.I
)
_NEWER_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637; not yet in Python's list


def _is_public_address(line: Line, match: re.Match[str]) -> bool:
    if _NUMBERED.search(line[max(0, match.start() - 16) : match.start()]):
        return False
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return False
    reserved = address.is_multicast or address in _NEWER_DOCUMENTATION
    return address.is_global and not reserved


# Never issued: 000, 666 and 900 to 999, and groups of zeros.
_SSN = r"(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"

_PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_CREDENTIAL = (
    r"(?<![\w-])(?:"
    r"sk-(?=[\w-]{0,200}[0-9])[\w-]{20,200}"  # OpenAI, Anthropic and others that follow them
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}"
    r"|glpat-[\w-]{20,64}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?<!EXAMPLE)"
    r"|AIza[\w-]{35}"
    r"|hf_[A-Za-z0-9]{30,64}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,200}"
    r"|[rs]k_live_[A-Za-z0-9]{16,255}"
    r"|eyJ[\w-]{8,4000}\.eyJ[\w-]{8,4000}\.[\w-]{8,}"  # JSON web token
    r")(?![\w-])"
)

_DETECTORS = (
    _Detector("GL-SECRET-001", "a private key", _spans(_PRIVATE_KEY)),
    _Detector("GL-SECRET-002", "an access token", _spans(_CREDENTIAL)),
    _Detector("GL-PERSONAL-001", "an e-mail address", _spans(_EMAIL, _is_real_domain)),
    _Detector("GL-PERSONAL-004", "an IBAN", _ibans),
    _Detector("GL-PERSONAL-003", "a payment card number", _cards),
    _Detector("GL-PERSONAL-006", "a US social security number", _spans(_SSN)),
    _Detector("GL-PERSONAL-005", "a public IP address", _spans(_IPV4, _is_public_address)),
    _Detector("GL-PERSONAL-005", "a public IP address", _spans(_IPV6, _is_public_address)),
    *(
        _Detector("GL-PERSONAL-002", "a telephone number", _spans(pattern, _is_telephone))
        for pattern in _TELEPHONES
    ),
)
