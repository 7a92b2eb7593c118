"""The story of an application's rollouts as one HTML page that needs nothing else.

No script, nothing from elsewhere: it can be kept with a release, mailed, printed, and read in ten
years. It is made of the ledger alone, so it says what is recorded and nothing more; every text
is escaped by the template, every chart by the XML writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from pipelines.analysis import Side
from pipelines.charts import clock, svg
from pipelines.figures import UNKNOWN, Figure, figures
from pipelines.reached import steps_told
from pipelines.steps import Check
from pipelines.story import Outcome, Rollout, Story, tell
from release.bundle import label
from release.errors import BadInput, Problem
from release.files import write_atomic
from release.ledger import Entry
from release.timestamps import rfc3339

TEMPLATES = Path(__file__).parent / "templates"

_HEADLINES: Mapping[Outcome, str] = {
    "under way": "{new} is on its way{instead}",
    "completed": "{new} took over{of}",
    "returned": "{new} was taken back{to}",
    "expired": "{new} was not judged: its lease ran out, and traffic went back{to}",
    "refused": "{new} was refused",
    "destroyed": "{new} was on its way when everything was destroyed",
    "taken over": "{new} was not finished: another rollout took its place",
}
_TONES: Mapping[str, str] = {
    "completed": "good", "pass": "good",
    "returned": "bad", "refused": "bad", "destroyed": "bad", "fail": "bad", "void": "bad",
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A rollout as the template shows it. ``key`` begins the ids of its parts."""

    key: str
    rollout: Rollout
    headline: str
    replayed: str
    steps: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Part:
    """One environment: its rollouts, the newest first."""

    story: Story
    pages: tuple[Page, ...]


def write_report(
    entries: Sequence[Entry], environments: Sequence[str], file: Path, now: float
) -> None:
    """Write the report to ``file``, whole or not at all. BadInput when it cannot be there."""
    text = render(entries, environments, now)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text.encode())
    except OSError as error:
        remedy = "Name another file with --out."
        found = f"none can be written ({error.strerror})"
        raise BadInput(Problem("a file for the report", found, remedy, str(file))) from error


def render(entries: Sequence[Entry], environments: Sequence[str], now: float) -> str:
    """The page for ``environments``, in that order, made at ``now`` (seconds since 1970)."""
    application = entries[-1].application if entries else ""
    parts = [_part(application, tell(entries, name)) for name in environments]
    head = entries[-1] if entries else None
    return _template().render(application=application, parts=parts, now=now, head=head)


def _part(application: str, story: Story) -> Part:
    numbered = list(enumerate(story.rollouts, 1))
    pages = [_page(application, one, f"{story.environment}-{i}") for i, one in reversed(numbered)]
    return Part(story, tuple(pages))


def _page(application: str, rollout: Rollout, key: str) -> Page:
    return Page(
        key=key,
        rollout=rollout,
        headline=headline(application, rollout),
        replayed=replayed(rollout),
        steps=", ".join(steps_told(rollout.settings)),
        figures=figures(application, rollout, key),
    )


def headline(application: str, rollout: Rollout) -> str:
    """How it stands or ended, in one sentence."""
    old = label(application, rollout.previous) if rollout.previous else ""
    words = {
        "new": label(application, rollout.release),
        "of": f" from {old}" if old else ", the first release here",
        "to": f" to {old}" if old else "",
        "instead": f", in the place of {old}" if old else "",
    }
    return _HEADLINES[rollout.outcome].format(**words)


def replayed(rollout: Rollout) -> str:
    """Whose requests were judged: users', or ours because there were no users."""
    windows = rollout.windows
    if not windows:
        return _checked(rollout)
    ours = [window for window in windows if window.replayed]
    sides = [side for window in windows for side in (window.green, window.blue) if side]
    count, synthetic = sum(s.requests for s in sides), sum(s.synthetic for s in sides)
    copies = _copies([side for side in sides if side.copies])
    if not ours:
        beside = f"; {synthetic} of {count} were synthetic" if synthetic else ""
        return f"The requests of users were judged{beside}.{copies}"
    which = "all" if len(ours) == len(windows) else f"{len(ours)} of {len(windows)}"
    return (
        f"Synthetic: no users. In {which} windows, evaluation queries were replayed as traffic, "
        f"because nobody else asked; {synthetic} of {count} requests were synthetic.{copies}"
    )


def _copies(sides: Sequence[Side]) -> str:
    """What came of the mirror; of a comparison only where all were compared."""
    if not sides:
        return ""
    copies = sum(side.copies or 0 for side in sides)
    told = f" The new release got copies of {copies} requests, whose answers nobody saw"
    if any(side.different is None for side in sides):
        return f"{told}."
    different = sum(side.different or 0 for side in sides)
    return f"{told}; {different} of them differed from what the caller got."


def _checked(rollout: Rollout) -> str:
    """For rollouts without windows: what was asked instead is told in the lines of their checks."""
    if not any(line.step == Check.kind for line in rollout.lines):
        return "No traffic was judged."
    return (
        "Synthetic: no users were judged. Evaluation queries were asked, pinned to the new "
        "release; no windows were recorded."
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        label=lambda digest, application: label(application, digest),
        stamp=rfc3339,
        moment=lambda at: rfc3339(at)[:19].replace("T", " ") + " UTC",
        clock=lambda seconds: clock(max(0, round(seconds))),
        number=lambda value: UNKNOWN if value is None else f"{value:.3g}",
        tone=lambda outcome: _TONES.get(outcome, "waiting"),
        svg=lambda chart: Markup(svg(chart)),  # noqa: S704 - written by an XML writer
    )
    return environment.get_template("report.html.j2")
