"""A real API server takes every object of every variant, by its strictest reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from manifests.model import Rendering
from manifests.render import render
from tests.cluster.client import Cluster, as_text
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


@contextmanager
def ready_for(cluster: Cluster, one: Rendering) -> Iterator[None]:
    """The namespace that the objects go to: a dry run makes none."""
    cluster.must("create", "namespace", one.namespace)
    try:
        yield
    finally:
        cluster.must("delete", "namespace", one.namespace, "--wait=false")


@pytest.mark.parametrize("name", VARIANTS)
def test_the_api_server_takes_every_object(cluster: Cluster, name: str) -> None:
    """Unknown fields are errors, and custom resources are held to their own schemas."""
    index = list(VARIANTS).index(name)
    one = VARIANTS[name]
    own = one.settings.model_copy(update={"namespace": f"accepted-{index}"})
    one = replace(one, settings=own)
    objects = [each.object for each in render(one)]

    with ready_for(cluster, one):
        how = ("--server-side", "--validate=strict", "--dry-run=server", "--force-conflicts")
        said = cluster.ask("apply", *how, "--filename=-", given=as_text(*objects))

    assert said.code == 0, said.err
    assert len(said.out.splitlines()) == len(objects)
    assert "Warning" not in said.err, said.err
