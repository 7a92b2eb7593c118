"""Which keys of a stack's settings are Greenlight's: one that is not known is never passed over.

A misspelt ``greenlight:target`` would make a stack of Azure's one that nobody judges.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from release.documents import Document, dotted
from release.errors import BadInput, Problem

PREFIX = "greenlight:"
KEYS = (
    "greenlight:target",
    "greenlight:app",
    "greenlight:with",
    "greenlight:azure",
    "greenlight:gitops",
    "greenlight:imageRegistries",
    "greenlight:modelRegistries",
    "greenlight:duringRollout",
)
"""What the program, the pipelines and the rules read."""


def require_known_keys(document: Document) -> None:
    """BadInput for each key of ``config`` that begins as ours do and is not one of ``KEYS``.

    A secret may have any name: a connection says which it reads.
    """
    config = document.value.get("config")
    problems = tuple(_unknown(document, config)) if isinstance(config, dict) else ()
    if problems:
        raise BadInput(*problems)


def _unknown(document: Document, config: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in config.items():
        if not key.startswith(PREFIX) or key in KEYS or _is_secret(value):
            continue
        file, line = document.place(("config", key))
        close = difflib.get_close_matches(key, KEYS, n=1)
        known = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(KEYS)}."
        remedy = f"{known} A secret is written by `pulumi config set --secret`."
        path = dotted(("config", key))
        yield Problem("a known key", repr(key), remedy, file=file, line=line, path=path)


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"}
