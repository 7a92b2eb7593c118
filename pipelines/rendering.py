"""``render``: what an environment would be in a cluster, as files, before there is a rollout."""

from __future__ import annotations

from pathlib import Path

from manifests.folder import write_rendered
from manifests.gitops import render_controller
from manifests.model import Rendering, Slot
from manifests.render import Rendered, render
from pipelines.workspace import Workspace
from release.markers import markers

FIRST = "blue"
"""The slot that a first release goes to."""

CONTROLLER = "controller"
"""The folder of what somebody applies once, by hand."""


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
    """The objects of ``environment``, in the order in which they are applied.

    BadInput, with file and line, for what cannot be rendered.
    """
    with workspace.sources.placed():
        return render(rendering_of(workspace, environment))


def write_environment(workspace: Workspace, environment: str, out: Path) -> int:
    """The objects of ``environment`` below ``out``, and how many they are.

    With ``git``, the controller's own go into ``out/controller``, which no controller follows.
    """
    rendering = rendering_of(workspace, environment)
    with workspace.sources.placed():
        rendered, controller = render(rendering), render_controller(rendering)
    write_rendered(rendered, out)
    if controller or (out / CONTROLLER).is_dir():
        write_rendered(controller, out / CONTROLLER)
    return len(rendered) + len(controller)
