"""llama.cpp on the processor, in Greenlight's own image."""

from __future__ import annotations

from manifests.engines.base import PORT, Mount, Server
from manifests.model import Rendering
from release.bundle import Release, ServingEngine
from release.errors import BadInput, Problem
from release.kubernetes_section import ModelServer, Volume

MODELS = "/models"


def server(release: Release, r: Rendering) -> Server:
    """``serving.engine``, which compares the file with the release's digest before it opens it."""
    engine, file, settings = release.engine, release.file, r.settings
    if not isinstance(engine, ServingEngine) or file is None:
        raise BadInput(Problem("a release for llama.cpp", release.label))
    asked = settings.server.resources or ModelServer().asked
    return Server(
        image=settings.server.image or settings.image,
        command=("python", "-m", "serving.engine"),
        arguments=(
            f"--model={_path(settings.server.weights, file.sha256)}",
            f"--sha256={file.sha256}",
            f"--context={engine.context}",
            f"--parallel={engine.parallel}",
            f"--threads={engine.threads}",
            f"--port={PORT}",
        ),
        requests={"cpu": asked.cpu, "memory": asked.memory},
        limits={"memory": asked.memory},
        mounts=_mounts(settings.server.weights),
    )


def _path(weights: Volume | None, digest: str) -> str:
    """Where the file is: in a volume that the team fills, else in the image, by its digest."""
    return f"{MODELS}/{weights.file}" if weights else f"{MODELS}/{digest}"


def _mounts(weights: Volume | None) -> tuple[Mount, ...]:
    tmp = Mount("tmp", "/tmp", {"emptyDir": {"sizeLimit": "1Gi"}}, read_only=False)  # noqa: S108
    if weights is None:
        return (tmp,)
    claim = {"persistentVolumeClaim": {"claimName": weights.claim, "readOnly": True}}
    return (tmp, Mount("weights", MODELS, claim))
