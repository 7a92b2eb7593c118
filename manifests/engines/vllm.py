"""vLLM on GPUs, from its makers' image.

It reads safetensors and nothing else, runs no code of a model's, and asks the network for nothing
but what the pod is given. Flags are those of ``vllm serve`` in ``VLLM_SINCE`` and later
(https://docs.vllm.ai/en/stable/cli/serve/): one that it does not know ends it at once.
A release that was live before a rule of ``llm.yaml`` came is rendered all the same: a return may
need it.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.engines.base import PORT, Mount, Server, at
from manifests.model import Rendering
from release.bundle import Release, RemoteWeights, VllmEngine
from release.errors import BadInput, Problem
from release.kubernetes_section import Gpu, Kubernetes, ModelServer
from release.vllm_version import VLLM_SINCE, version_of

MODEL, ADAPTER, CACHE, SHARED = "/models/model", "/models/adapter", "/cache", "/dev/shm"  # noqa: S108
NAME, ADAPTED = "model", "adapter"
"""What the server calls the model, and the model with its adapter."""

COMMAND = ("vllm", "serve")

RANKS = (8, 16, 32, 64, 128, 256, 512)
"""What ``--max-lora-rank`` can be in every version from ``VLLM_SINCE`` on."""

TAINT = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
"""Of GPU pools as AKS's documentation makes them."""


def server(release: Release, r: Rendering) -> Server:
    """The container of ``release``'s model server."""
    engine, weights, asked = release.engine, release.weights, r.settings.server
    if not isinstance(engine, VllmEngine) or not isinstance(weights, RemoteWeights):
        raise BadInput(Problem("a release for vllm", release.label))
    image, gpu = _required(engine, asked, r)
    gpus = {gpu.resource: str(gpu.count)}
    memory = {"memory": asked.asked.memory, **gpus}
    return Server(
        image=image,
        command=COMMAND,
        arguments=tuple(_arguments(engine, weights, r.drain_seconds)),
        requests={"cpu": asked.asked.cpu, **memory},
        limits=memory,
        environment=_environment(weights),
        mounts=tuple(_mounts(engine, weights, r.settings)),
        tolerations=(TAINT, {"key": gpu.resource, "operator": "Exists", "effect": "NoSchedule"}),
        node_selector=_nodes(gpu),
    )


def _required(engine: VllmEngine, asked: ModelServer, r: Rendering) -> tuple[str, Gpu]:
    """The image and the GPUs. BadInput where they are missing, or not what the engine needs."""
    if asked.image is None or asked.gpu is None:
        missing = "image" if asked.image is None else "gpu"
        remedy = "vLLM comes from its makers' image, by digest, and computes on GPUs."
        raise BadInput(Problem("a value", "nothing", remedy, path=at(r, f"server.{missing}")))
    if asked.gpu.count != engine.tensor_parallel:
        expected = f"{engine.tensor_parallel} (engine.tensor_parallel)"
        remedy = "One GPU for each part of the model."
        path = at(r, "server.gpu.count")
        raise BadInput(Problem(expected, str(asked.gpu.count), remedy, path=path))
    return asked.image, asked.gpu


def _environment(weights: RemoteWeights) -> dict[str, str]:
    """``USER``, since torch asks for its name as it is imported, and no image knows our user."""
    there = {} if weights.source.startswith("hf://") else {"HF_HUB_OFFLINE": "1"}
    return {
        "HF_HOME": CACHE, "VLLM_CACHE_ROOT": CACHE, "HOME": CACHE, "USER": "greenlight",
        "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "WARNING", **there,
    }  # fmt: skip


def _arguments(engine: VllmEngine, weights: RemoteWeights, drain_seconds: int) -> Iterator[str]:
    scheme, _, rest = weights.source.partition("://")
    name, _, revision = rest.partition("@")
    yield name if scheme == "hf" else _inside(scheme, rest, MODEL)
    if scheme == "hf":
        yield f"--revision={revision}"
    yield f"--served-model-name={NAME}"
    yield f"--port={PORT}"
    yield f"--max-model-len={engine.context}"
    yield f"--max-num-seqs={engine.parallel}"
    yield f"--tensor-parallel-size={engine.tensor_parallel}"
    yield f"--gpu-memory-utilization={engine.gpu_memory}"
    yield f"--dtype={engine.dtype}"
    yield "--load-format=safetensors"
    if version_of(engine.version) >= VLLM_SINCE:
        yield f"--shutdown-timeout={drain_seconds}"
    if engine.quantization:
        yield f"--quantization={engine.quantization}"
    if engine.adapter:
        yield from _adapter(engine)


def _adapter(engine: VllmEngine) -> Iterator[str]:
    """By a name on Hugging Face it is whatever is there on that day; no ``llm.yaml`` may say it."""
    scheme, _, rest = engine.adapter.partition("://")
    place = rest.partition("@")[0] if scheme == "hf" else _inside(scheme, rest, ADAPTER)
    yield "--enable-lora"
    yield f"--max-lora-rank={next(one for one in RANKS if one >= engine.adapter_rank)}"
    yield f"--lora-modules={ADAPTED}={place}"


def _inside(scheme: str, rest: str, folder: str) -> str:
    """The folder that vLLM reads: an image's whole volume, or what the source names in a claim."""
    if scheme == "oci":
        return folder
    return f"{folder}/{rest.partition('/')[2].partition('@')[0]}"


def _mounts(engine: VllmEngine, weights: RemoteWeights, settings: Kubernetes) -> Iterator[Mount]:
    shared = {"emptyDir": {"medium": "Memory", "sizeLimit": settings.server.shared_memory}}
    yield Mount("shared-memory", SHARED, shared, read_only=False)
    yield Mount("cache", CACHE, _cache(settings.server.cache), read_only=False)
    yield Mount("tmp", "/tmp", {"emptyDir": {"sizeLimit": "1Gi"}}, read_only=False)  # noqa: S108
    yield from _source("weights", MODEL, weights.source)
    if engine.adapter:
        yield from _source("adapter", ADAPTER, engine.adapter)


def _source(name: str, path: str, source: str) -> Iterator[Mount]:
    scheme, _, rest = source.partition("://")
    if scheme == "oci":
        yield Mount(name, path, {"image": {"reference": rest, "pullPolicy": "IfNotPresent"}})
    if scheme == "volume":
        claim = {"claimName": rest.partition("/")[0], "readOnly": True}
        yield Mount(name, path, {"persistentVolumeClaim": claim})


def _cache(size: str | None) -> dict[str, object]:
    """Compiled kernels and what is fetched: for the pod's life, on a volume where a size is set."""
    if size is None:
        return {"emptyDir": {"sizeLimit": "20Gi"}}
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {
        "storage": size}}}}  # fmt: skip
    return {"ephemeral": {"volumeClaimTemplate": template}}


def _nodes(gpu: Gpu) -> dict[str, str]:
    return {"kubernetes.azure.com/agentpool": gpu.pool} if gpu.pool else {}
