"""llama.cpp on the processor, in Greenlight's own image."""

from __future__ import annotations

from release.bundle import Release

TEMPLATE = "llama-cpp"


def arguments(release: Release) -> list[str]:
    """What ``serving.engine`` is asked, from the release alone."""
    engine = release.engine
    return [
        "engine",
        f"--sha256={release.weights.sha256}",
        f"--context={engine.context}",
        f"--parallel={engine.parallel}",
        f"--threads={engine.threads}",
        "--port=8000",
    ]
