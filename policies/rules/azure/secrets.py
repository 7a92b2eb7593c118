"""Secrets are secrets of the engine or references: never text that a plan or a log could show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.values import SECRET, is_unknown, said, value_at
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

NAMED = re.compile(
    r"secret|password|passwd|token(?:value)?$|credential|connectionstring|"
    r"(?:api|access|account|shared|primary|secondary|private|storage|license|instrumentation)key$|"
    r"^(?:key|pat|sas|pwd)$",
    re.I,
)
"""Names of properties that hold secrets, letters and digits alone. ``max_tokens`` does not."""

HARMLESS = re.compile(
    r"(?:uri|url|id|ids|name|type|mode|enabled|disabled|access|version|rotation.*|expiry.*|"
    r"provider|profile|status|vault.*|endpoint|issuer|store.*|reference|refs?)$",
    re.I,
)
"""Endings of names that speak about a secret without holding it."""

REFERENCE = re.compile(
    r"@Microsoft\.KeyVault\(.+\)|https://[a-z0-9-]+\.vault\.azure\.net/secrets/\S+"
)
"""A value that says where the secret is."""

FLAGS = ("enabled", "disabled", "true", "false", "none")
"""Values that switch something: Grafana's ``apiKey: Disabled`` says that there are no keys."""

NAMES_A_SECRET = ("sslsecret",)
"""Properties that name a Kubernetes secret: Azure ML's extension reads its certificate there.
https://learn.microsoft.com/azure/machine-learning/how-to-secure-kubernetes-online-endpoint"""

KEYLESS = ("aad", "managedidentity", "none", "accountmanagedidentity")
"""Ways that a connection authenticates without a secret."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        Rule(
            id="GL-AZ-SEC-001",
            title="No secret in plain text",
            types=kinds.KNOWN,
            expected="a Pulumi secret or a reference to Key Vault",
            remedy="`pulumi config set --secret NAME`, and take it with `config.require_secret`.",
            source="https://www.pulumi.com/docs/iac/concepts/secrets/",
            check=_plain,
        ),
        Rule(
            id="GL-AZ-SEC-002",
            title="The vault's secrets come from secrets",
            types=(kinds.SECRET,),
            expected="a value that the engine keeps secret",
            remedy="`pulumi config set --secret NAME`, and take it with `config.require_secret`.",
            source=f"{LEARN}/key-vault/secrets/secrets-best-practices",
            check=_vault_value,
        ),
        Rule(
            id="GL-AZ-SEC-003",
            title="Connections carry no secret in plain text",
            types=(kinds.CONNECTION,),
            expected="an Entra identity, or credentials that the engine keeps secret",
            remedy="Use authType AAD or ManagedIdentity, or put the credentials in a secret.",
            source=f"{LEARN}/machine-learning/how-to-connection",
            check=_connection,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _plain(resource: ArmResource) -> str | None:
    """The first property with a secret's name and a readable value: the name, never the value."""
    path = next((path for path, value in _texts(resource.body) if _holds_secret(path, value)), None)
    return None if path is None else f"plain text in {shown(path)}"


def _holds_secret(path: str, value: str) -> bool:
    name = re.sub(r"[^A-Za-z0-9]", "", path.rpartition(".")[2])
    told = NAMED.search(name) and not HARMLESS.search(name)
    if value.lower() in FLAGS or name.lower() in NAMES_A_SECRET:
        return False
    return bool(told or "protectedsettings." in path.lower()) and _readable(value)


def _readable(value: str) -> bool:
    hidden = not value or value == SECRET or is_unknown(value)
    return not hidden and not REFERENCE.fullmatch(value)


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in ``value`` with its path; an item of a list has the list's name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, path)
    elif isinstance(value, str):
        yield path, value


def _vault_value(resource: ArmResource) -> str | None:
    value = value_at(resource, "properties.value", "")
    return None if value == SECRET else "a value that is not kept secret" if value else "no value"


def _connection(resource: ArmResource) -> str | None:
    way = value_at(resource, "properties.authType", "")
    if way in ("", UNKNOWN):
        return said("authType", way)
    if str(way).lower() in KEYLESS:
        return None
    credentials = value_at(resource, "properties.credentials", {})
    if credentials in (UNKNOWN, {}):
        return "credentials that are not known yet" if credentials else "no credentials"
    plain = [path for path, value in _texts(credentials) if _readable(value) and _private(path)]
    return f"plain text in credentials.{shown(plain[0])}" if plain else None


def _private(path: str) -> bool:
    """All of a connection's credentials but the ids that come with them."""
    name = path.rpartition(".")[2].lower()
    return name not in ("clientid", "tenantid", "resourceid", "username", "authurl", "accesskeyid")
