"""What model servers are given in secret: names and places of it, and never a value.

Values stay in Azure Key Vault or in a store of External Secrets until a node or an operator of the
cluster fetches them; nothing that is rendered, committed or shown could hold one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from manifests.engines.base import Mount, Server, at
from manifests.model import Rendering
from release.errors import BadInput, Problem
from release.kubernetes_section import Secret, Secrets

FOLDER = "/secrets"
DRIVER = "secrets-store.csi.k8s.io"
READABLE = 0o440
"""By the pod's user and group alone."""


def name_of(r: Rendering) -> str:
    """The name of the object that says what is fetched, and of the Secret that comes of it."""
    return f"{r.application}-secrets"


def values(r: Rendering, secrets: Secrets) -> dict[str, Any]:
    """What the templates of both kinds of object take."""
    return {
        "secret_name": name_of(r),
        "vault": secrets.source.key_vault,
        "store": secrets.source.external,
        "objects": json.dumps({"array": [_object(one) for one in secrets.items]}),
        "synced": [{"key": one.name, "objectName": one.name} for one in secrets.items if one.env],
        "remote": [{"secretKey": one.name, "remoteRef": {"key": one.key}} for one in secrets.items],
    }


def _object(one: Secret) -> str:
    """One object of the vault as the driver's provider reads it: YAML in a list in YAML."""
    return json.dumps({"objectName": one.key, "objectType": "secret", "objectAlias": one.name})


def mounts(r: Rendering) -> tuple[Mount, ...]:
    """The volume with a file for each secret, where there are any."""
    if r.settings.secrets is None:
        return ()
    if r.settings.secrets.source.key_vault:
        read = {"secretProviderClass": name_of(r)}
        volume: dict[str, Any] = {
            "csi": {"driver": DRIVER, "readOnly": True, "volumeAttributes": read}
        }
    else:
        volume = {"secret": {"secretName": name_of(r), "defaultMode": READABLE}}
    return (Mount("secrets", FOLDER, volume),)


def variables(r: Rendering, server: Server) -> list[dict[str, Any]]:
    """Every variable of a model server. BadInput for a secret under a name that it needs itself."""
    own = [{"name": name, "value": str(value)} for name, value in server.environment.items()]
    secret = list(_secret_variables(r))
    for one in secret:
        if one["name"] in server.environment:
            remedy = "The engine needs it for itself: take another name."
            path = at(r, "secrets.items")
            raise BadInput(Problem("a variable that is free", one["name"], remedy, path=path))
    return own + secret


def _secret_variables(r: Rendering) -> Iterator[dict[str, Any]]:
    for one in r.settings.secrets.items if r.settings.secrets else ():
        if one.env:
            place = {"name": name_of(r), "key": one.name}
            yield {"name": one.env, "valueFrom": {"secretKeyRef": place}}
        if one.file_env:
            yield {"name": one.file_env, "value": f"{FOLDER}/{one.name}"}
