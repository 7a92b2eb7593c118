"""How text that a model takes for the frame of the conversation is taken apart.

A model server renders the chat template and then reads control tokens in the whole result, the
caller's words included: a question that contains ``<|im_end|>`` and ``<|im_start|>system``
would end the user's turn and open a system message of its own. So each of the model's
control tokens that stands in a message gets a space after its first character. It reads
almost the same and is ordinary text.

Which those are is in a GGUF file (``release.markers``). Where nobody has read the model's tokens,
as with weights that only a cluster fetches, whatever has the shape of such a token is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHAPE = re.compile(
    r"(?=("  # looked at, not taken: one may begin inside another
    r"<[|\uff5c][^<>]{1,80}>"  # <|im_start|>, and DeepSeek's, with a wide bar
    r"|<[^<>\s]{1,80}>"  # <s>, <bos>, <start_of_turn>, <unused7>
    r"|\[/?[A-Z][A-Z_]+\]|\[control_\d+\]"  # [INST], [/INST], [TOOL_CALLS]
    r"))(.)"
)
"""How models' makers write control tokens. Wider than any model's own list: a tag of HTML in a
question gets a space as well, which costs little; a token that is missed costs the prompt."""

TAG = re.compile(r"</?([A-Za-z][\w-]*)>")
RESERVED = re.compile(
    r"s|bos|eos|pad|unk|mask|cls|sep|(?:start|end|begin)_of_\w+|unused\d+|reserved\w*|fim_\w+"
    r"|system|user|assistant|human|tool\w*|image\w*"
)
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


class ShapeNeutraliser:
    """Takes apart whatever looks like a control token; for a model whose tokens are not known.

    ``own`` are the templates of the release: a plain tag in them, such as ``<context>``, is left
    as it is. One that some model knows as a token is not.
    """

    def __init__(self, own: Iterable[str]) -> None:
        found = (tag for text in own for tag in TAG.finditer(text))
        self._plain = {tag[0] for tag in found if not RESERVED.fullmatch(tag[1].lower())}

    def __call__(self, text: str) -> str:
        """``text`` with a space after the first character of each that is not plain."""
        return SHAPE.sub(self._apart, text)

    def _apart(self, match: re.Match[str]) -> str:
        token, first = match[1], match[2]
        return str(first) if token in self._plain else f"{first} "
