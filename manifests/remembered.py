"""Rendering many applications again after one was edited: only that one is rendered.

What is remembered hangs on the bytes that an application was read from, so that of those that did
not change nothing is even read. It lives as long as the process does: the templates do not change
under it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from manifests.model import Rendering
from manifests.render import Rendered, render
from release.integrity import sha256


class Remembered:
    """``read`` makes an application of its bytes; its errors are those of ``rendered``."""

    def __init__(self, read: Callable[[bytes], Rendering]) -> None:
        self._read = read
        self._known: dict[str, tuple[Rendered, ...]] = {}

    def rendered(self, sources: Mapping[str, bytes]) -> dict[str, tuple[Rendered, ...]]:
        """The objects of every application, by the name of its source. What ``sources`` no longer
        holds is forgotten.
        """
        digests = {name: sha256(data) for name, data in sources.items()}
        known = {
            digest: self._known[digest] for digest in digests.values() if digest in self._known
        }
        for name, digest in digests.items():
            if digest not in known:
                known[digest] = render(self._read(sources[name]))
        self._known = known
        return {name: known[digest] for name, digest in digests.items()}
