"""Texts that are credentials whatever they are called, and the places that Azure keeps secret.

A name such as ``adminPassword`` tells of a secret, but a tag or a URL can hold one as well. And a
value that the engine keeps secret is secret only until Azure has it: a tag shows it to everybody
who may read the resource. So both are looked for here, the text and the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.rules.azure import kinds

REDACTED = "<redacted>"
"""Stands in every plan, template and finding where a credential was in the clear."""

CREDENTIAL = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/\s:@'\"]*:[^/\s@'\"]+@"  # user:password@
    r"|https?://[^/\s@'\"]+@"  # token@
    r"|(?:AccountKey|SharedAccessKey)\s*=\s*[A-Za-z0-9+/]{8,}={0,2}"
    r"|SharedAccessSignature\s*=?\s*s[a-z]+=[^\s'\"]+"
    r"|(?<![A-Za-z0-9])sig=[A-Za-z0-9%+/_-]{16,}={0,2}"
    r"|(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{16,}"
    r"|(?<![A-Za-z0-9-])sk-[A-Za-z0-9_-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]*-----END [A-Z ]*PRIVATE KEY-----|[^-]*)",
    re.I,
)
"""Access to something by its form alone: in a URL, a connection string, a token, a private key."""

_KEYS = ("properties.keys.primarykey", "properties.keys.secondarykey")
KEPT: Mapping[str, tuple[str, ...]] = {
    kinds.SECRET: ("properties.value",),
    kinds.CONNECTION: ("properties.credentials",),
    kinds.EXTENSION: ("properties.configurationprotectedsettings",),
    kinds.FLUX: (
        "properties.configurationprotectedsettings",
        "properties.bucket.accesskey",
        "properties.azureblob.accountkey",
        "properties.azureblob.sastoken",
        "properties.azureblob.serviceprincipal.clientsecret",
        "properties.azureblob.serviceprincipal.clientcertificate",
        "properties.azureblob.serviceprincipal.clientcertificatepassword",
    ),
    kinds.CLUSTER: (
        "properties.serviceprincipalprofile.secret",
        "properties.windowsprofile.adminpassword",
    ),
    kinds.ONLINE: _KEYS,
    kinds.BATCH: _KEYS,
    kinds.COMPUTE: (
        "properties.properties.useraccountcredentials.adminuserpassword",
        "properties.properties.administratoraccount.password",
        "properties.properties.administratoraccount.privatekeydata",
        "properties.properties.relayconnectionstring",
        "properties.properties.servicebusconnectionstring",
        "properties.properties.sslconfiguration.key",
    ),
    kinds.GRAFANA: ("properties.grafanaconfigurations.smtp.password",),
}
"""Lower-case paths that Azure never shows again, and all below them, by type: what Azure's type
definitions call sensitive, and what its reference calls secret or protected without saying so
there: https://learn.microsoft.com/azure/templates/"""


def is_kept(kind: str, path: str) -> bool:
    """Whether Azure keeps what is at ``path`` of the body of a ``kind`` secret."""
    at = path.lower()
    return any(at == one or at.startswith(f"{one}.") for one in KEPT.get(kind, ()))


def holds_credential(text: str) -> bool:
    """Whether a credential stands in ``text``."""
    return CREDENTIAL.search(text) is not None


def without_credentials(text: str) -> str:
    """``text`` with each credential as ``<redacted>``."""
    return CREDENTIAL.sub(REDACTED, text)


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in ``value`` with its path; an item of a list has the list's name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner, path)
    elif isinstance(value, str):
        yield path, value
