"""A cluster runs while somebody uses it, and ends whatever happens to who used it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster.client import Cluster
from tests.cluster.running import READY, SETTINGS, Settings
from tests.cluster.sharing import ROOT, shared_cluster
from tests.launcher.sandbox import await_true

USER = """
import json, sys, time
from pathlib import Path
from tests.cluster.running import Settings
from tests.cluster.sharing import shared_cluster
settings = Settings(**json.loads(Path(sys.argv[2]).read_text()))
with shared_cluster(Path(sys.argv[1]), settings):
    print("ready", flush=True)
    time.sleep(1000)
"""
HOLDER = """
import sys, time
from pathlib import Path
from tests.cluster.running import Running, Settings
with Running(Path(sys.argv[1]), Settings({"sleep": "/bin/sleep"}, "", "")) as running:
    running.start("sleep", ["1000"])
    print("ready", flush=True)
    time.sleep(1000)
"""


@contextmanager
def another(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs ``program``, once it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def running_in(folder: Path) -> list[str]:
    """The names of live processes that work in ``folder`` or are told about it."""
    found = []
    for process in psutil.process_iter(["name", "cwd", "cmdline", "status"]):
        told = f"{process.info['cwd']} {' '.join(process.info['cmdline'] or [])}"
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if str(folder) in told and alive and process.pid != os.getpid():
            found.append(process.info["name"])
    return found


@pytest.mark.slow
def test_it_outlives_one_user_and_ends_with_the_last(cluster: Cluster, tmp_path: Path) -> None:
    """The one who started it is killed and the other goes on; it leaves, and no process stays."""
    if cluster.real_pods:
        pytest.skip("another cluster is used")
    settings = cluster.kubeconfig.parent / SETTINGS
    folder = tmp_path / "own"
    with another(USER, str(folder), str(settings)) as first:
        with shared_cluster(folder, Settings({}, "", "")) as kubeconfig:
            first.send_signal(signal.SIGKILL)
            first.wait()
            mine = Cluster(cluster.program, kubeconfig, tmp_path / "cache")
            assert "np-1" in mine.must("get", "nodes")
            assert len(running_in(folder)) == 6
        await_true(lambda: running_in(folder) == [], "the end of every part")
    assert not (folder / READY).exists()
    assert not (folder / "data").exists()


def test_parts_die_with_who_started_them(tmp_path: Path) -> None:
    """Also when that one has no time to end them."""
    with another(HOLDER, str(tmp_path)) as holder:
        await_true(lambda: "sleep" in running_in(tmp_path), "the part, which Python makes way for")
        holder.kill()
        await_true(lambda: running_in(tmp_path) == [], "the end of the part")


def test_a_part_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    """To the one who started the cluster, and to all who come later."""
    says = tmp_path / "says"
    says.write_text("#!/bin/sh\necho no room left >&2\nexit 3\n")
    says.chmod(0o755)
    names = ("etcd", "kube-apiserver", "kubectl")
    settings = Settings(dict.fromkeys(names, str(says)), "", "")

    for _ in range(2):
        with (
            pytest.raises(RuntimeError, match=r"ended with 3(.|\n)*no room left"),
            shared_cluster(tmp_path / "own", settings),
        ):
            pass
    await_true(lambda: running_in(tmp_path / "own") == [], "the end of every part")
