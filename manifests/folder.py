"""Rendered objects in a folder that holds other people's files too: ours alone are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from manifests import gitops
from manifests.render import APART, Rendered
from release.errors import BadInput, Problem

INDEX = ".greenlight-rendered"
"""Names the files that a rendering wrote, so that the next one takes away what is no more."""

MARK = re.compile(
    r"""^\s*(["']?)app\.kubernetes\.io/managed-by\1:\s*(["']?)greenlight\2\s*$""", re.M
)
"""Stands in every object that is rendered, also where somebody else brought the file, as git, and
a formatter has put quotes around it."""


_TAKEN_OUT = (
    "Where no controller follows this folder, delete what is named here, and run this again. Where "
    "one does, that would delete the object too, a namespace with all that is in it: first mark it "
    "in its file, `argocd.argoproj.io/sync-options: Prune=false,Delete=false` for Argo CD or "
    "`kustomize.toolkit.fluxcd.io/prune: disabled` for Flux, let the controller apply that, and "
    "then take it out."
)


def write_rendered(rendered: Sequence[Rendered], folder: Path) -> None:
    """One file an object below ``folder``; files of an earlier rendering that are no more go.

    Nothing that a rendering did not write is touched. BadInput where one of the files is there
    and is not ours, and where one that would go is of the cluster's own.
    """
    _write({one.file: one.text for one in rendered}, folder)


def write_followed(rendered: Sequence[Rendered], folder: Path) -> None:
    """``write_rendered``, with the list by which Argo CD and Flux read the folder.

    It lists what else is rendered there: slots belong to rollouts, which write them themselves.
    """
    _write({one.file: one.text for one in rendered}, folder)
    there = [file.name for file in folder.iterdir()]
    _keep(folder / gitops.INDEX, gitops.index(there, _text(folder / gitops.INDEX)))


def take_back(folder: Path) -> None:
    """Remove what renderings wrote, and the folder where nothing else is in it. BadInput where the
    cluster's own is among it.
    """
    _require_kept(_ours(folder), folder)
    for name in sorted(_ours(folder)):
        (folder / name).unlink(missing_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    there = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    listed = folder / gitops.INDEX
    if listed.is_file():
        _keep(listed, gitops.index(there, _text(listed)))
    if there == [gitops.INDEX] and gitops.index(()) == _text(listed):
        listed.unlink()
        there = []
    if not there and folder.is_dir():
        folder.rmdir()


def is_written(rendered: Sequence[Rendered], folder: Path) -> bool:
    """Whether ``folder`` holds all of it, and nothing of an earlier rendering beside it."""
    files = {one.file: one.text for one in rendered}
    same = all(_text(folder / name) == text for name, text in files.items())
    return same and _ours(folder) == set(files)


def _write(files: Mapping[str, str], folder: Path) -> None:
    ours = _ours(folder)
    foreign = [name for name in files if name not in ours and _is_foreign(folder / name)]
    if foreign:
        raise BadInput(
            Problem("a file of an earlier rendering, or none", "another", "Move it, or name "
                    "another folder.", file=str(folder / foreign[0]))
        )  # fmt: skip
    _require_kept(ours - set(files), folder)
    folder.mkdir(parents=True, exist_ok=True)
    _keep(folder / INDEX, _listed({*ours, *files}))  # first: what is cut here is still ours
    for name, text in files.items():
        _keep(folder / name, text)
    for name in ours - set(files):
        (folder / name).unlink(missing_ok=True)
    _keep(folder / INDEX, _listed(files))


def _require_kept(going: Iterable[str], folder: Path) -> None:
    """A controller that prunes deletes what has no file any more: a namespace with all that is in
    it. Whether one follows the folder is known to who committed it alone: without ``git`` anybody
    may have, and earlier builds wrote such files with it too.
    """
    kinds = {kind.lower() for kind in APART}
    kept = [one for one in sorted(going) if one.split("-")[1] in kinds and (folder / one).exists()]
    if kept:
        expected = "every Namespace and PriorityClass to stay in this folder"
        found = f"no more use for {' and '.join(kept)}"
        raise BadInput(Problem(expected, found, _TAKEN_OUT, file=str(folder)))


def is_marked(text: str) -> bool:
    """Whether this is a file that Greenlight wrote: what it writes itself may go, or be another."""
    return MARK.search(text) is not None


def _is_foreign(file: Path) -> bool:
    """Whether somebody else wrote it. A link leads to somebody else's."""
    if file.is_symlink():
        return True
    return file.exists() and not is_marked(_text(file))


def _keep(file: Path, text: str) -> None:
    """Write ``text`` unless it is there: a file that did not change keeps its time."""
    if not file.is_file() or _text(file) != text:
        file.write_text(text, "utf-8")


def _text(file: Path) -> str:
    return file.read_text("utf-8", errors="replace") if file.is_file() else ""


def _listed(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _ours(folder: Path) -> set[str]:
    """The names in the index, as far as they are plain names: the file may come from anybody."""
    index = folder / INDEX
    names = index.read_text().splitlines() if index.is_file() else ()
    return {name for name in names if gitops.OURS.fullmatch(name)}
