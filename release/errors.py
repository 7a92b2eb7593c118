"""Every way a command can end, as a type with its exit code.

A user reads these at three in the morning: each says where, what was expected, what was
found and what to do about it. Nothing below ``cli`` prints or exits.
"""

from __future__ import annotations

from dataclasses import dataclass

DONE, FAILED, BAD_INPUT, REFUSED, WAITING, RETURNED = 0, 1, 2, 3, 4, 5
INTERRUPTED = 130
"""As shells report a command that SIGINT has ended: 128 and the signal's number."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what somebody gave us.

    ``path`` is the place inside the document, such as ``evaluation.gates[0].min``;
    ``line`` counts from 1. Empty or None means that there is no such thing to name.
    """

    expected: str
    found: str = ""
    remedy: str = ""
    file: str = ""
    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        where = self.file + (f":{self.line}" if self.line is not None else "")
        head = ": ".join(part for part in (where, self.path) if part)
        text = f"{head}: " if head else ""
        text += f"expected {self.expected}"
        text += f", found {self.found}" if self.found else ""
        return text + (f". {self.remedy}" if self.remedy else "")


class GreenlightError(Exception):
    """Anything that ends a command with something to say."""

    exit_code = FAILED


class BadInput(GreenlightError):
    """What was given cannot be used; nothing was changed. Holds at least one problem."""

    exit_code = BAD_INPUT

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Refused(GreenlightError):
    """A gate said no. ``reasons`` are whole sentences."""

    exit_code = REFUSED

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *(f"  - {reason}" for reason in reasons))))
        self.message = message
        self.reasons = reasons


class Waiting(GreenlightError):
    """Nothing failed, but somebody or something else has to move first."""

    exit_code = WAITING


class Returned(GreenlightError):
    """The rollout went back to the release that was live before."""

    exit_code = RETURNED

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *(f"  - {reason}" for reason in reasons))))
        self.message = message
        self.reasons = reasons


class Interrupted(GreenlightError):
    """Somebody pressed Ctrl-C."""

    exit_code = INTERRUPTED
