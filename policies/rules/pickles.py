"""Recognises pickles by what they are, not by what they are called.

A pickle is a program for a small machine that can import and call anything, and lists of what
is harmless have always had holes. So none is run, judged or unpacked here: to be one is enough
to be refused. Scanners that went by the suffix, or stopped at a broken member, let real ones
through (picklescan GHSA-769v-p64c-89pr, modelscan issue 354), which is why the content decides.
"""

from __future__ import annotations

import pickletools
import re
import warnings

HEAD_BYTES = 4096
"""How much of a file is looked at. A pickle declares itself or acts in its first bytes."""

SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill")
"""Names that loaders take for a pickle, or for an archive with one in it."""

_TELLING = frozenset({"GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "STOP"})
_PROTOCOL = re.compile(rb"\x80[\x00-\x05]")
_NUMPY = b"\x93NUMPY"
_OBJECT_TYPE = re.compile(rb"['\"][|<>=]?O[0-9]*['\"]")


def pickle_kind(head: bytes) -> str | None:
    """Which sort of pickle begins with ``head`` (up to HEAD_BYTES), or None if none does.

    Protocols 2 and up announce themselves. Older ones are plain text without a mark: a run of
    valid instructions tells them, so text that happens to be one counts as well.
    """
    if _PROTOCOL.match(head):
        return "a pickle"
    if head.startswith(_NUMPY):
        return "a NumPy file of pickled objects" if _OBJECT_TYPE.search(head) else None
    return "a pickle of an old protocol" if _runs_as_pickle(head) else None


def names_pickle(member: str) -> bool:
    """Whether an archive's ``member`` has a pickle's name; arrays in it are not judged."""
    return member.lower().endswith((".pkl", ".pickle", ".joblib", ".dill"))


def _runs_as_pickle(head: bytes) -> bool:
    """Whether ``head`` reads as instructions that come to act, or to an end."""
    seen = 0
    with warnings.catch_warnings():  # an unknown escape in a string is not ours to report
        warnings.simplefilter("ignore")
        try:
            for opcode, _, _ in pickletools.genops(head):
                seen += 1
                if seen > 1 and opcode.name in _TELLING:
                    return True
        except ValueError:  # not an instruction, or one that is cut off
            return False
    return False
