"""Every variant of the rendering: taken by a real API server, and shown in docs/kubernetes."""

from __future__ import annotations

from typing import Any

from manifests.gitops import render_controller
from manifests.model import Rendering
from manifests.render import Rendered, render, render_watcher
from tests.manifests.making import (
    HF,
    OCI,
    VOLUME,
    gpu_settings,
    release,
    rendering,
    settings,
    vllm_release,
    watched_spec,
)

IDENTITY = {"clientId": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "tenantId": "1" * 36}

TOKEN = {"name": "hf-token", "key": "hugging-face", "fileEnv": "HF_TOKEN_PATH"}
LICENCE = {"name": "licence", "key": "engine-licence", "env": "LICENCE"}
KEY_VAULT: dict[str, Any] = {
    "from": {"keyVault": {"name": "kv-assist-production"}},
    "items": [TOKEN],
}
EXTERNAL: dict[str, Any] = {
    "from": {"external": {"store": "vault", "kind": "ClusterSecretStore"}},
    "items": [{**TOKEN, "key": "models/hugging-face"}],
}
AS_VARIABLE = "a secret as a variable"
"""Policies would rather have a file, and say so."""

PATCHES = [
    {"kind": "Deployment", "name": "assist-*", "patch": {"spec": {"minReadySeconds": 5}}},
    {
        "kind": "NetworkPolicy",
        "name": "assist-models",
        "patch": {"metadata": {"labels": {"a": "b"}}},
    },
]

REPOSITORY = "https://git.example.com/platform/clusters.git"

VARIANTS: dict[str, Rendering] = {
    "plain": rendering(release()),
    "nothing live yet": rendering(),
    "two releases, one server": rendering(
        release(), release("Be kind."), weights={"blue": 75, "green": 25}
    ),
    "watched": rendering(
        release(),
        release("Be kind."),
        weights={"blue": 75, "green": 25},
        given=settings(
            identity=IDENTITY, scaling={"prometheus": "http://prometheus.monitoring:80"}
        ),
    ),
    "watched, with a key for the store": rendering(
        release(), given=settings(watcher={"environmentFrom": "ledger-store"})
    ),
    "two servers": rendering(release(), release(threads=4)),
    "mirrored": rendering(release(), release("b"), mirror={"green": 20}),
    "workload identity": rendering(release(), given=settings(identity=IDENTITY)),
    "hostnames": rendering(
        release(), given=settings(gateway={"hostnames": ["assist.example.com", "*.example.org"]})
    ),
    "slots pinned by a cookie": rendering(
        release(), release("Be kind."), given=settings(gateway={"cookie": "greenlight-slot"})
    ),
    "a gateway outside the cluster": rendering(
        release(),
        given=settings(gateway={"addresses": ["10.225.0.0/24"], "timeout_seconds": 300}),
    ),
    "a gateway with its pods elsewhere": rendering(
        release(),
        given=settings(gateway={"pods": "envoy-gateway-system", "timeout_seconds": None}),
    ),
    "scaled by requests in flight": rendering(
        release(), given=settings(scaling={"prometheus": "http://prometheus.monitoring:9090"})
    ),
    "read by Azure Monitor": rendering(release(), given=settings(monitors="azure")),
    "without monitors": rendering(release(), given=settings(monitors="none")),
    "by Git with Argo CD": rendering(
        release(), given=settings(git={"repository": REPOSITORY, "controller": "argocd"})
    ),
    "by Git with Flux": rendering(
        release(),
        given=settings(
            git={
                "repository": "git@git.example.com:platform/clusters.git",
                "controller": "flux",
                "folder": "production/assist",
                "secret": "clusters-key",
            }
        ),
    ),
    "no priority": rendering(release(), given=settings(priority="none")),
    "weights in a volume": rendering(
        release(), given=settings(server={"weights": {"claim": "weights", "file": "a/model.gguf"}})
    ),
    "a server of one's own": rendering(
        release(isolation="dedicated"), release("Be kind.", isolation="dedicated")
    ),
    "secrets of Azure Key Vault": rendering(
        vllm_release(HF), given=gpu_settings(identity=IDENTITY, secrets=KEY_VAULT)
    ),
    "secrets of External Secrets": rendering(
        vllm_release(HF), given=gpu_settings(secrets=EXTERNAL)
    ),
    AS_VARIABLE: rendering(
        vllm_release(HF),
        given=gpu_settings(identity=IDENTITY, secrets={**KEY_VAULT, "items": [TOKEN, LICENCE]}),
    ),
    "patched": rendering(release(), given=settings(patches=PATCHES)),
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

WATCHED = ("watched", "watched, with a key for the store")
"""Those with a rollout under way, which a watcher stands by."""


def rendered(name: str) -> tuple[Rendered, ...]:
    """Every object of a variant, in the order in which they are applied."""
    one = VARIANTS[name]
    watcher = render_watcher(one, watched_spec(one)) if name in WATCHED else ()
    objects = sorted((*render(one), *watcher), key=lambda each: each.file)
    return (*objects, *render_controller(one))  # applied once, beside the folder that is followed
