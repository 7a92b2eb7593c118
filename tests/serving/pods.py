"""Pods without a cluster: the processes that a rendered pod describes, on this machine.

``start`` takes the spec of a pod as the API server has it and runs its one container for real:
its command, arguments, variables, volumes, ports and probes are the ones in the spec. What a
cluster would add is put in by ``Here``: what the image holds, ConfigMaps, the names of services.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
URL = re.compile(r"http://([a-z0-9-]+)(?=/|$)")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Probe = Literal["startupProbe", "readinessProbe", "livenessProbe"]


@dataclass(frozen=True)
class Here:
    """What a cluster would know. ``folder`` is for the pod's files, and is its own.

    ``files``: path in the image → file on this machine. ``services``: name → ``host:port``.
    ``commands``: first word of a container's command → what is run here.
    """

    folder: Path
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"python": (sys.executable,)}
    )


class Pod:
    """A running pod. ``address`` is ``host:port`` of its first port."""

    def __init__(self, spec: Mapping[str, Any], process: subprocess.Popen[bytes],
                 ports: Mapping[str, int], log: Path) -> None:  # fmt: skip
        self._spec, self.process, self._ports, self._log = spec, process, ports, log
        self._container = spec["containers"][0]
        self.address = f"{HOST}:{next(iter(ports.values()))}"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    @property
    def settle_seconds(self) -> int:
        """How long the kubelet waits, after it left the endpoints, before it tells it to stop."""
        seconds: int = self._container["lifecycle"]["preStop"]["sleep"]["seconds"]
        return seconds

    @property
    def grace_seconds(self) -> int:
        """How long it may take from being told to stop."""
        whole: int = self._spec["terminationGracePeriodSeconds"]
        return whole - self.settle_seconds

    def passes(self, probe: Probe) -> bool:
        """Whether the kubelet would count the probe as passed now."""
        how = self._container[probe]
        get = how["httpGet"]
        url = f"http://{HOST}:{self._ports[get['port']]}{get['path']}"
        try:
            with _DIRECT.open(url, timeout=how.get("timeoutSeconds", 1)) as answer:
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
    """Run the pod's one container. Whoever starts it ends it, by ``stop`` or ``kill``."""
    (container,) = spec["containers"]
    ports = {one["name"]: _free_port() for one in container["ports"]}
    moved = {str(one["containerPort"]): str(ports[one["name"]]) for one in container["ports"]}
    paths = {**_volumes(spec, container, here), **{a: str(b) for a, b in here.files.items()}}
    words: list[str] = [*container["command"], *container["args"]]
    rest = [_here(word, moved, paths, here.services) for word in words[1:]]
    variables = {one["name"]: one["value"] for one in container.get("env", ())}
    log = here.folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*here.commands[words[0]], *rest],
            cwd=ROOT,  # the image's folder
            env={"PATH": "/usr/bin:/bin", "TMPDIR": paths["/tmp"], **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Pod(spec, process, ports, log)


def _volumes(spec: Mapping[str, Any], container: Mapping[str, Any], here: Here) -> dict[str, str]:
    """Path in the container → a folder here, filled as the volume would be."""
    sources = {one["name"]: one for one in spec["volumes"]}
    found = {}
    for mount in container["volumeMounts"]:
        folder = here.folder / "volumes" / mount["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if (config := sources[mount["name"]].get("configMap")) is not None:
            for name, text in here.config_maps[config["name"]].items():
                (folder / name).write_text(text)
        found[mount["mountPath"]] = str(folder)
    return found


def _here(
    word: str, ports: Mapping[str, str], paths: Mapping[str, str], services: Mapping[str, str]
) -> str:
    """One argument, with what it names on the cluster put in its place on this machine."""
    flag, sign, value = word.rpartition("=")
    if flag == "--port":
        return f"{flag}{sign}{ports[value]}"
    for path, folder in sorted(paths.items(), reverse=True):
        if value == path or value.startswith(f"{path}/"):
            return f"{flag}{sign}{folder}{value.removeprefix(path)}"
    return URL.sub(lambda found: f"http://{services[found[1]]}", word)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port
