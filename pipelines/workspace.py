"""One application on this machine, opened: spec, release, data, records and targets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.build import Built, Sources, build
from pipelines.cache import ModelCache, cache_folder, cache_limit
from pipelines.clock import SYSTEM, Clock
from pipelines.dataset import Dataset, read_dataset
from pipelines.policy import policy_digest
from pipelines.provisioned import (
    Provisioned,
    UnreadableRecordError,
    read_provisioned,
    refuse_orphans,
)
from pipelines.targets import open_target
from pipelines.targets.base import Target
from release.bundle import Release, parse_release
from release.errors import BadInput, Problem
from release.evidence import Binding
from release.ledger import Entry, Ledger, Records, history, open_ledger, records_at
from release.spec import FILE_NAME, Spec, load_spec, require_shared
from release.state import StateFolder

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Workspace:
    """What every verb starts from. Opening one reads; nothing is written before it is used.

    ``fault`` is why ``llm.yaml`` cannot be used; the spec is then the one last provisioned, and
    there is no candidate.
    """

    sources: Sources
    spec: Spec
    root: Path = ROOT
    fault: BadInput | None = None
    clock: Clock = SYSTEM

    @property
    def state(self) -> StateFolder:
        """The application's ``.greenlight``."""
        return StateFolder(self.sources.app)

    @property
    def application(self) -> str:
        """The application's name."""
        return self.spec.name

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, in the order in which a release passes them."""
        return tuple(self.spec.environments)

    def on(self, target: str) -> tuple[str, ...]:
        """The names of the environments that run on ``target``."""
        named = self.spec.environments.items()
        return tuple(name for name, one in named if one.target == target)

    @cached_property
    def cache(self) -> ModelCache:
        """The user's cache of model files."""
        return ModelCache(cache_folder(), cache_limit())

    @cached_property
    def built(self) -> Built:
        """The candidate: what the spec describes now. BadInput when it cannot be built."""
        if self.fault:
            raise self.fault
        return build(self.spec, self.sources, self.cache)

    @cached_property
    def dataset(self) -> Dataset:
        """The evaluation cases."""
        return read_dataset(self.sources.app / self.spec.evaluation.data)

    def require_cases(self) -> None:
        """BadInput when the cases are too few for smoke test and checks: known before it starts."""
        file, checks = str(self.sources.app / self.spec.evaluation.data), self.spec.rollout.checks
        cases = self.dataset.cases
        if len(cases) < checks:
            expected = f"at least {checks} cases, for rollout.checks"
            remedy = "Add cases, or ask for fewer checks."
            raise BadInput(Problem(expected, str(len(cases)), remedy, file=file))
        if not any(case.answerable for case in cases):
            raise BadInput(Problem("a case that can be answered", "none", "Add one.", file=file))

    @cached_property
    def binding(self) -> Binding:
        """What evidence for the candidate has to hold for."""
        return Binding(
            release=self.built.release.digest,
            evaluation_set=self.dataset.digest,
            policy=policy_digest(self.spec),
        )

    def placed(self) -> AbstractContextManager[None]:
        """As that of ``sources``; what was last provisioned has no lines there."""
        return nullcontext() if self.fault else self.sources.placed()

    @cached_property
    def targets(self) -> Mapping[str, Target]:
        """The targets by environment."""
        names, state, cache = self.environments, self.state, self.cache
        with self.placed():
            return {name: open_target(self.spec, name, state, cache) for name in names}

    def records(self) -> Records:
        """The ledger with evidence and witnesses, for reading."""
        witnesses = tuple(target.witness for target in self.targets.values())
        return records_at(self.spec.location, self.state, self.application, witnesses)

    def entries(self) -> tuple[Entry, ...]:
        """Everything in the ledger, its chain checked."""
        return history(self.records())

    def open_ledger(self) -> Ledger:
        """The ledger, for writing; made with its key where there is none yet."""
        witnesses = tuple(target.witness for target in self.targets.values())
        at = self.spec.location
        return open_ledger(self.state, self.application, witnesses, self.clock.time, at)

    def release(self, digest: str) -> Release:
        """A release that the ledger knows; Damaged when its lock file is not there."""
        return parse_release(self.records().blobs.get(digest))

    def environment(self, name: str) -> str:
        """``name`` when the spec has such an environment, else BadInput."""
        if name not in self.spec.environments:
            raise BadInput(
                Problem(
                    path="environment",
                    expected=f"one of {', '.join(self.environments)}",
                    found=repr(name),
                    remedy=f"Environments are named in {FILE_NAME}.",
                )
            )
        return name


def open_workspace(app: Path, changes: tuple[Path, ...] = ()) -> Workspace:
    """The application in folder ``app``. BadInput for anything wrong with what was given.

    A spec that no longer names what runs is refused too: its name, or one of its environments.
    """
    if not app.is_dir():
        raise BadInput(
            Problem(
                file=str(app),
                expected=f"the folder of an application, with {FILE_NAME} in it",
                found="a file" if app.exists() else "nothing",
                remedy="Give the folder's path.",
            )
        )
    opened = _opened(app.resolve(), changes)
    refuse_orphans(opened.spec, opened.sources.app, changes)
    return opened


def _opened(app: Path, changes: tuple[Path, ...]) -> Workspace:
    spec = load_spec(app, changes)
    require_shared(spec, app, changes)
    return Workspace(Sources(app, changes), spec)


def open_running(app: Path, changes: tuple[Path, ...] = ()) -> Workspace:
    """As ``open_workspace``, for verbs that look at or undo what runs: nothing wrong with
    ``llm.yaml`` stops them where something was provisioned, and nothing wrong with the record of
    that where ``llm.yaml`` can be read. ``fault`` says what was wrong with that file.
    """
    try:
        return open_workspace(app, changes)
    except UnreadableRecordError:
        return _opened(app.resolve(), changes)
    except BadInput as error:
        last = _last_provisioned(app.resolve(), error)
        if last is None:
            raise
        return Workspace(Sources(app.resolve(), changes), last.spec, fault=error)


def _last_provisioned(app: Path, fault: BadInput) -> Provisioned | None:
    """The record; BadInput with ``fault`` too where neither can be read."""
    try:
        return read_provisioned(StateFolder(app))
    except UnreadableRecordError as error:
        raise BadInput(*fault.problems, *error.problems) from None
