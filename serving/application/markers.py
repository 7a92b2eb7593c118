"""How text that a model takes for the frame of the conversation is taken apart.

A model server renders the chat template and then reads control tokens in the whole result, the
caller's words included: a question that contains ``<|im_end|>`` and ``<|im_start|>system``
would end the user's turn and open a system message of its own. So each of the model's
control tokens that stands in a message gets a space after its first character. It reads
almost the same and is ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ROUNDS = 4
"""A token with a space in it could appear because another was taken apart: look again."""


class Neutraliser:
    """Takes control tokens apart in a text; leaves all other text as it is."""

    def __init__(self, found: Iterable[str]) -> None:
        tokens = "|".join(map(re.escape, sorted(found))) or "(?!)"
        self._start = re.compile(f"(?={tokens})(.)", re.DOTALL)

    def __call__(self, text: str) -> str:
        """``text`` with a space after the first character of each control token.

        Overlapping ones too. ValueError where a space only makes another control token.
        """
        for _ in range(ROUNDS):
            if not self._start.search(text):
                return text
            text = self._start.sub(r"\1 ", text)
        raise ValueError("control tokens that cannot be taken apart")
