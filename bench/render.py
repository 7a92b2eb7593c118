"""Rendering many applications beside ``helm template`` and ``kustomize build``.

``python -m bench.render [APPLICATIONS]``, with ``helm`` and ``kustomize`` on PATH (``go install
helm.sh/helm/v4/cmd/helm@v4.3.1 sigs.k8s.io/kustomize/kustomize/v5@v5.8.2``). Each contender is a
process that begins with the same applications in files and ends with every object written; all
take turns in each round, so that a machine which slows down slows all. CPU is user and system
time. The objects are compared first, and figures of objects that differ are refused.

Helm renders once all applications in one chart, and once a few of them each as a release of its
own; kustomize a few of them, each by itself and all at once, for its time grows with the square of
what it renders at once. *Again*: in one process, from reading all files to having written what
one edit changed. Rendering is pure, so what it made of the same bytes is good again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.fleet import fleet, read, values_of, write_chart, write_overlays
from bench.timing import Took, spread, timed
from manifests.folder import write_rendered
from manifests.render import Rendered, render

ROUNDS = 5
FEW = 20
"""Applications that are rendered by what would take minutes for all."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def run(commands: Sequence[Sequence[str]], out: Path) -> None:
    """All of ``commands``, one after the other, with what they print in ``out``."""
    with out.open("wb", buffering=0) as file:
        for command in commands:
            subprocess.run(command, stdout=file, check=True)
            file.write(b"\n---\n")


def contenders(folder: Path, sources: Sequence[bytes]) -> dict[str, tuple[int, list[list[str]]]]:
    """How many applications each renders, and by which commands."""
    names = [read(one).application for one in sources[:FEW]]
    (folder / "fleet").write_bytes(b"\n".join(sources))
    write_chart(folder / "chart", sources)
    write_chart(folder / "release")
    write_overlays(folder / "overlays", [read(one) for one in sources[:FEW]])
    for name, one in zip(names, sources, strict=False):
        (folder / f"{name}.json").write_text(values_of(one))
    helm, kustomize = program("helm"), program("kustomize")
    ours = [sys.executable, "-m", "bench.render", "--child", str(folder / "fleet")]
    single = [helm, "template", "fleet", str(folder / "release"), "--values"]
    overlays = folder / "overlays"
    return {
        "greenlight": (len(sources), [ours]),
        "helm, one chart": (len(sources), [[helm, "template", "fleet", str(folder / "chart")]]),
        "helm, a release each": (FEW, [[*single, str(folder / f"{name}.json")] for name in names]),
        "kustomize, each": (FEW, [[kustomize, "build", str(overlays / name)] for name in names]),
        f"kustomize, {FEW} at once": (FEW, [[kustomize, "build", str(overlays / "all")]]),
    }


def program(name: str) -> str:
    """Where it is; ends the benchmark where it is not."""
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not on PATH; the head of bench/render.py says how to have it")
    return found


def objects(printed: Path) -> dict[tuple[str, str, str], Any]:
    """Every object that was printed, by what names it."""
    with printed.open() as file:
        loaded = [one for one in yaml.load_all(file, Loader=_LOADER) if one]
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in loaded
    }


def differing(printed: dict[str, Path]) -> list[str]:
    """Whose objects are not Greenlight's, or fewer than those of the applications it rendered."""
    ours = objects(printed["greenlight"])
    wrong = []
    for name, file in printed.items():
        theirs = objects(file)
        of = {key[1] or key[2] for key in theirs}
        wanted = {key: one for key, one in ours.items() if (key[1] or key[2]) in of}
        wrong += [] if theirs and theirs == wanted else [name]
    return wrong


def again(folder: Path, sources: Sequence[bytes]) -> list[Took]:
    """Seconds of each of ten renderings after one edit, in a process that has rendered before."""
    inputs, written = folder / "inputs", folder / "written"
    inputs.mkdir()
    for number, one in enumerate(sources):
        (inputs / f"{number:04}").write_bytes(one)
    rendered = functools.cache(lambda data: render(read(data)))
    before, took = dict[str, tuple[Rendered, ...]](), list[Took]()
    for edit in range(11):
        (inputs / "0007").write_bytes(fleet(1, first=20_000 + edit)[0])
        begun = time.perf_counter(), time.process_time()
        found = {one.name: rendered(one.read_bytes()) for one in inputs.iterdir()}
        for name, made in found.items():
            if before.get(name) is not made:
                write_rendered(made, written / name)
        took.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        before = found
    return took[1:]


def main(count: int) -> None:
    """Compare, measure, print."""
    with tempfile.TemporaryDirectory() as name:
        folder, sources = Path(name), fleet(count)
        given = contenders(folder, sources)
        printed = {one: folder / f"{number}.out" for number, one in enumerate(given)}
        took: dict[str, list[Took]] = {one: [] for one in given}
        for number in range(ROUNDS + 1):  # the first fills the disk's cache, and is compared
            for one, (_, commands) in given.items():
                seen, _ = timed(functools.partial(run, commands, printed[one]))
                took[one] += [seen] if number else []
            if not number and (wrong := differing(printed)):
                sys.exit(f"the objects differ: {', '.join(wrong)}")
        _print(took, {one: many for one, (many, _) in given.items()})
        print("again   ", *(f"{what} {spread(t, '.3g')} s" for what, t in zip(
            ("wall", "CPU"), zip(*again(folder, sources), strict=True), strict=True)))  # fmt: skip


def _print(took: dict[str, list[Took]], many: dict[str, int]) -> None:
    """Medians for each application, and the ratio of each round's pair."""
    print(f"{ROUNDS} rounds on {os.cpu_count()} cores; ms an application, median (low to high)")
    for name, runs in took.items():
        lines = []
        for index, what in enumerate(("wall", "CPU")):
            own = [1000 * one[index] / many[name] for one in runs]
            ours = [1000 * one[index] / many["greenlight"] for one in took["greenlight"]]
            ratios = [mine / other for mine, other in zip(own, ours, strict=True)]
            lines.append(f"{what} {spread(own, '.3g')} = {spread(ratios, '.3g')} of Greenlight's")
        print(f"{name:22} {many[name]:5} applications: {'; '.join(lines)}")


def child(file: Path) -> None:
    """Greenlight's turn: every application in ``file``, one a line."""
    with contextlib.closing(sys.stdout) as out:
        for line in file.read_bytes().splitlines():
            for one in render(read(line)):
                out.write(f"---\n{one.text}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1000)
