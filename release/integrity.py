"""What it means here that bytes are what they were: one spelling, one digest, one error.

Everything signed or referred to goes through these few lines, so that a digest taken on one
machine can be recomputed on any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from release.errors import Problem, Refused

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 20  # problems in one message: a wrong trust file would fail every entry of a ledger


class Damaged(Refused):
    """What is stored is not what was stored: changed, missing or not ours. Nothing was written."""

    def __init__(self, *problems: Problem) -> None:
        reasons = tuple(map(str, problems[:_SHOWN]))
        more = len(problems) - len(reasons)
        rest = (f"and {more} more, all of them in `greenlight verify --json`",) if more else ()
        super().__init__("The record cannot be trusted.", (*reasons, *rest))
        self.problems = problems


class BadSignature(Damaged):
    """No key that is trusted for this role has signed these bytes."""


def sha256(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_digest(value: object) -> bool:
    """Whether ``value`` is written as ``sha256`` writes."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def canonical(value: Any) -> bytes:
    """``value`` as JSON with one spelling: sorted keys, no spaces, UTF-8, no NaN (ValueError)."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def parse_json(data: bytes) -> Any:
    """The JSON in ``data``, or ValueError, also where it is nested too deep to read."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
