"""Run checkov's own runners, and let nothing that they pass over look like a pass.

checkov fails open: it drops a file that it cannot parse, logs a check that crashes, and waits
for graph checks without looking whether they raised. Each of these is an error here.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.checks.azure import opened
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding, by_place, shown
from policies.scan.kinds import Kind, Scannable
from policies.scan.light import LeftOutError, run_with_checkov
from release.errors import BadInput, GreenlightError, Problem

GUIDELINES = "https://www.checkov.io/5.Policy%20Index/{}.html"
"""checkov's list of the checks of a framework; single pages are on its vendor's service."""

KINDS: tuple[Kind, ...] = ("arm", "kubernetes", "github_actions")

HARMLESS = ("No defaultValue for parameter", "[ArmLocalGraph] resource dependency")
"""Warnings that checkov goes on from with what the file says: it judges the expression itself, and
draws no edge to what is deployed elsewhere.
"""

LONGEST = 300  # characters of what is shown of a resource's name or of a comment


def scan(files: Sequence[Scannable], bounds: Bounds | None = None) -> tuple[Finding, ...]:
    """What checkov has against ``files``, by file, line and check.

    With ``bounds`` it asks our own rules of templates as well. BadInput for a file that checkov
    does not take, GreenlightError for a check or a rule that cannot run. A comment in a file that
    tells checkov to skip a check has no expiry and is not obeyed.
    """
    if not files:
        return ()
    return by_place(run_with_checkov(lambda: _scan(files, bounds)))


def _scan(files: Sequence[Scannable], bounds: Bounds | None) -> list[Finding]:
    with opened(bounds) as door:
        found = [finding for kind in KINDS for finding in _of_kind(kind, files)]
        door.confirm(_absolute(one) for one in files if one.kind == "arm")
    ours = [replace(one, file=_as_named(one.file)) for one in door.findings]
    return [*(one for one in found if one.rule not in door.ids), *ours]


def _of_kind(kind: Kind, files: Sequence[Scannable]) -> list[Finding]:
    of_kind = [one for one in files if one.kind == kind]
    return _run(kind, of_kind) if of_kind else []


def _run(kind: Kind, files: Sequence[Scannable]) -> list[Finding]:
    """One runner over the files of its kind."""
    from checkov.runner_filter import RunnerFilter

    runner = importlib.import_module(f"checkov.{kind}.runner").Runner()
    settings = RunnerFilter(framework=[kind], show_progress_bar=False)
    with _nothing_hidden(runner) as guard:
        report = runner.run(
            root_folder=None, files=[_absolute(one) for one in files], runner_filter=settings
        )
    # First the file: where it is at fault, what checkov logs about it is only a consequence.
    _require_that_all_was_seen(files, set(runner.definitions), set(report.resources))
    guard.require_silence(kind)
    return [
        _finding(kind, record, skipped)
        for records, skipped in ((report.failed_checks, False), (report.skipped_checks, True))
        for record in records
    ]


def _finding(kind: Kind, record: Any, skipped: bool) -> Finding:
    keys = ", ".join(str(key) for key in record.check_result.get("evaluated_keys") or ())
    resource = shown(str(record.resource), LONGEST)
    found = f"{resource} does not hold it" + (f" at {shown(keys, LONGEST)}" if keys else "")
    remedy = "Mend it, or suppress it with a reason and an expiry."
    if skipped:
        comment = shown(str(record.check_result.get("suppress_comment") or "none"), LONGEST)
        found = f"{resource} has it skipped by a comment, which never ends (reason: {comment})"
        remedy = "Move it to the suppressions, with an expiry, or mend it."
    return Finding(
        rule=record.check_id,
        file=_as_named(record.file_abs_path),
        expected=record.check_name,
        found=found,
        remedy=remedy,
        line=max(1, int(record.file_line_range[0])),
        resource=str(record.resource),
        guideline=record.guideline or GUIDELINES.format(kind),
    )


def _absolute(one: Scannable) -> str:
    """As checkov names a file in everything that it reports."""
    return os.path.abspath(one.file)  # noqa: PTH100 - Path.absolute() leaves `..` in it


def _as_named(path: str) -> str:
    """``path`` as seen from here, where it is below."""
    here = Path.cwd()
    return Path(path).relative_to(here).as_posix() if Path(path).is_relative_to(here) else path


class _Guard(logging.Handler):
    """Keeps what checkov logs instead of failing, and what its graph checks raised."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.logged: list[str] = []
        self.left_out: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[1] if record.exc_info else None
        if not raised and record.levelno < logging.WARNING:
            return
        harmless = not raised and record.getMessage().startswith(HARMLESS)
        if "checkov" in Path(record.pathname).parts and not harmless:
            self.logged.append(record.getMessage() + (f" ({_told(raised)})" if raised else ""))

    def watch(self, run: Callable[..., None]) -> Callable[..., None]:
        """``run`` of a graph check, whose errors nobody else would look at."""

        def watched(check: Any, *arguments: Any) -> None:
            try:
                run(check, *arguments)
            except LeftOutError as error:
                self.left_out.append(error)
            except Exception as error:
                self.logged.append(f"Failed to run graph check {check.id} ({_told(error)})")

        return watched

    def require_silence(self, kind: Kind) -> None:
        """LeftOutError or GreenlightError with what went wrong."""
        if self.left_out:
            raise self.left_out[0]
        if self.logged:
            told = "; ".join(shown(line, LONGEST) for line in dict.fromkeys(self.logged))
            raise GreenlightError(
                f"checkov could not judge all of what it was given ({kind}): {told}. "
                "Nothing passes on that; report it to whoever wrote the check, or mend the file."
            )


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def _nothing_hidden(runner: Any) -> Iterator[_Guard]:
    guard, root = _Guard(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    registry = runner.graph_registry
    original = registry.run_check_parallel
    # Only ours: what checkov logs is told as one error, not twice.
    root.handlers[:], registry.run_check_parallel = [guard], guard.watch(original)
    root.setLevel(logging.DEBUG)
    try:
        yield guard
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        registry.run_check_parallel = original


def _require_that_all_was_seen(
    files: Sequence[Scannable], parsed: set[str], resources: set[str]
) -> None:
    """BadInput for a file that was not parsed and for a resource that was not looked at."""
    for one in files:
        path = _absolute(one)
        if path not in parsed:
            raise BadInput(_unread(one, f"what checkov's {one.kind} scan can read", "none of it"))
        seen = {name[len(path) + 1 :] for name in resources if name.startswith(f"{path}:")}
        missed = [name for name in one.holds if not _is_among(one.kind, name, seen)]
        if missed:
            raise BadInput(_unread(one, "resources that checkov can read", f"not so: {missed[0]}"))


def _is_among(kind: Kind, name: str, seen: set[str]) -> bool:
    """A template's expressions are resolved, so only the type of its resources is compared."""
    if kind == "arm":
        return any(one.startswith(f"{name}.") for one in seen)
    return name in seen


def _unread(one: Scannable, expected: str, found: str) -> Problem:
    return Problem(
        expected,
        shown(found, LONGEST),
        "It would be passed over in silence. Mend it, or leave it out of the paths to check.",
        file=one.file,
    )
