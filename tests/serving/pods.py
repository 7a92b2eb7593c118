"""Pods without a cluster: the processes that a rendered pod describes, on this machine.

``start`` takes the spec of a pod as the API server has it and runs its one container for real:
its command, arguments, variables, volumes, ports and probes are the ones in the spec. What a
cluster would add is put in by ``Here``: what the image holds, ConfigMaps, the names of services.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
URL = re.compile(r"http://([a-z0-9.-]+(?::[0-9]+)?)(?=/|$)")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_WITH_US = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Becomes another program, which the kernel kills when the thread that started it ends."""

Probe = Literal["startupProbe", "readinessProbe", "livenessProbe"]


@dataclass(frozen=True)
class Here:
    """What a cluster would know. ``folder`` is for the pod's files, and is its own.

    ``files``: path in the image → file on this machine. ``services``: name → ``host:port``.
    ``commands``: first word of a container's command → what is run here. ``fields``: what the
    pod may ask about itself, such as ``metadata.name``. ``variables``: beyond those of the spec.
    """

    folder: Path
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"python": (sys.executable,)}
    )
    fields: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


class Pod:
    """A running pod. ``ports``: where each named port is here."""

    def __init__(self, spec: Mapping[str, Any], process: subprocess.Popen[bytes],
                 ports: Mapping[str, int], log: Path) -> None:  # fmt: skip
        self._spec, self.process, self.ports, self._log = spec, process, ports, log
        self._container = spec["containers"][0]

    @property
    def address(self) -> str:
        """``host:port`` of its first port."""
        return f"{HOST}:{next(iter(self.ports.values()))}"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def settle_seconds(self) -> int:
        """How long the kubelet waits, after it left the endpoints, before it tells it to stop."""
        hook = self._container.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        assert set(hook) == {"sleep"}, f"only a sleep is understood before a stop: {hook}"
        seconds: int = hook["sleep"]["seconds"]
        return seconds

    @property
    def grace_seconds(self) -> int:
        """How long it may take from being told to stop."""
        whole: int = self._spec["terminationGracePeriodSeconds"]
        return whole - self.settle_seconds

    def url(self, probe: Probe) -> str:
        """What the kubelet asks."""
        get = self._container[probe]["httpGet"]
        port = self.ports[get["port"]] if isinstance(get["port"], str) else self._moved(get["port"])
        return f"http://{HOST}:{port}{get['path']}"

    def _moved(self, number: int) -> int:
        (name,) = (a["name"] for a in self._container["ports"] if a["containerPort"] == number)
        return self.ports[name]

    def passes(self, probe: Probe) -> bool:
        """Whether the kubelet would count the probe as passed now."""
        timeout = self._container[probe].get("timeoutSeconds", 1)
        try:
            with _DIRECT.open(self.url(probe), timeout=timeout) as answer:
                return 200 <= int(answer.status) < 400
        except (urllib.error.URLError, OSError):
            return False

    def terminate(self) -> None:
        """Tell it to stop, as the kubelet does."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Tell it to stop, and kill it when its grace is over; its exit code."""
        self.terminate()
        try:
            return self.process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once; its exit code."""
        self.process.kill()
        return self.process.wait()


def start(spec: Mapping[str, Any], here: Here) -> Pod:
    """Run the pod's one container. Whoever starts it ends it, by ``stop`` or ``kill``; it ends
    with the thread that started it in any case.
    """
    (container,) = spec["containers"]
    described = container.get("ports", ())
    with ExitStack() as held:
        doors = {one["name"]: held.enter_context(kept_port()) for one in described}
        ports = {name: int(door.getsockname()[1]) for name, door in doors.items()}
        inherited = [door.fileno() for door in doors.values()]
        process = _run(spec, here, ports, inherited)
    return Pod(spec, process, ports, here.folder / "log")


def _run(
    spec: Mapping[str, Any], here: Here, ports: Mapping[str, int], inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    (container,) = spec["containers"]
    moved = {
        str(one["containerPort"]): str(ports[one["name"]]) for one in container.get("ports", ())
    }
    volumes = _volumes(spec, container, here)
    paths = {**volumes, **{a: str(b) for a, b in here.files.items()}}
    words: list[str] = [*container["command"], *container.get("args", ())]
    rest = [_here(word, moved, paths, here.services) for word in words[1:]]
    own = {"PATH": "/usr/bin:/bin", "TMPDIR": paths.get("/tmp", str(here.folder))}
    with (here.folder / "log").open("ab") as output:
        return subprocess.Popen(
            [*_with_us(), *here.commands[words[0]], *rest],
            cwd=ROOT,  # the image's folder
            env={**own, **_variables(container, here, volumes), **here.variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
        )


def _with_us() -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", _WITH_US, str(os.getpid()))


def _variables(
    container: Mapping[str, Any], here: Here, volumes: Mapping[str, str]
) -> dict[str, str]:
    """The environment that the container's description gives it; one that names a volume's place,
    such as HOME, names where it is here.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        (kind,) = source.keys() & {"configMapRef", "secretRef"}
        where = here.config_maps if kind == "configMapRef" else here.secrets
        found |= where[source[kind]["name"]]
    for one in container.get("env", ()):
        found[one["name"]] = _value(one, here)
    return {name: volumes.get(value, value) for name, value in found.items()}


def _value(one: Mapping[str, Any], here: Here) -> str:
    match one.get("valueFrom"):
        case None:
            return str(one.get("value", ""))
        case {"fieldRef": {"fieldPath": path}}:
            return here.fields[path]
        case {"secretKeyRef": {"name": name, "key": key}}:
            return here.secrets[name][key]
        case {"configMapKeyRef": {"name": name, "key": key}}:
            return here.config_maps[name][key]
        case other:
            raise AssertionError(f"this variable is not understood here: {other}")


def _volumes(spec: Mapping[str, Any], container: Mapping[str, Any], here: Here) -> dict[str, str]:
    """Path in the container → a folder here, filled as the volume would be."""
    sources = {one["name"]: one for one in spec.get("volumes", ())}
    found = {}
    for mount in container.get("volumeMounts", ()):
        folder = here.folder / "volumes" / mount["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in _content(sources[mount["name"]], here).items():
            (folder / name).write_text(text)
        found[mount["mountPath"]] = str(folder)
    return found


def _content(volume: Mapping[str, Any], here: Here) -> Mapping[str, str]:
    """The files of a volume. Claims and images are empty here: ``Here.files`` fills them."""
    match volume:
        case {"configMap": {"name": name, "optional": True}}:
            return here.config_maps.get(name, {})
        case {"configMap": {"name": name}}:
            return here.config_maps[name]
        case {"secret": {"secretName": name}}:
            return here.secrets[name]
        case {"emptyDir": _} | {"persistentVolumeClaim": _} | {"image": _}:
            return {}
        case _ if has_token(volume):
            return {}  # who has a token finds it by KUBECONFIG
        case _:
            raise AssertionError(f"this volume is not understood here: {volume}")


def has_token(volume: Mapping[str, Any]) -> bool:
    """Whether a token of the pod's account is in it."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return any("serviceAccountToken" in one for one in sources)


def _here(
    word: str, ports: Mapping[str, str], paths: Mapping[str, str], services: Mapping[str, str]
) -> str:
    """One argument, with what it names on the cluster put in its place on this machine."""
    flag, sign, value = word.rpartition("=")
    if flag in ("--port", "--copies-port"):
        return f"{flag}{sign}{ports[value]}"
    for path, folder in sorted(paths.items(), reverse=True):
        if value == path or value.startswith(f"{path}/"):
            return f"{flag}{sign}{folder}{value.removeprefix(path)}"
    return URL.sub(lambda found: f"http://{services[found[1]]}", word)


def kept_port() -> socket.socket:
    """Keeps a port for whoever inherits it, as long as that lives: a process that reuses addresses
    can listen there beside it, and the kernel gives the port to nobody else.
    """
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((HOST, 0))
    return one
