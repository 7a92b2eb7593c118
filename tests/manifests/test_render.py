"""What an application is in a cluster: secure and quiet by default, and the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests.folder import write_rendered
from manifests.render import COPIES_PORT, Rendered, merge, render
from pipelines.check import check
from policies.suppressions import suppressed_today
from release.errors import BadInput
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
from tests.manifests.variants import AS_VARIABLE, VARIANTS

ROOT = Path(__file__).resolve().parents[2]


def of(rendered: tuple[Rendered, ...], kind: str, name: str = "") -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [one.object for one in rendered if one.kind == kind and name in one.name]


def pods(rendered: tuple[Rendered, ...]) -> list[dict[str, Any]]:
    """The specs of all pods."""
    return [one["spec"]["template"]["spec"] for one in of(rendered, "Deployment")]


EVERY = (
    rendering(release()),
    rendering(release(), release("Be kind.")),
    rendering(vllm_release(), given=gpu_settings()),
    rendering(vllm_release(OCI, tensor_parallel=2), given=gpu_settings(2)),
    rendering(vllm_release(VOLUME, adapter=VOLUME, adapter_rank=16), given=gpu_settings()),
)


@pytest.mark.parametrize("one", EVERY)
def test_every_pod_is_what_the_restricted_standard_asks(one: Any) -> None:
    """And has no token, no root, no writable image, no privilege."""
    for pod in pods(render(one)):
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("one", EVERY)
def test_every_container_has_limits_probes_and_an_image_by_digest(one: Any) -> None:
    """Memory is limited; the processor is asked for and not limited."""
    for pod in pods(render(one)):
        for container in pod["containers"]:
            assert "@sha256:" in container["image"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
            asked = container["resources"]
            assert asked["requests"]["memory"] == asked["limits"]["memory"]
            assert "cpu" in asked["requests"]
            assert "cpu" not in asked["limits"]


def test_equal_input_gives_equal_bytes_in_every_process() -> None:
    """Whatever the order of hashes there."""
    code = (
        "from tests.manifests.test_render import EVERY, render\n"
        "print(hash(tuple(0 for _ in ())), *(one.text for e in EVERY for one in render(e)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(said) == 1


@pytest.mark.parametrize("one", EVERY)
def test_each_object_has_a_file_of_its_own(one: Any) -> None:
    """In the order in which they are applied: traffic last."""
    rendered = render(one)
    files = [each.file for each in rendered]

    assert files == sorted(set(files))
    assert rendered[-1].kind == "HTTPRoute"


@pytest.mark.parametrize("one", EVERY)
def test_what_is_rendered_has_no_empty_line(one: Any) -> None:
    """Somebody reads it in a pull request."""
    assert not [each.name for each in render(one) if "\n\n" in each.text]


def test_releases_that_differ_in_the_prompt_share_the_model_server() -> None:
    """A second copy of the small application, and none of the model."""
    rendered = render(rendering(release("Be brief."), release("Be kind.")))

    assert len(of(rendered, "Deployment", "model-")) == 1
    assert len(of(rendered, "Deployment", "assist-")) == 2
    assert len(of(rendered, "ConfigMap", "prompt-")) == 2


def test_releases_with_another_engine_have_their_own() -> None:
    """Each with its service."""
    rendered = render(rendering(release(), release(threads=4)))

    assert len(of(rendered, "Deployment", "model-")) == 2
    assert len(of(rendered, "Service", "model-")) == 2


def test_weights_are_the_routes() -> None:
    """A slot is asked by name through a header, whatever its weight."""
    both = rendering(release(), release("Be kind."), weights={"blue": 95, "green": 5})
    (route,) = of(render(both), "HTTPRoute")
    *pinned, everybody = route["spec"]["rules"]

    assert {one["name"]: one["weight"] for one in everybody["backendRefs"]} == {
        "assist-blue": 95,
        "assist-green": 5,
    }
    assert [one["matches"][0]["headers"][0]["value"] for one in pinned] == ["blue", "green"]


def test_a_mirror_is_a_filter_of_what_everybody_asks() -> None:
    """And of no pinned request."""
    (route,) = of(render(rendering(release(), release("b"), mirror={"green": 10})), "HTTPRoute")
    *pinned, everybody = route["spec"]["rules"]

    (mirror,) = everybody["filters"]
    assert mirror["requestMirror"]["backendRef"]["name"] == "assist-green"
    assert mirror["requestMirror"]["backendRef"]["port"] == COPIES_PORT
    assert {one["port"] for rule in route["spec"]["rules"] for one in rule["backendRefs"]} == {80}
    assert mirror["requestMirror"]["percent"] == 10
    assert not any("filters" in one for one in pinned)


def test_copies_come_to_a_port_of_their_own() -> None:
    """By it a pod knows them. The gateways' namespace is let in there, the monitoring is not."""
    rendered = render(rendering(release()))
    (service,) = of(rendered, "Service", "assist-blue")
    (pod,) = (one for one in pods(rendered) if one["containers"][0]["name"] == "application")
    (policy,) = (
        one for one in of(rendered, "NetworkPolicy") if one["metadata"]["name"] == "assist"
    )

    ports = {one["name"]: (one["port"], one["targetPort"]) for one in service["spec"]["ports"]}
    assert ports == {"http": (80, "http"), "copies": (COPIES_PORT, "copies")}
    named = {one["name"]: one["containerPort"] for one in pod["containers"][0]["ports"]}
    assert f"--copies-port={named['copies']}" in pod["containers"][0]["args"]
    let_in = {
        tuple(one["namespaceSelector"]["matchLabels"].values()): [p["port"] for p in rule["ports"]]
        for rule in policy["spec"]["ingress"]
        for one in rule["from"]
    }
    assert let_in == {("gateways",): ["http", "copies"], ("monitoring",): ["http"]}


@pytest.mark.parametrize("source", [HF, OCI, VOLUME])
def test_vllm_reads_safetensors_and_nothing_that_could_carry_code(source: str) -> None:
    """Wherever the weights come from."""
    (server,) = (pod for pod in pods(render(rendering(vllm_release(source), given=gpu_settings()))) if "volumes" in pod and pod["containers"][0]["name"] == "model")  # fmt: skip  # noqa: E501
    arguments = server["containers"][0]["args"]

    assert "--load-format=safetensors" in arguments
    assert not any("trust-remote-code" in one for one in arguments)


def test_vllm_asks_for_its_gpus_and_goes_where_they_are() -> None:
    """Tainted nodes included; no other pod tolerates them."""
    given = gpu_settings(4, gpu={"count": 4, "pool": "h100x4"})
    rendered = render(rendering(vllm_release(tensor_parallel=4), given=given))
    server, application = pods(rendered)[1], pods(rendered)[0]
    if server["containers"][0]["name"] != "model":
        server, application = application, server

    assert server["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert server["nodeSelector"] == {"kubernetes.azure.com/agentpool": "h100x4"}
    assert server["tolerations"][0]["value"] == "gpu"
    assert "tolerations" not in application
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in server["containers"][0][
        "volumeMounts"
    ]


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(
        [
            "x\n---\nkind: Secret", "{{ 7 * 7 }}", "{% raw %}", '"\nprivileged: true', "a: b",
            "*alias", "&anchor", "!!python/object:os.system", "#", "|", "\u2028kind: x", "\x85a: b",
        ]
    ),
)  # fmt: skip


@given(HOSTILE)
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_prompt_gets_out_of_its_place(text: str) -> None:
    """It is the text that the application reads, and changes no object besides its own name."""
    rendered = render(rendering(release(text)))
    (bundle,) = of(rendered, "ConfigMap", "prompt-")
    plain = render(rendering(release("x")))

    assert json.loads(bundle["data"]["bundle.json"])["prompt"]["messages"][0]["template"] == text
    assert _shape([one.object for one in rendered]) == _shape([one.object for one in plain])


def _shape(value: Any) -> Any:
    """``value`` without its texts."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return [_shape(one) for one in value] if isinstance(value, list) else type(value)


def test_a_patch_changes_what_it_names() -> None:
    """And takes away what it says is null."""
    patch = {"spec": {"template": {"spec": {"priorityClassName": None, "dnsPolicy": "None"}}}}
    given = settings(patches=[{"kind": "Deployment", "name": "assist-blue", "patch": patch}])
    rendered = render(rendering(release(), given=given))
    (deployment,) = of(rendered, "Deployment", "assist-blue")

    assert "priorityClassName" not in deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["template"]["spec"]["dnsPolicy"] == "None"


def test_a_patch_of_nothing_is_refused_with_what_there_is() -> None:
    given = settings(patches=[{"kind": "Deployment", "name": "assist-blau", "patch": {}}])

    with pytest.raises(BadInput, match=r"patches\[0\].*Deployment/assist-blue"):
        render(rendering(release(), given=given))


@pytest.mark.parametrize(
    ("value", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a"], {"b": 1}, {"b": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_are_merged_as_the_standards_examples_are(
    value: Any, patch: Any, merged: Any
) -> None:
    """RFC 7396, appendix A."""
    assert merge(value, patch) == merged


def test_an_application_that_waits_for_its_model_is_not_started_again() -> None:
    """However long a node, an image and the weights take: it starts, and is not ready."""
    (pod,) = pods(render(rendering(release(), given=settings(server={"load_seconds": 1}))))[:1]
    (container,) = pod["containers"]

    assert container["name"] == "application"
    assert container["startupProbe"]["httpGet"]["path"] == "/alive"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"


def test_nobody_calls_a_deployment_stuck_that_loads_its_weights() -> None:
    """Controllers that watch it would."""
    rendered = render(rendering(release(), given=settings(server={"load_seconds": 1800})))

    for one in of(rendered, "Deployment"):
        assert one["spec"]["progressDeadlineSeconds"] > 1800


def test_a_pod_that_need_not_wait_has_no_hook() -> None:
    """Of no seconds, older clusters refuse it."""
    for pod in pods(render(rendering(release(), given=settings(settle_seconds=0)))):
        assert "lifecycle" not in pod["containers"][0]


@pytest.mark.parametrize(
    ("share", "budget"), [(0.001, "1%"), (0.07, "7%"), (0.25, "25%"), (0.291, "30%"), (1, "100%")]
)
def test_a_budget_lets_somebody_go(share: float, budget: str) -> None:
    """Else a node could never be renewed."""
    given = settings(max_unavailable=share)
    (found,) = of(render(rendering(release(), given=given)), "PodDisruptionBudget", "assist")

    assert found["spec"]["maxUnavailable"] == budget


@pytest.mark.parametrize(
    "section",
    [
        {"max_unavailable": 0},
        {"application": {"cpu": "1", "memory": "512m"}},
        {"application": {"cpu": "2Gi", "memory": "1Gi"}},
        {"server": {"cache": "50m"}},
        {"namespace": "kube-system"},
        {"application": {"cpu": "0", "memory": "1Gi"}},
        {"application": {"cpu": "00.00", "memory": "1Gi"}},
        {"application": {"cpu": "0m", "memory": "1Gi"}},
        {"application": {"cpu": "1", "memory": "0"}},
        {"watcher": {"resources": {"cpu": "1", "memory": "0.0Gi"}}},
        {"server": {"shared_memory": "0Mi"}},
        {"capacity": {"pools": [{"name": "a", "max": 1, "cpu": "0", "memory": "1Gi"}]}},
    ],
)
def test_what_nobody_means_is_refused(section: dict[str, Any]) -> None:
    """Half a byte of memory, two billion cores, nothing at all, or the cluster's own namespace."""
    with pytest.raises(ValidationError):
        settings(**section)


def test_a_namespace_holds_pods_to_the_restricted_standard() -> None:
    (namespace,) = of(render(rendering(release())), "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_route_of_an_environment_without_a_release_leads_nowhere() -> None:
    """It is there from provisioning on, so that a rollout changes it and never makes it."""
    (route,) = of(render(rendering()), "HTTPRoute")

    assert [set(rule) for rule in route["spec"]["rules"]] == [{"matches"}]


@pytest.mark.slow
def test_checkov_finds_nothing_that_is_not_answered_for(tmp_path: Path) -> None:
    """In any variant, but for a secret that an application wants as a variable."""
    for number, (name, one) in enumerate(VARIANTS.items()):
        write_rendered(render(one), tmp_path / ("variable" if name == AS_VARIABLE else str(number)))
    checked = check([tmp_path])
    left = suppressed_today(checked.findings, whole=False)

    assert {(one.rule, "variable" in str(one.file)) for one in left.findings} == {
        ("CKV_K8S_35", True)
    }
    assert {entry.rule for _, entry in left.suppressed} == {"CKV_K8S_11"}
