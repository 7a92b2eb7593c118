"""``render``: what an environment would be in a cluster, as files, before there is a rollout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render
from pipelines.workspace import Workspace
from release.errors import BadInput, Problem
from release.markers import markers

FIRST = "blue"
"""The slot that a first release goes to."""

INDEX = ".greenlight-rendered"
"""Names the files that a rendering wrote, so that the next one takes away what is no more."""


def rendering_of(workspace: Workspace, environment: str) -> Rendering:
    """The candidate alone in ``environment``, with all of its traffic.

    BadInput where the environment has no ``kubernetes`` section, or the model no control tokens.
    """
    spec = workspace.spec
    settings = spec.environments[workspace.environment(environment)].kubernetes
    if settings is None:
        raise workspace.sources.problem(
            ("environments", environment), "kubernetes, with image at least", "nothing",
            "Say where in a cluster it runs; docs/llm-yaml.md lists the keys.",
        )  # fmt: skip
    return Rendering(
        application=spec.name,
        environment=environment,
        settings=settings,
        slots=(_slot(workspace),),
        weights={FIRST: 100},
        drain_seconds=round(spec.rollout.drain_seconds),
    )


def _slot(workspace: Workspace) -> Slot:
    """With the model's control tokens, which the pod of the prompt has no file to read from."""
    built = workspace.built
    found = None if built.model is None else tuple(sorted(markers(built.model)))
    return Slot(FIRST, built.release, found, workspace.spec.evaluation.refusal)


def render_environment(workspace: Workspace, environment: str) -> tuple[Rendered, ...]:
    """The objects of ``environment``, in the order in which they are applied."""
    return render(rendering_of(workspace, environment))


def write_rendered(rendered: Sequence[Rendered], folder: Path) -> None:
    """One file an object below ``folder``; files of an earlier rendering that are no more go.

    Nothing that a rendering did not write is touched. BadInput where one of the files is there
    and is not ours.
    """
    ours = _ours(folder)
    foreign = [
        one.file for one in rendered if one.file not in ours and (folder / one.file).exists()
    ]
    if foreign:
        raise BadInput(
            Problem("a file of an earlier rendering, or none", "another", "Move it, or name "
                    "another folder.", file=str(folder / foreign[0]))
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    names = [one.file for one in rendered]
    _keep(folder / INDEX, _listed({*ours, *names}))  # first: what is cut here is still ours
    for one in rendered:
        _keep(folder / one.file, one.text)
    for name in ours - set(names):
        (folder / name).unlink(missing_ok=True)
    _keep(folder / INDEX, _listed(names))


def _keep(file: Path, text: str) -> None:
    """Write ``text`` unless it is there: a file that did not change keeps its time."""
    if not file.is_file() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")


def _listed(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _ours(folder: Path) -> set[str]:
    index = folder / INDEX
    return set(index.read_text().splitlines()) if index.is_file() else set()
