"""What a node of the tests has, and what the cluster gives a pod that comes to it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.cluster.api import Api, Object, Refused
from tests.serving.pods import Here, has_token


class EveryImage(Container[str]):
    """Each can be pulled."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass
class Machine:
    """What the nodes have. It may be changed while pods run: each start reads it anew.

    ``images``: those that can be pulled. ``files``, ``commands``, ``services`` are as ``Here`` has
    them; ``variables`` are given to every pod. ``kubeconfig`` leads to the API server; in a pod's
    own, its token takes the place of the token there.
    """

    folder: Path
    kubeconfig: Path
    images: Container[str] = field(default_factory=EveryImage)
    files: Mapping[str, Path] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"python": (sys.executable,)}
    )
    services: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


async def given(api: Api, machine: Machine, pod: Object, folder: Path, ip: str) -> Here:
    """What ``pod`` gets; Refused where a ConfigMap, Secret or account is not there."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]

    async def read(kind: str, name: str) -> Object:
        return await api.get(f"/api/v1/namespaces/{namespace}/{kind}/{name}")

    async def read_map(name: str) -> Object:
        try:
            return await read("configmaps", name)
        except Refused as refused:
            if refused.code == 404 and name in _optional(spec):
                return {}
            raise

    maps = {name: await read_map(name) for name in _named(spec, "configMap", "name")}
    secrets = {name: await read("secrets", name) for name in _named(spec, "secret", "secretName")}
    return Here(
        folder,
        config_maps={name: one.get("data", {}) for name, one in maps.items()},
        secrets={name: _decoded(one) for name, one in secrets.items()},
        files=machine.files,
        services=machine.services,
        commands=machine.commands,
        fields=_fields(pod, ip),
        variables={**machine.variables, **await _token(api, machine, pod, folder)},
    )


def _fields(pod: Object, ip: str) -> dict[str, str]:
    metadata, spec = pod["metadata"], pod["spec"]
    return {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec["nodeName"],
        "spec.serviceAccountName": spec["serviceAccountName"],
        "status.podIP": ip,
    }


async def _token(api: Api, machine: Machine, pod: Object, folder: Path) -> dict[str, str]:
    """For a pod that has its account's token mounted: KUBECONFIG, with such a token."""
    spec, metadata = pod["spec"], pod["metadata"]
    if not any(has_token(one) for one in spec.get("volumes", ())):
        return {}
    account = f"serviceaccounts/{spec['serviceAccountName']}/token"
    bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"]}
    made = await api.create(
        f"/api/v1/namespaces/{metadata['namespace']}/{account}",
        {"spec": {"expirationSeconds": 3607, "boundObjectRef": bound}},
    )
    config = yaml.safe_load(machine.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": made["status"]["token"]}
    config["contexts"][0]["context"]["namespace"] = metadata["namespace"]
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return {"KUBECONFIG": str(path)}


def _named(spec: Object, kind: str, key: str) -> set[str]:
    """Names of the ConfigMaps (``configMap``) or Secrets (``secret``) that a pod needs."""
    (container,) = spec["containers"]
    found = {one[kind][key] for one in spec.get("volumes", ()) if kind in one}
    for one in container.get("envFrom", ()):
        found |= {one[f"{kind}Ref"]["name"]} if f"{kind}Ref" in one else set()
    sources = (one.get("valueFrom", {}) for one in container.get("env", ()))
    return found | {one[f"{kind}KeyRef"]["name"] for one in sources if f"{kind}KeyRef" in one}


def _optional(spec: Object) -> set[str]:
    """Names of the ConfigMaps that a pod starts without."""
    volumes = (one["configMap"] for one in spec.get("volumes", ()) if "configMap" in one)
    return {one["name"] for one in volumes if one.get("optional")}


def _decoded(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in secret.get("data", {}).items()}
