"""vLLM on GPUs, from its makers' image.

It reads safetensors and nothing else, runs no code of a model's, and asks the network for nothing
but what the pod is given. Flags are those of ``vllm serve``.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.engines.base import PORT, Mount, Server
from release.bundle import Release, RemoteWeights, VllmEngine
from release.errors import BadInput, Problem
from release.kubernetes_section import Gpu, Kubernetes

MODEL, ADAPTER, CACHE, SHARED = "/models/model", "/models/adapter", "/cache", "/dev/shm"  # noqa: S108
NAME, ADAPTED = "model", "adapter"
"""What the server calls the model, and the model with its adapter."""

COMMAND = ("vllm", "serve")


def server(release: Release, settings: Kubernetes) -> Server:
    """The container of ``release``'s model server."""
    engine, weights, asked = release.engine, release.weights, settings.server
    if not isinstance(engine, VllmEngine) or not isinstance(weights, RemoteWeights):
        raise BadInput(Problem("a release for vllm", release.label))
    if asked.image is None or asked.gpu is None:
        missing = "image" if asked.image is None else "gpu"
        remedy = "vLLM comes from its makers' image, by digest, and computes on GPUs."
        raise BadInput(Problem("a value", "nothing", remedy, path=f"kubernetes.server.{missing}"))
    if asked.gpu.count != engine.tensor_parallel:
        remedy = "One GPU for each part of the model."
        raise BadInput(
            Problem(f"{engine.tensor_parallel} (engine.tensor_parallel)", str(asked.gpu.count),
                    remedy, path="kubernetes.server.gpu.count")
        )  # fmt: skip
    gpus = {asked.gpu.resource: str(asked.gpu.count)}
    memory = {"memory": asked.resources.memory, **gpus}
    return Server(
        image=asked.image,
        command=COMMAND,
        arguments=tuple(_arguments(engine, weights)),
        requests={"cpu": asked.resources.cpu, **memory},
        limits=memory,
        environment={
            "HF_HOME": CACHE, "VLLM_CACHE_ROOT": CACHE, "HOME": CACHE,
            "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "WARNING",
        },
        mounts=tuple(_mounts(engine, weights, settings)),
        tolerations=({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},),
        node_selector=_nodes(asked.gpu),
    )  # fmt: skip


def _arguments(engine: VllmEngine, weights: RemoteWeights) -> Iterator[str]:
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
    yield "--disable-log-requests"
    if engine.quantization:
        yield f"--quantization={engine.quantization}"
    if engine.adapter:
        scheme, _, rest = engine.adapter.partition("://")
        place = rest.partition("@")[0] if scheme == "hf" else _inside(scheme, rest, ADAPTER)
        yield "--enable-lora"
        yield f"--max-lora-rank={engine.adapter_rank}"
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
