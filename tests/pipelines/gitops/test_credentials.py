"""A server that asks for credentials, over TLS: they come by variables, as a watcher's pod has
them, and are shown to nobody else.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import ipaddress
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.gitops.git_cli import GitError, shown
from pipelines.gitops.repository import PushRefused, Repository
from tests.pipelines.gitops.conftest import FOLDER, Server

TOKEN = "s3cret-of-the-watcher"
BASIC = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


class Handler(BaseHTTPRequestHandler):
    """git's own CGI program, for who may; ``reader`` alone may not push."""

    server: Forge

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self._answer(gzip.decompress(body) if packed else body)

    def _answer(self, body: bytes) -> None:
        said = self.headers["Authorization"]
        if said is None:
            self._say(401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
        elif said != f"Basic {BASIC}" or (self.server.reads_only and "receive-pack" in self.path):
            text = f"denied: {said}, which is x-access-token:{TOKEN}".encode()
            self._say(403, text, {"Content-Type": "text/plain"})
        else:
            self._run(body)

    def _run(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        given = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "watcher",
            "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=given, capture_output=True, check=False
        )
        head, _, text = done.stdout.partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._say(int(told.pop("Status", "200").split()[0]), text, told)

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Forge(ThreadingHTTPServer):
    """The repositories below ``root``, over TLS."""

    def __init__(self, root: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.reads_only = root, False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """Without a credential, as ``llm.yaml`` has it."""
        return f"https://127.0.0.1:{self.server_port}/server.git"


def certificate(file: Path) -> Path:
    """Of 127.0.0.1, by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    return file


@dataclass(frozen=True)
class Far:
    """The repository over there, and every command line that git was started with."""

    forge: Forge
    repository: Repository
    commands: list[list[str]]


@pytest.fixture
def far(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """With the credential as docs/gitops.md says: three variables, of a Secret."""
    pem = certificate(tmp_path / "server.pem")
    server.git("config", "uploadpack.allowFilter", "true", at=server.bare)
    server.git("config", "uploadpack.allowAnySHA1InWant", "true", at=server.bare)
    commands: list[list[str]] = []
    begin = subprocess.Popen

    def noted(command: list[str], **more: Any) -> Any:
        commands.append(command)
        return begin(command, **more)

    with Forge(tmp_path, pem) as forge:
        thread = threading.Thread(target=forge.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr("pipelines.gitops.git_cli.subprocess.Popen", noted)
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("GIT_SSL_CAINFO", str(pem))
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", f"http.{forge.url}.extraHeader")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"Authorization: Basic {BASIC}")
        try:
            repository = Repository(forge.url, "main", FOLDER, tmp_path / "work/store")
            yield Far(forge, repository, commands)
        finally:
            forge.shutdown()
            thread.join()


def test_a_watchers_variables_are_all_that_a_server_asks_for(server: Server, far: Far) -> None:
    """It reads, with texts fetched one by one, and pushes."""
    head = server.push({f"{FOLDER}/a": "1", "other/large": "x" * 1000})

    assert far.repository.read().files == {"a": "1"}
    commit = far.repository.commit({"a": "2"}, "second", head)

    assert commit == server.head
    assert server.files() == {"a": "2"}
    assert far.repository.contains(server.push({"elsewhere": "1"}), commit)


def test_a_credential_is_in_no_file_and_on_no_command_line(server: Server, far: Far) -> None:
    far.repository.commit({"a": "1"}, "first", far.repository.read().head)

    store = far.repository.git.store
    kept = b"".join(one.read_bytes() for one in store.rglob("*") if one.is_file())
    for secret in (TOKEN, BASIC):
        assert secret.encode() not in kept
        assert secret not in str(far.commands)


def test_without_credentials_it_is_said_at_once_what_is_missing(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked: a pod has no terminal."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")

    with pytest.raises(GitError, match=r"could not read Username"):
        far.repository.read()


def test_what_a_server_says_back_of_a_credential_is_not_shown(server: Server, far: Far) -> None:
    """Some proxies answer with what they were sent."""
    head = far.repository.read().head
    far.forge.reads_only = True

    with pytest.raises(
        (GitError, PushRefused), match=r"denied: Basic \*\*\*, which is x-access-token:\*\*\*"
    ) as told:
        far.repository.commit({"a": "1"}, "first", head)

    assert BASIC not in str(told.value)
    assert TOKEN not in str(told.value)
    assert not server.head


@pytest.mark.parametrize(
    "said",
    [
        f"unable to access 'https://reader:{TOKEN}@forge.example.com/o/r'",
        f"unable to access 'https://reader:pa@ss/{TOKEN}@forge.example.com/o/r'",
        f"denied: Basic {BASIC.rstrip('=')}",
        f"denied: reader:{TOKEN}",
    ],
)
def test_who_signs_in_is_not_shown_however_it_is_written(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password may hold what an address may not, and a word of Basic may come unpadded."""
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"Authorization: Basic {BASIC.rstrip('=')}")

    told = shown(said)

    assert TOKEN not in told
    assert BASIC.rstrip("=") not in told
