"""Where a shared record lies: one URL, and nothing in it that must be kept secret.

The URL stands in ``llm.yaml``, so it is committed, reviewed and printed. It names a place and
never an identity: who may write there is decided by whoever the process is. It names no host
of anybody's choice either, or a changed line would send a cloud's token to a stranger; another
endpoint than the cloud's own comes from the environment only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXAMPLES = (
    "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX",
    "az://CONTAINER/PREFIX",
    "s3://BUCKET/PREFIX",
    "gs://BUCKET/PREFIX",
)
CLOUDS = ("core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn")
"""Azure's clouds: https://learn.microsoft.com/azure/storage/common/storage-powershell-independent-clouds"""

_LONGEST = 200  # characters of a prefix; S3, GCS and Azure take 1,024 for a whole name
_CONTAINER = r"(?P<container>[a-z0-9][a-z0-9._-]{1,61}[a-z0-9])"
_ACCOUNT = rf"(?P<account>[a-z0-9]{{3,24}})\.dfs\.(?P<cloud>{'|'.join(map(re.escape, CLOUDS))})"
_PREFIX = r"(?:/(?P<prefix>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*))?/?"
_FORMS = tuple(
    re.compile(form + _PREFIX, re.ASCII)
    for form in (rf"(?P<scheme>abfss)://{_CONTAINER}@{_ACCOUNT}", rf"(?P<scheme>az|s3|gs)://{_CONTAINER}")
)  # fmt: skip


@dataclass(frozen=True)
class Location:
    """A folder of an object store. ``account`` and ``cloud`` are empty where the environment
    names them, as it does the rest of what a client needs.
    """

    scheme: str
    container: str
    prefix: str = ""
    account: str = ""
    cloud: str = ""

    @property
    def url(self) -> str:
        """The URL, in its one spelling: without a slash at its end."""
        host = f"@{self.account}.dfs.{self.cloud}" if self.account else ""
        return f"{self.scheme}://{self.container}{host}" + (
            f"/{self.prefix}" if self.prefix else ""
        )

    @property
    def endpoint(self) -> str:
        """The address of the account's blob service; empty where the environment decides."""
        return f"https://{self.account}.blob.{self.cloud}" if self.account else ""


def parse_location(url: object) -> Location:
    """The place that ``url`` names; ValueError, which shows nothing of it, for any other text."""
    for form in _FORMS:
        found = form.fullmatch(url) if isinstance(url, str) else None
        if found and len(found["prefix"] or "") <= _LONGEST:
            named = {name: text for name, text in found.groupdict().items() if text}
            return Location(**named)
    raise ValueError(f"a URL like {' or '.join(EXAMPLES)}, without key, token or query")
