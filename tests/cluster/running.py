"""``python -m tests.cluster.running FOLDER``: a cluster of real parts, for as long as it is used.

Who uses it holds a lock on ``FOLDER/users``. The kernel releases that lock when its holder dies,
however it dies, and then everything here ends. The process that was started ends at once; what
stays is its child, which belongs to nobody. ``FOLDER/kubeconfig`` appears when the cluster is
ready, ``FOLDER/failed`` when it cannot go on.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster import stages
from tests.cluster.client import Cluster, as_text
from tests.cluster.nodes import NODES

READY, FAILED, USERS, SETTINGS = "kubeconfig", "failed", "users", "settings.json"
PATIENCE_SECONDS = 120
"""A cluster is ready after some seconds; a busy machine takes longer."""
_PERSONS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "kwok": "system:masters",
}
"""Who asks the API server, and the group each is in. The names with a colon have the roles that
Kubernetes itself gives them."""
_AWAITED = (
    ("condition=Established", ("crd", "--all")),
    ("condition=Ready", ("node", "--all")),
    ("create", ("serviceaccount/default",)),
)


@dataclass(frozen=True)
class Settings:
    """What a cluster is made of: paths of programs, kwok's stages, a folder of definitions."""

    programs: Mapping[str, str]
    stages: str
    definitions: str

    def write(self, folder: Path) -> None:
        """Where the cluster of ``folder`` reads them."""
        (folder / SETTINGS).write_text(json.dumps(asdict(self)))


class Failed(Exception):
    """A part ended, or the cluster did not get ready."""


def etcd(ports: Sequence[int]) -> list[str]:
    """Its arguments. What it stores is worthless after the run, so nothing is synchronised."""
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    return [
        "--name=only",
        "--data-dir=data",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=only={peer}",
        "--socket-reuse-port",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(port: int, store: int) -> list[str]:
    """Its arguments: roles decide, Pod Security and all other admission as by default."""
    return [
        f"--etcd-servers=http://127.0.0.1:{store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--permit-port-sharing",
        "--cert-dir=certificates",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=accounts.key",
        "--service-account-signing-key-file=accounts.key",
        "--allow-privileged",  # or Pod Security would not be what refuses
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # its own address is this machine's alone
    ]


def controllers() -> list[str]:
    """Its arguments: every controller, each with the rights of its own account."""
    return [
        "--kubeconfig=system:kube-controller-manager.yaml",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials",
        "--service-account-private-key-file=accounts.key",
        "--root-ca-file=certificates/apiserver.crt",
        "--horizontal-pod-autoscaler-sync-period=2s",
        "--node-monitor-grace-period=300s",  # a busy machine must not look like lost nodes
    ]


def scheduler() -> list[str]:
    """Its arguments."""
    own = "--kubeconfig=system:kube-scheduler.yaml"
    return [own, "--secure-port=0", "--leader-elect=false"]


def kwok(files: Sequence[Path]) -> list[str]:
    """Its arguments: all nodes are its own, and what happens to pods stands in ``files``."""
    configs = [f"--config={path}" for path in files]
    return ["--kubeconfig=kwok.yaml", "--manage-all-nodes", "--cidr=10.244.0.0/16", *configs]


class Running:
    """The parts that run, in a folder. Leaving the block ends them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.held = ExitStack()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts.values():
            part.kill()
        for part in self.parts.values():
            part.wait()
        self.held.close()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a part, which dies with this process; what it says is in ``<name>.log``."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.parts[name] = subprocess.Popen(
                dying_with_parent(self.settings.programs[name], *arguments),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def port(self) -> int:
        """A port that is ours until the end: a part listens on it beside us, nobody else can."""
        held = self.held.enter_context(socket.socket())
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])

    def check(self) -> None:
        """Failed when a part has ended by itself."""
        for name, part in self.parts.items():
            if part.poll() is not None:
                raise Failed(f"{name} ended with {part.returncode}")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until ``holds``."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{what} came to nothing in {PATIENCE_SECONDS} s")
            time.sleep(0.1)


_DYING = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, linux/prctl.h
os.execvp(sys.argv[1], sys.argv[1:])
"""


def dying_with_parent(*command: str) -> list[str]:
    """``command``, killed when its parent dies where the kernel can (Linux). By Python in between:
    what a fork of ours ran by itself would meet gRPC's threads, where a test has used that.
    """
    return [sys.executable, "-I", "-S", "-c", _DYING, *command]


def bring_up(running: Running) -> None:
    """Everything from etcd to ready nodes; then the kubeconfig appears."""
    folder, settings = running.folder, running.settings
    client, peer, server = (running.port() for _ in range(3))
    _write_identities(folder, server)
    running.start("etcd", etcd((client, peer)))
    running.start("kube-apiserver", apiserver(server, client))
    cluster = Cluster(settings.programs["kubectl"], folder / "admin.yaml", folder / "cache")
    _await(running, cluster, "get", "--raw=/readyz")
    running.start("kube-controller-manager", controllers())
    running.start("kube-scheduler", scheduler())
    running.start("kwok", kwok(stages.write(Path(settings.stages), folder)))
    cluster.must("create", "--filename=-", given=as_text(*NODES))
    cluster.must("create", f"--filename={settings.definitions}")
    cluster.must("create", "--filename=-", given=_azures(Path(settings.definitions)))
    for condition, what in _AWAITED:
        _await(running, cluster, "wait", f"--for={condition}", "--timeout=20s", *what)
    (folder / "admin.yaml").rename(folder / READY)


def _azures(definitions: Path) -> str:
    """The PodMonitor that Azure's managed Prometheus takes: its maker says that it is the
    operator's but for the name of the group
    (https://learn.microsoft.com/azure/aks/deploy-postgresql-ha).
    """
    operators = (definitions / "monitoring.coreos.com_podmonitors.yaml").read_text()
    return operators.replace(": monitoring.coreos.com\n", ": azmonitoring.coreos.com\n").replace(
        ": podmonitors.monitoring.coreos.com\n", ": podmonitors.azmonitoring.coreos.com\n"
    )


def _await(running: Running, cluster: Cluster, *words: str) -> None:
    """Ask until the answer is good: `wait` itself fails at an object without conditions yet."""
    running.until(lambda: cluster.ask(*words).code == 0, f"`kubectl {' '.join(words)}`")


def _write_identities(folder: Path, port: int) -> None:
    """A token and a kubeconfig for each person, and the key that signs accounts' tokens."""
    lines = []
    for person, group in _PERSONS.items():
        token = secrets.token_hex(16)
        lines.append(f'{token},{person},{person},"{group}"')
        _private(folder / f"{person}.yaml", _kubeconfig(folder, port, token))
    _private(folder / "tokens.csv", "\n".join(lines) + "\n")
    _private(folder / "accounts.key", _signing_key())


def _kubeconfig(folder: Path, port: int, token: str) -> str:
    """The certificate is the one that the API server makes for itself when it starts."""
    certificate = str(folder / "certificates" / "apiserver.crt")
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": certificate}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": server}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        }
    )


def _signing_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def keep(running: Running, users: int) -> None:
    """Return when nobody uses the cluster any more; Failed when a part has ended."""
    while not _alone(users):
        running.check()
        time.sleep(0.2)


def _alone(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(folder: Path) -> int:
    """Bring a cluster up and keep it while it is used."""
    if os.fork():
        return 0
    os.setsid()
    settings = Settings(**json.loads((folder / SETTINGS).read_text()))
    users = os.open(folder / USERS, os.O_RDONLY)  # held until this process has ended
    with Running(folder, settings) as running:
        try:
            bring_up(running)
            keep(running, users)
        except (Failed, AssertionError, OSError) as error:
            (folder / FAILED).write_text(str(error))
        finally:
            (folder / READY).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
