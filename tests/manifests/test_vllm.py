"""What vLLM is started with: flags that it has, a user it can name, time to end its answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from manifests.model import Rendering
from manifests.render import render
from release.errors import BadInput
from tests.manifests.making import (
    HF,
    OCI,
    VOLUME,
    gpu_settings,
    rendering,
    settings,
    vllm_release,
)

WHOLE = {"tensor_parallel": 2, "quantization": "awq", "adapter": OCI, "adapter_rank": 16}

KNOWN = frozenset({
    "--dtype", "--enable-lora", "--gpu-memory-utilization", "--load-format", "--lora-modules",
    "--max-lora-rank", "--max-model-len", "--max-num-seqs", "--port", "--quantization",
    "--revision", "--served-model-name", "--shutdown-timeout", "--tensor-parallel-size",
})  # fmt: skip
"""Flags of ``vllm serve`` from 0.18 on, of those that are used here: a flag that a version does
not know ends it at once. ``--disable-log-requests`` went in 0.17, and was the default by then."""


def pod(one: Rendering) -> dict[str, Any]:
    """The model server's."""
    (it,) = (each for each in render(one) if (each.kind, each.name[:6]) == ("Deployment", "model-"))
    spec: dict[str, Any] = it.object["spec"]["template"]["spec"]
    return spec


def container(one: Rendering) -> dict[str, Any]:
    """The model server's only one."""
    (it,) = pod(one)["containers"]
    found: dict[str, Any] = it
    return found


def flags(one: Rendering) -> dict[str, str]:
    """By name, with what stands behind the sign."""
    given = [each.partition("=") for each in container(one)["args"] if each.startswith("--")]
    return {name: value for name, _, value in given}


def variables(one: Rendering) -> dict[str, str]:
    """By name."""
    return {each["name"]: each["value"] for each in container(one)["env"]}


@pytest.mark.parametrize("source", [HF, OCI, VOLUME])
def test_no_flag_is_used_that_the_server_does_not_know(source: str) -> None:
    found = flags(rendering(vllm_release(source, **WHOLE), given=gpu_settings(2)))

    assert found.keys() <= KNOWN


def test_what_it_has_begun_is_answered_within_the_drain() -> None:
    """Without a time of its own vLLM cuts every answer as soon as it is told to stop."""
    one = dataclasses.replace(rendering(vllm_release(), given=gpu_settings()), drain_seconds=90)
    ended = pod(one)

    waited = ended["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert flags(one)["--shutdown-timeout"] == "90"
    assert ended["terminationGracePeriodSeconds"] > waited + 90


def test_its_user_has_a_name_and_a_home_it_can_write_to() -> None:
    """Torch asks for the name as it is imported, and no image knows the user 10001."""
    one = rendering(vllm_release(), given=gpu_settings())
    mounts = container(one)["volumeMounts"]
    written = {each["mountPath"] for each in mounts if "readOnly" not in each}

    assert variables(one)["USER"]
    assert variables(one)["HOME"] in written


@pytest.mark.parametrize(("source", "offline"), [(HF, False), (OCI, True), (VOLUME, True)])
def test_it_asks_no_hub_for_what_is_there_already(source: str, offline: bool) -> None:
    """Its pods have no way out then, and would wait for one."""
    one = rendering(vllm_release(source), given=gpu_settings())

    assert (variables(one).get("HF_HUB_OFFLINE") == "1") is offline


@pytest.mark.parametrize(
    ("rank", "wanted"), [(1, 8), (8, 8), (12, 16), (16, 16), (65, 128), (300, 512), (512, 512)]
)
def test_room_is_made_for_the_next_rank_that_the_server_knows(rank: int, wanted: int) -> None:
    """It takes a few ranks, and an adapter may have any below."""
    one = rendering(vllm_release(adapter=OCI, adapter_rank=rank), given=gpu_settings())

    assert flags(one)["--max-lora-rank"] == str(wanted)


@pytest.mark.parametrize("version", ["0.9.2", "0.17.1", "0.17"])
def test_a_return_to_an_older_version_gives_it_no_flag_that_it_does_not_know(version: str) -> None:
    """No ``llm.yaml`` may name one; it may have been live before that was so."""
    found = flags(rendering(vllm_release(version=version), given=gpu_settings()))

    assert found.keys() == KNOWN - {"--shutdown-timeout"} - {
        "--enable-lora", "--lora-modules", "--max-lora-rank", "--quantization",
    }  # fmt: skip


def test_a_return_to_an_adapter_without_a_commit_asks_for_it_by_name() -> None:
    """As when it was live; no ``llm.yaml`` may name one."""
    one = vllm_release(adapter=HF, adapter_rank=16)

    assert flags(rendering(one, given=gpu_settings()))["--lora-modules"] == "adapter=org/some-model"


def test_nodes_that_keep_others_off_their_gpus_let_it_in() -> None:
    """By the taint of AKS's documentation, and by the one that other platforms set."""
    given = gpu_settings(gpu={"count": 1, "resource": "amd.com/gpu"})
    found = pod(rendering(vllm_release(), given=given))["tolerations"]

    assert {(one["key"], one["operator"], one["effect"]) for one in found} == {
        ("sku", "Equal", "NoSchedule"),
        ("amd.com/gpu", "Exists", "NoSchedule"),
    }


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (settings(), "kubernetes.server.image"),
        (settings(server={"image": gpu_settings().server.image}), "kubernetes.server.gpu"),
        (gpu_settings(2), "kubernetes.server.gpu.count"),
    ],
)
def test_what_it_cannot_be_without_is_asked_for_where_it_belongs(given: Any, path: str) -> None:
    with pytest.raises(BadInput) as caught:
        render(rendering(vllm_release(), given=given))

    (problem,) = caught.value.problems
    assert problem.path == f"environments.production.{path}"
    assert problem.remedy


@pytest.mark.parametrize(
    ("count", "resources", "cpu", "memory"),
    [
        (1, None, "2", "16Gi"),
        (4, None, "8", "64Gi"),
        (4, {"cpu": "24", "memory": "200Gi"}, "24", "200Gi"),
    ],
)
def test_what_a_server_is_given_grows_with_its_gpus(
    count: int, resources: dict[str, str] | None, cpu: str, memory: str
) -> None:
    """A process for each, of some gigabytes before the first weight is read."""
    own = {"resources": resources} if resources else {}
    given = gpu_settings(count, gpu={"count": count}, **own)
    found = container(rendering(vllm_release(tensor_parallel=count), given=given))["resources"]

    assert (found["requests"]["cpu"], found["requests"]["memory"]) == (cpu, memory)
    assert found["limits"]["memory"] == memory
