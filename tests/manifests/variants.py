"""Every variant of the rendering: taken by a real API server, and shown in docs/kubernetes."""

from __future__ import annotations

from manifests.model import Rendering
from tests.manifests.making import (
    HF,
    OCI,
    VOLUME,
    gpu_settings,
    release,
    rendering,
    settings,
    vllm_release,
)

IDENTITY = {"clientId": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "tenantId": "1" * 36}

VARIANTS: dict[str, Rendering] = {
    "plain": rendering(release()),
    "nothing live yet": rendering(),
    "two releases, one server": rendering(
        release(), release("Be kind."), weights={"blue": 75, "green": 25}
    ),
    "two servers": rendering(release(), release(threads=4)),
    "mirrored": rendering(release(), release("b"), mirror={"green": 20}),
    "workload identity": rendering(release(), given=settings(identity=IDENTITY)),
    "hostnames": rendering(
        release(), given=settings(gateway={"hostnames": ["assist.example.com", "*.example.org"]})
    ),
    "scaled by requests in flight": rendering(
        release(), given=settings(scaling={"prometheus": "http://prometheus.monitoring:9090"})
    ),
    "no priority": rendering(release(), given=settings(priority="none")),
    "weights in a volume": rendering(
        release(), given=settings(server={"weights": {"claim": "weights", "file": "a/model.gguf"}})
    ),
    "vLLM from Hugging Face": rendering(vllm_release(HF), given=gpu_settings()),
    "vLLM from an image": rendering(vllm_release(OCI), given=gpu_settings()),
    "vLLM from a volume": rendering(vllm_release(VOLUME), given=gpu_settings()),
    "vLLM with an adapter": rendering(
        vllm_release(HF, adapter=OCI, adapter_rank=16), given=gpu_settings()
    ),
    "vLLM over four GPUs": rendering(
        vllm_release(OCI, tensor_parallel=4, quantization="awq"),
        given=gpu_settings(4, cache="50Gi", gpu={"count": 4, "pool": "h100x4"}),
    ),
}
