"""Model servers are given secrets by name and place; no value is ever in what is rendered."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from manifests.model import Rendering
from manifests.render import render
from release.errors import BadInput
from tests.manifests.making import HF, gpu_settings, rendering, vllm_release
from tests.manifests.variants import EXTERNAL, IDENTITY, KEY_VAULT, LICENCE, TOKEN

BOTH = [TOKEN, LICENCE]
VAULT = rendering(
    vllm_release(HF),
    given=gpu_settings(identity=IDENTITY, secrets={**KEY_VAULT, "items": BOTH}),
)
STORE = rendering(vllm_release(HF), given=gpu_settings(secrets={**EXTERNAL, "items": BOTH}))


def found(one: Rendering, kind: str, start: str = "") -> dict[str, Any]:
    """The one object of a kind."""
    (it,) = (each for each in render(one) if each.kind == kind and each.name.startswith(start))
    return it.object


def server(one: Rendering) -> dict[str, Any]:
    """The pod of the model server."""
    pod: dict[str, Any] = found(one, "Deployment", "model-")["spec"]["template"]["spec"]
    return pod


def test_a_vaults_secrets_are_read_on_the_node_as_the_workloads_identity() -> None:
    """By the driver's provider for Azure, without a key of anybody's."""
    spec = found(VAULT, "SecretProviderClass")["spec"]
    listed = [yaml.safe_load(one) for one in yaml.safe_load(spec["parameters"]["objects"])["array"]]

    assert spec["parameters"]["clientID"] == IDENTITY["clientId"]
    assert spec["parameters"]["tenantId"] == IDENTITY["tenantId"]
    assert [(one["objectName"], one["objectAlias"]) for one in listed] == [
        ("hugging-face", "hf-token"),
        ("engine-licence", "licence"),
    ]


def test_only_what_a_variable_needs_is_copied_into_a_secret_of_the_cluster() -> None:
    """A file comes from the vault past the cluster's store."""
    (copied,) = found(VAULT, "SecretProviderClass")["spec"]["secretObjects"]

    assert copied["data"] == [{"key": "licence", "objectName": "licence"}]
    files = {**KEY_VAULT, "items": [TOKEN]}
    without = rendering(vllm_release(HF), given=gpu_settings(identity=IDENTITY, secrets=files))
    assert "secretObjects" not in found(without, "SecretProviderClass")["spec"]


def test_a_store_of_external_secrets_is_named_and_not_made() -> None:
    """The platform keeps it."""
    spec = found(STORE, "ExternalSecret")["spec"]

    assert spec["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert {one["secretKey"]: one["remoteRef"]["key"] for one in spec["data"]} == {
        "hf-token": "hugging-face",
        "licence": "engine-licence",
    }
    assert not any(each.kind in {"Secret", "SecretStore"} for each in render(STORE))


@pytest.mark.parametrize("one", [VAULT, STORE])
def test_the_model_server_has_a_file_for_each_and_the_variables_asked_for(one: Rendering) -> None:
    """A variable may say where the file is, so that the value is in no environment."""
    pod = server(one)
    container = pod["containers"][0]
    variables = {each["name"]: each for each in container["env"]}

    assert {"name": "secrets", "mountPath": "/secrets", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert variables["HF_TOKEN_PATH"]["value"] == "/secrets/hf-token"
    assert variables["LICENCE"]["valueFrom"] == {
        "secretKeyRef": {"name": "assist-secrets", "key": "licence"}
    }


@pytest.mark.parametrize("one", [VAULT, STORE])
def test_the_prompts_application_is_given_none(one: Rendering) -> None:
    """It has nobody to show them to."""
    pod = found(one, "Deployment", "assist-")["spec"]["template"]["spec"]

    assert "secrets" not in json.dumps(pod)


def test_a_variable_of_the_engines_own_is_not_taken() -> None:
    items = [{"name": "home", "key": "home", "env": "HF_HOME"}]
    given = gpu_settings(secrets={**EXTERNAL, "items": items})

    with pytest.raises(BadInput, match=r"secrets\.items.*HF_HOME"):
        render(rendering(vllm_release(HF), given=given))


@pytest.mark.parametrize(
    ("secrets", "wanted"),
    [
        (KEY_VAULT, "identity"),
        ({**EXTERNAL, "from": {}}, "either keyVault or external"),
        ({**EXTERNAL, "from": {**KEY_VAULT["from"], **EXTERNAL["from"]}}, "either keyVault"),
        ({**EXTERNAL, "items": [TOKEN, TOKEN]}, "once"),
        ({**EXTERNAL, "items": []}, "at least 1"),
        ({**KEY_VAULT, "items": EXTERNAL["items"]}, "keys of a Key Vault"),
        ({**EXTERNAL, "items": [{**TOKEN, "value": "hf_abc"}]}, "value"),
    ],
)
def test_what_cannot_be_is_refused(secrets: dict[str, Any], wanted: str) -> None:
    """A value above all."""
    with pytest.raises(ValidationError, match=wanted):
        gpu_settings(secrets=secrets)
