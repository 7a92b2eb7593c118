"""Progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.reporting import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 15.0  # seconds between lines about one step where there is no bar


class Lines:
    """For logs: a line for each step, and one now and then during a long one."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def step(self, text: str) -> None:
        """A new step begins."""
        self._told = time.monotonic()
        self._say(f"• {text}")

    def note(self, text: str) -> None:
        """A line within the step."""
        self._say(f"    {text}")

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Say how far it is, not too often."""
        if time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self._say(f"    {text} {done}/{total}")

    def _say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more; the work goes on
            print(f"{time.monotonic() - self._started:6.1f} s {text}", file=sys.stderr, flush=True)


class Bars(Lines):
    """For people: as ``Lines``, with a bar that moves while a step counts something."""

    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._tasks: dict[str, object] = {}

    def step(self, text: str) -> None:
        """A new step begins; the bars of the last one go."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._tasks = {}
        super().step(text)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Move the bar called ``text``."""
        if text not in self._tasks:
            self._tasks[text] = self._bars.add_task(text, total=total)
        self._bars.update(self._tasks[text], completed=done)  # type: ignore[arg-type]

    def _say(self, text: str) -> None:
        self._bars.console.print(
            f"{time.monotonic() - self._started:6.1f} s {text}", markup=False, highlight=False
        )


@contextlib.contextmanager
def terminal() -> Iterator[Reporter]:
    """A reporter that fits standard error."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("         {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Bars(bars)
