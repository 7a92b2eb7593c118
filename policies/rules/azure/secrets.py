"""Secrets are secrets of the engine or references: never text that a plan or a log could show."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.credentials import (
    holds_credential,
    is_kept,
    texts,
    without_credentials,
)
from policies.rules.azure.values import SECRET, is_unknown, said, value_at
from policies.rules.findings import shown
from policies.rules.rule import EVERY, PlanRule, Rule

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
        Rule(
            id="GL-AZ-SEC-004",
            title="Secrets stand only where Azure keeps them secret",
            types=EVERY,
            expected="secrets in the vault, in credentials and in protected settings alone",
            remedy="Keep it in the vault, and give the workload its identity to read it there.",
            source=f"{LEARN}/security/fundamentals/secrets-best-practices",
            check=_misplaced,
        ),
        Rule(
            id="GL-AZ-SEC-005",
            title="No credential in any text",
            types=EVERY,
            expected="no URL, connection string, token or key that gives access to its reader",
            remedy="Take it out and revoke it: whoever read the program has it. Then keep a new "
            "one with `pulumi config set --secret NAME`.",
            source=f"{LEARN}/security/fundamentals/secrets-best-practices",
            check=_credential,
        ),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _plain(resource: ArmResource) -> str | None:
    """The first property with a secret's name and a readable value: the name, never the value."""
    path = next((path for path, value in texts(resource.body) if _holds_secret(path, value)), None)
    return None if path is None else f"plain text in {shown(path)}"


def is_plain_secret(kind: str, path: str, value: str) -> bool:
    """Whether ``value``, at ``path`` of the body of a ``kind``, is a secret that can be read."""
    kept = is_kept(kind, path) and _private(path) and _readable(value)
    return kept or _holds_secret(path, value)


def _misplaced(resource: ArmResource) -> str | None:
    paths = [
        path
        for path, value in _everything(resource)
        if value == SECRET and not is_kept(resource.type, path)
    ]
    if SECRET in resource.name:
        paths.insert(0, "name")
    return f"a secret in {shown(without_credentials(paths[0]))}" if paths else None


def _credential(resource: ArmResource) -> str | None:
    told = (
        path
        for path, value in _everything(resource)
        if holds_credential(value) or holds_credential(path)
    )
    path = next(told, None)
    return None if path is None else f"a credential in {shown(without_credentials(path))}"


def _everything(resource: ArmResource) -> Iterator[tuple[str, str]]:
    """All texts of a resource with their paths: its name and scope are seen by everybody too."""
    yield "name", resource.name
    yield "scope", resource.scope
    yield from texts(resource.body)


def _holds_secret(path: str, value: str) -> bool:
    name = re.sub(r"[^A-Za-z0-9]", "", path.rpartition(".")[2])
    told = NAMED.search(name) and not HARMLESS.search(name)
    if value.lower() in FLAGS or name.lower() in NAMES_A_SECRET:
        return False
    return bool(told or "protectedsettings." in path.lower()) and _readable(value)


def _readable(value: str) -> bool:
    hidden = not value or value == SECRET or is_unknown(value)
    return not hidden and not REFERENCE.fullmatch(value)


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
    plain = [path for path, value in texts(credentials) if _readable(value) and _private(path)]
    return f"plain text in credentials.{shown(plain[0])}" if plain else None


def _private(path: str) -> bool:
    """All of a connection's credentials but the ids that come with them."""
    name = path.rpartition(".")[2].lower()
    return name not in ("clientid", "tenantid", "resourceid", "username", "authurl", "accesskeyid")
