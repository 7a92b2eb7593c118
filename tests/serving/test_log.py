"""Log lines: for machines, without secrets, and not too many."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from serving.log import Damper, JsonLines, cause, log, log_stray

SECRET = "tell me how to reset key-of-a-user"


def record(message: str, logger: str = log.name, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "name": logger, "levelname": "WARNING"})
    vars(made).update(extra)
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(JsonLines().format(made))
    return parsed


def test_a_line_is_one_json_object_with_its_fields() -> None:
    written = line(record("slot broke off", slot="blue", why="EOFError"))

    assert written.pop("time") > 0
    assert written == {
        "level": "warning",
        "event": "slot broke off",
        "slot": "blue",
        "why": "EOFError",
    }


def test_the_text_of_an_exception_is_not_written() -> None:
    """An HTTP library quotes what it cannot parse; its kind and place say enough."""
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        made = record("request failed", exc_info=(type(error), error, error.__traceback__))

    text = JsonLines().format(made)

    assert SECRET not in text
    assert json.loads(text)["error"] == "ValueError"
    assert "test_log.py" in json.loads(text)["at"][0]


def test_what_a_library_adds_to_a_line_is_left_out() -> None:
    made = record("Error handling request from %s", "aiohttp.server", args=(SECRET,), body=SECRET)

    assert SECRET not in JsonLines().format(made)


def test_an_error_that_nobody_awaited_is_told_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stray() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_stray)
        loop.call_exception_handler({"message": SECRET, "exception": ValueError(SECRET)})

    asyncio.run(stray())

    [made] = caplog.records
    assert (line(made)["event"], line(made)["why"]) == ("stray error", "ValueError")
    assert SECRET not in JsonLines().format(made)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            "ConnectionRefusedError (Connection refused)",
        ),
        (ValueError(SECRET), "ValueError"),
        (OSError(SECRET), "OSError"),
    ],
)
def test_a_cause_is_told_in_the_systems_words(error: Exception, said: str) -> None:
    assert cause(error) == said


def test_s06_an_event_that_repeats_is_written_once_a_second_with_what_was_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S06: a slot that fails each request must not flood the log, nor hide another slot."""
    now = 100.0
    monkeypatch.setattr("serving.log.time.monotonic", lambda: now)
    damper = Damper()

    passed = [damper.filter(record("slot broke off", slot=s)) for s in ("blue", "blue", "green")]
    now += 1.0
    later = record("slot broke off", slot="blue")

    assert passed == [True, False, True]
    assert damper.filter(later)
    assert line(later)["held_back"] == 1
