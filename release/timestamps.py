"""Times as people and other programs read them: RFC 3339, in UTC, to the microsecond.

Inside, a time is seconds since 1970 as a clock gives them, so that tests can bring their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Seconds since 1970-01-01 in UTC; ``time.time`` outside of tests."""

_FORMAT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def rfc3339(seconds: float) -> str:
    """``seconds`` since 1970 as ``2026-03-01T09:00:00.000000Z``."""
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return moment.replace("+00:00", "Z")


def epoch(text: str) -> float:
    """Seconds since 1970 of a time written as ``rfc3339`` writes it; ValueError otherwise."""
    if not _FORMAT.fullmatch(text):
        raise ValueError(f"not a UTC time such as 2026-03-01T09:00:00.000000Z: {text[:40]!r}")
    return datetime.fromisoformat(text).timestamp()
