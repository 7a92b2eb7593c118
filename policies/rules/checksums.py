"""Account and card numbers check themselves; digits that only look like one do not.

This is what keeps order numbers and measurements from being taken for somebody's card.
"""

from __future__ import annotations

import re

_CARD_LENGTHS = range(13, 20)  # ISO/IEC 7812, as issued today
_CARD_START = re.compile(r"2[2-7]|3[04-9]|4|5[0-8]|6")  # issuers' first digits in use
_IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}  # SWIFT's IBAN registry
_LENGTH_BY_COUNTRY = {
    country: length for length, countries in _IBAN_LENGTHS.items() for country in countries.split()
}


def is_card_number(digits: str) -> bool:
    """Whether ``digits`` could be a payment card: its length, its issuer and its last digit.

    The last digit makes the sum come out (Luhn's formula, ISO/IEC 7812-1 annex B).
    """
    if len(digits) not in _CARD_LENGTHS or not _CARD_START.match(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def iban_length(country: str) -> int:
    """How many characters an IBAN of ``country`` has; 0 where there is none."""
    return _LENGTH_BY_COUNTRY.get(country, 0)


def is_iban(text: str) -> bool:
    """Whether ``text``, upper case and without spaces, is an IBAN (ISO 13616: 1 modulo 97)."""
    if len(text) != iban_length(text[:2]):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1
