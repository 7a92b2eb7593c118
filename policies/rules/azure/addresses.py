"""Which addresses are those of anybody: the whole internet, however it is cut into ranges."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

WORDS = frozenset(("*", "any", "internet"))
"""What Azure calls everybody."""

WIDEST_4, WIDEST_6 = 8, 16
"""Bits of the widest ranges that are still somebody's: nobody holds more than a /8 of IPv4."""


def anybody(sources: Iterable[str]) -> bool:
    """Whether ``sources``, ranges and Azure's words for them, together let in the internet.

    Ranges that lie side by side count as one, so that two halves are a whole. What is neither a
    range nor such a word, as the name of a service, is nobody.
    """
    named = [one.strip().lower() for one in sources]
    ranges = [found for one in named if (found := as_range(one))]
    v4 = collapse_addresses(one for one in ranges if isinstance(one, IPv4Network))
    v6 = collapse_addresses(one for one in ranges if isinstance(one, IPv6Network))
    wide = any(one.prefixlen < WIDEST_4 for one in v4) or any(
        one.prefixlen < WIDEST_6 for one in v6
    )
    return wide or any(one in WORDS for one in named)


def as_range(text: str) -> IPv4Network | IPv6Network | None:
    """``text`` as a range of addresses; None where it is none."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None
