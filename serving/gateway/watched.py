"""Small JSON files that somebody else writes, always at their newest, for the price of a stat.

The supervisor replaces them as a whole, so each new content is a new inode; looking at every
use costs about two microseconds and leaves no window in which an old readiness is believed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from release.errors import BadInput, Problem
from release.files import read_json
from serving.log import log

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {"missing": "this key", "extra_forbidden": "no such key"}


def parse(model: type[M], value: object, file: str = "") -> M:
    """``value`` as a ``model``, or BadInput with one problem for each thing that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadInput(*(_problem(detail, file) for detail in error.errors())) from None


class Watched(Generic[M]):
    """The content of ``path`` as a ``model``, read again whenever the file has changed."""

    def __init__(self, path: Path, model: type[M]) -> None:
        self.path, self._model = path, model
        self._stamp: tuple[int, ...] | None = ()
        self._value: M | None = None
        self.problem = ""

    def get(self) -> M | None:
        """The content now. None when absent or damaged: ``problem`` then says what is wrong."""
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        return self._value

    def _read(self) -> None:
        try:
            self._value, self.problem = load(self.path, self._model), ""
        except BadInput as error:
            self._value, self.problem = None, str(error)
            log.error("file cannot be used", extra={"file": self.path.name, "why": self.problem})
        else:
            log.info("file read", extra={"file": self.path.name})


def load(path: Path, model: type[M]) -> M:
    """The JSON in ``path`` as a ``model``. BadInput when absent, unreadable or not one."""
    try:
        return parse(model, read_json(path), path.name)
    except OSError as error:
        raise BadInput(
            Problem(
                file=path.name,
                expected="a file that can be read",
                found=error.strerror or type(error).__name__,
            )
        ) from error


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        now = os.stat(path)  # noqa: PTH116 - on the path of every request, Path is twice as slow
    except OSError:
        return None
    return now.st_mtime_ns, now.st_ino, now.st_size


def _problem(detail: Mapping[str, Any], file: str) -> Problem:
    said = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return Problem(
        file=file,
        path=".".join(map(str, detail["loc"])),
        expected=_EXPECTED.get(detail["type"], said),
        found=_shown(detail["input"]),
    )


def _shown(value: object) -> str:
    """Numbers as they are; of all else, which may be a secret, only what kind it is."""
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__
