"""No text of a spec gets out of its place, whichever field it comes by."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests.gitops import render_controller
from manifests.model import Rendering
from manifests.render import Rendered, render
from release.errors import BadInput
from release.kubernetes_section import Kubernetes
from release.sections import RECORDED
from tests.manifests.making import IMAGE, OCI, VLLM_IMAGE, rendering, settings, vllm_release

HOSTILE = (
    "x\n---\nkind: Secret",
    "x\n  privileged: true",
    '"\nprivileged: true',
    "'; kind: Secret #",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# gone #}",
    "a: b",
    "*alias",
    "&anchor",
    "!!python/object:os.system",
    "#",
    "|",
    "%YAML 1.1",
    "- x",
    "{a: b}",
    "no",
    "1e3",
    "0x10",
    "~",
    "\u2028kind: x",
    "\x85a: b",
    "\u202egpj",
    "../../etc/passwd",
    "$(HF_TOKEN)",
    "${IFS}",
    "a,b=c",
    "x" * 70,
    "fe80::%x\n y: &a/64",
)

WHOLE: dict[str, Any] = {
    "image": IMAGE,
    "context": "a-cluster",
    "namespace": "a-namespace",
    "gateway": {
        "name": "a-gateway", "namespace": "gateways", "hostnames": ["a.example.com"],
        "cookie": "a-cookie", "pods": "proxies", "addresses": ["10.0.0.0/8"],
    },
    "application": {"cpu": "250m", "memory": "512Mi"},
    "scaling": {"prometheus": "http://prometheus:9090"},
    "server": {
        "image": VLLM_IMAGE, "resources": {"cpu": "2", "memory": "4Gi"},
        "gpu": {"resource": "nvidia.com/gpu", "pool": "pool"},
        "weights": {"claim": "a-claim", "file": "a/model.gguf"},
        "cache": "10Gi", "shared_memory": "2Gi",
    },
    "identity": {"clientId": "0" * 36, "tenantId": "1" * 36},
    "secrets": {
        "from": {"keyVault": {"name": "kv-assist", "tenantId": "2" * 36}},
        "items": [{"name": "a-name", "key": "a-key", "env": "AN_ENV", "fileEnv": "A_FILE"}],
    },
    "monitoring": "monitoring",
    "patches": [
        {"kind": "Deployment", "name": "assist-blue",
         "patch": {"metadata": {"annotations": {"team": "a-team"}}}},
    ],
}  # fmt: skip

ELSEWHERE: dict[str, Any] = {"external": {"store": "a-store", "kind": "SecretStore"}}

Path = tuple[str | int, ...]


def texts(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where a text is in ``value``."""
    if isinstance(value, str):
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in pairs if not isinstance(value, str) else ():
        yield from texts(one, (*path, key))


def laid(value: Any, path: Path, text: str) -> Any:
    """``value`` with ``text`` at ``path``."""
    if not path:
        return text
    copied = value.copy()
    copied[path[0]] = laid(value[path[0]], path[1:], text)
    return copied


def made(given: dict[str, Any]) -> Rendering | None:
    """What it renders; None where the section refuses it."""
    try:
        return rendering(vllm_release(OCI), given=settings(**given))
    except ValidationError:
        return None


def everything(one: Rendering) -> tuple[Rendered, ...]:
    """With what makes a controller follow the folder."""
    return (*render(one), *render_controller(one))


def shape(value: Any, text: str = "", was: str = "") -> Any:
    """``value`` without its texts, its own keys included; a key ``text`` is as ``was``."""
    if isinstance(value, dict):
        return {was if key == text else key: shape(one, text, was) for key, one in value.items()}
    return [shape(one, text, was) for one in value] if isinstance(value, list) else type(value)


def at(value: Any, path: Path) -> str:
    """The text at ``path``."""
    return str(reduce(operator.getitem, path, value))


FROM_STORE = {**WHOLE, "secrets": {**WHOLE["secrets"], "from": ELSEWHERE}}
BY_GIT: list[dict[str, Any]] = [
    {**WHOLE, "git": {
        "repository": "https://git.example.com/o/r", "branch": "main", "folder": "a-folder",
        "controller": controller, "name": "a-name", "namespace": "a-namespace",
        "project": "a-project", "secret": "a-secret",
    }}
    for controller in ("argocd", "flux")
]  # fmt: skip
FIELDS = [
    *((WHOLE, path) for path in texts(WHOLE)),
    *((FROM_STORE, ("secrets", *path)) for path in texts(FROM_STORE["secrets"])),
    *((one, ("git", *path)) for one in BY_GIT for path in texts(one["git"])),
]


@pytest.mark.parametrize(
    ("whole", "path"), FIELDS, ids=[".".join(map(str, path)) for _, path in FIELDS]
)
def test_no_field_of_the_section_gets_out_of_its_place(whole: dict[str, Any], path: Path) -> None:
    """It is refused, or it is one text where there was one text before."""
    plain = made(whole)
    assert plain is not None
    wanted = [shape(one.object) for one in everything(plain)]
    for text in HOSTILE:
        one = made(laid(whole, path, text))
        if one is None:
            continue
        try:
            rendered = everything(one)
        except BadInput:
            continue  # a patch of what is not there
        found = [shape(each.object, text, at(whole, path)) for each in rendered]
        assert sorted(map(str, found)) == sorted(map(str, wanted)), text
        assert all(len([*yaml.safe_load_all(each.text)]) == 1 for each in rendered)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_network_that_an_earlier_version_took_gets_out_of_its_place(text: str) -> None:
    """An interface in it may be any text: it is recorded, and what runs by it is still rendered."""
    given = {"image": IMAGE, "gateway": {"addresses": [f"fe80::%{text}"]}}
    recorded = Kubernetes.model_validate_json(json.dumps(given), context=RECORDED)

    rendered = render(rendering(given=recorded))

    (it,) = (one for one in rendered if (one.kind, one.name) == ("NetworkPolicy", "assist"))
    (*_, found) = it.object["spec"]["ingress"][0]["from"]
    assert found == {"ipBlock": {"cidr": f"fe80::%{text}"}}


def test_no_text_of_a_secret_gets_out_of_the_text_that_it_is_in() -> None:
    """The driver reads YAML within YAML; there, too, a key is a key."""
    one = made(WHOLE)
    assert one is not None
    (it,) = (each.object for each in render(one) if each.kind == "SecretProviderClass")
    listed = yaml.safe_load(it["spec"]["parameters"]["objects"])["array"]

    assert [yaml.safe_load(each) for each in listed] == [
        {"objectName": "a-key", "objectType": "secret", "objectAlias": "a-name"}
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@hypothesis_settings(max_examples=40)
def test_a_patch_may_hold_any_text(text: str) -> None:
    """It is the one place without a shape of its own, and written as YAML all the same."""
    patch = {"kind": "ConfigMap", "name": "assist-dashboard", "patch": {"data": {"x": text}}}
    one = made({**WHOLE, "patches": [patch]})
    assert one is not None
    (it,) = (each for each in render(one) if each.name == "assist-dashboard")

    assert it.object["data"]["x"] == text
    assert json.loads(json.dumps(it.object)) == it.object
