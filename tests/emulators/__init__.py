"""Object storage on this machine: S3 by moto, Azure Blob Storage by Azurite, and a line to them
that can be cut.

Azurite comes from npm, by the lock file in ``azurite/``, once into the user's cache. Without node
and npm its tests are skipped, and say so, in CI as well: what runs there is Python's. Where npm is
there and cannot install it, that is a failure in CI.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest

from release.files import locked

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "greenlight/tests"
"""The user's, also in tests that have a cache of their own."""

CONTAINER = "ledgers"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (  # Azurite's, in its documentation
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_TIED = '"$@" & read -r gone; kill $!; wait'
"""Runs a command that ends with us, also when we are killed: its standard input is closed then."""


@dataclass(frozen=True)
class Emulator:
    """One that runs. ``scheme`` is that of its URLs."""

    scheme: str
    port: int

    def url(self, prefix: str) -> str:
        """A folder of the container that all tests share."""
        return f"{self.scheme}://{CONTAINER}/{prefix}"

    def variables(self, port: int | None = None) -> Mapping[str, str]:
        """What a process needs in its environment to find it, through ``port`` if given."""
        address = f"http://127.0.0.1:{port or self.port}"
        if self.scheme == "s3":
            return {
                "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "s3-secret-of-the-tests",
            }  # fmt: skip
        return {
            "AZURE_STORAGE_ENDPOINT": f"{address}/{ACCOUNT}", "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        }  # fmt: skip


@contextmanager
def running_s3() -> Iterator[Emulator]:
    """moto's S3, with an empty container."""
    with _running([sys.executable, "-m", "tests.emulators.s3"]) as port:
        _put(f"http://127.0.0.1:{port}/{CONTAINER}", {})
        yield Emulator("s3", port)


@contextmanager
def running_azurite() -> Iterator[Emulator]:
    """Azurite's Blob service, with an empty container."""
    script = _azurite() / "node_modules/azurite/dist/src/blob/main.js"
    options = ["--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
    options += ["--skipApiVersionCheck"]  # obstore may speak a newer one
    with _running(["node", str(script), *options]) as port:
        _put(f"http://127.0.0.1:{port}/{ACCOUNT}/{CONTAINER}?restype=container", _signed())
        yield Emulator("az", port)


@contextmanager
def _running(command: list[str]) -> Iterator[int]:
    """The port of ``command``, which says where it listens."""
    process = subprocess.Popen(
        ["sh", "-c", _TIED, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parents[1],
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = (re.search(r"listens on http://127\.0\.0\.1:(\d+)", line) for line in process.stdout)
        found = next(filter(None, said), None)
        assert found, f"{command} did not start"
        yield int(found[1])
    finally:
        process.communicate()


def _put(url: str, headers: Mapping[str, str]) -> None:
    request = urllib.request.Request(url, method="PUT", headers=dict(headers))
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 201)


def _signed() -> Mapping[str, str]:
    """The headers that create the container, by the scheme Shared Key
    (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
    """
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    ours = "\n".join(f"{name}:{value}" for name, value in headers.items())
    text = "PUT" + "\n" * 12 + f"{ours}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)
    return {**headers, "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"}


def _azurite() -> Path:
    """The folder that it is installed in, made at the first use."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not there: NOTHING was tried against Azure Blob Storage")
    lock = (HERE / "azurite/package-lock.json").read_bytes()
    folder = CACHE / f"azurite-{hashlib.sha256(lock).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / ".azurite.lock"):
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Exactly what the lock file says, no script of any package run; whole or not at all."""
    work = folder.with_name(f".{folder.name}")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE / "azurite", work)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        text = f"Azurite could not be installed: {done.stderr[-1000:]}"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    work.rename(folder)
