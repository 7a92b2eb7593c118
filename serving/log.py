"""Log lines that a machine can read and that a secret cannot ride in.

Messages are fixed sentences; what varies goes into named fields. The text of an exception is
never written, because an HTTP library quotes what it could not parse, and that may be a
prompt or a key: only its type and its place are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from types import TracebackType

log = logging.getLogger("greenlight.serving")

QUIET_SECONDS = 1.0
"""The same event of the same slot is written once in this time: a slot that fails every
request must not flood the log (S06)."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Damper(logging.Filter):
    """Lets one record of a kind pass in a while, and says on the next how many it held back."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, object], float] = {}
        self._held: dict[tuple[str, object], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (str(record.msg), getattr(record, "slot", None))
        now = time.monotonic()
        if now - self._last.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._last[kind] = now
        if held := self._held.pop(kind, 0):
            record.held_back = held
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the fields given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "event": str(record.msg),
        }
        if record.name == log.name:  # of others we do not know what they would say
            line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = cause(record.exc_info[1])
            line["at"] = _places(record.exc_info[2])
        return json.dumps(line, default=lambda value: type(value).__name__)


def cause(error: BaseException) -> str:
    """The kind of ``error`` and the system's own words for it, nothing that a peer wrote."""
    words = getattr(error, "strerror", None)
    number = getattr(error, "errno", None)
    kind = type(error).__name__
    return f"{kind} ({words})" if number is not None and words else kind


def log_stray(_: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
    """An event loop's handler of errors that nobody awaited; asyncio's own would quote them."""
    error = context.get("exception")
    kind = cause(error) if isinstance(error, BaseException) else "unknown"
    log.error("stray error", extra={"why": kind})


def configure() -> None:
    """Send all logging of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Damper())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _places(where: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(where)[-3:]]
