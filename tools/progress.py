"""Says on standard error what set-up is doing and for how long.

On a terminal one line is kept up to date; elsewhere, such as in a CI log, a line appears now
and then. Standard output belongs to the command that set-up prepares for.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

LIVE_SECONDS, LOG_SECONDS = 0.5, 15.0


def clock_text(seconds: float) -> str:
    """``seconds`` as ``9 s`` or ``4 m 07 s``."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60:02d} s"


class Progress:
    """One step at a time, each with its elapsed time."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._live = self._stream.isatty()
        self._title, self._began, self._spoke = "", 0.0, 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(("\r\033[K" if self._live else "") + f"greenlight: {text}\n")
        self._stream.flush()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce ``title``, and say how long it took once it has gone well."""
        self._title, self._began, self._spoke = title, self._clock(), self._clock()
        self.say(f"{title} …")
        yield
        self.say(f"{title}: done in {clock_text(self._clock() - self._began)}")

    def tick(self, detail: str) -> None:
        """Call it often while a step runs; it speaks only when it is time to."""
        now = self._clock()
        if now - self._spoke < (LIVE_SECONDS if self._live else LOG_SECONDS):
            return
        self._spoke = now
        line = f"{self._title}, {clock_text(now - self._began)}" + (f": {detail}" if detail else "")
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\033[K" + f"greenlight: {line}"[:width])
            self._stream.flush()
        else:
            self.say(line)
