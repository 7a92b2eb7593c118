"""Releases and renderings, as small as they can be."""

from __future__ import annotations

import json
from typing import Any

from manifests.model import Rendering, Slot
from pipelines.targets.kubernetes.watching import packed
from release.bundle import (
    PromptText,
    Release,
    RemoteWeights,
    ServingEngine,
    Template,
    VllmEngine,
    Weights,
)
from release.kubernetes_section import Kubernetes
from release.spec import Parameters, Spec

IMAGE = "registry.example.com/greenlight/serving@sha256:" + "0" * 64
VLLM_IMAGE = "registry.example.com/vllm/vllm-openai@sha256:" + "1" * 64
HF = "hf://org/some-model@" + "a" * 40
OCI = "oci://registry.example.com/models/some@sha256:" + "b" * 64
VOLUME = "volume://weights/some/model@" + "c" * 64


def prompt(system: str = "Be brief.") -> PromptText:
    """A system prompt around the question."""
    return PromptText(
        inputs=("query",),
        messages=(
            Template(role="system", template=system),
            Template(role="user", template="{{ query }}"),
        ),
    )


def release(system: str = "Be brief.", **engine: Any) -> Release:
    """A release for llama.cpp."""
    flags = {
        "name": "llama.cpp", "version": "1.0", "context": 4096, "parallel": 4, "threads": 2,
        "isolation": "shared",
    } | engine  # fmt: skip
    return Release(
        application="assist",
        weights=Weights(sha256="d" * 64, size=100, format="gguf"),
        engine=ServingEngine.model_validate(flags),
        prompt=prompt(system),
        parameters=Parameters(),
    )


def vllm_release(source: str = HF, **engine: Any) -> Release:
    """A release for vLLM."""
    flags = {
        "name": "vllm", "version": "0.19.1", "context": 8192, "parallel": 64, "tensor_parallel": 1,
        "quantization": "", "dtype": "auto", "gpu_memory": 0.9, "adapter": "", "adapter_rank": 0,
        "isolation": "shared",
    } | engine  # fmt: skip
    return Release(
        application="assist",
        weights=RemoteWeights(source=source, format="safetensors"),
        engine=VllmEngine.model_validate(flags),
        prompt=prompt(),
        parameters=Parameters(),
    )


def settings(**given: Any) -> Kubernetes:
    """A ``kubernetes`` section."""
    return Kubernetes.model_validate_json(json.dumps({"image": IMAGE, **given}))


def gpu_settings(count: int = 1, **server: Any) -> Kubernetes:
    """A section with GPUs for vLLM. ``identity`` and ``secrets`` are the section's, the rest the
    server's."""
    own = {key: server.pop(key) for key in ("identity", "secrets") if key in server}
    return settings(server={"image": VLLM_IMAGE, "gpu": {"count": count}, **server}, **own)


def rendering(*slots: Release, given: Kubernetes | None = None, **more: Any) -> Rendering:
    """Releases in blue, green and on; all traffic to the first."""
    names = ("blue", "green")
    held = tuple(Slot(name, one) for name, one in zip(names, slots, strict=False))
    weights = {"blue": 100} if held else {}
    return Rendering(
        application="assist", environment="production", settings=given or settings(),
        slots=held, **{"weights": weights, **more},
    )  # fmt: skip


def spec(given: Kubernetes | None = None, **more: Any) -> Spec:
    """An ``llm.yaml`` with an environment in a cluster, and one that is on this machine."""
    there = (given or settings()).model_dump(mode="json", by_alias=True)
    document = {
        "apiVersion": "greenlight/v1",
        "name": "assist",
        "model": {"name": "Tiny", "source": "file:model.gguf", "license": "MIT", "card": "card.md"},
        "engine": {"name": "llama.cpp"},
        "prompt": {"messages": [{"role": "user", "content": "{{ query }}"}]},
        "evaluation": {"data": "cases.jsonl", "gates": [{"metric": "f1", "min": 0.5}]},
        "ledger": "az://ledgers/assist",
        "environments": {
            "staging": {"port": 4000},
            "production": {"target": "kubernetes", "kubernetes": there},
        },
    }
    return Spec.model_validate_json(json.dumps(document | more))


def watched_spec(one: Rendering) -> str:
    """What a watcher of ``one`` goes by."""
    return packed(spec(one.settings), one.environment)
