"""The watcher's objects in a real API server, and its pod's command as a real process."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Rendering
from manifests.render import render
from pipelines.targets.kubernetes.watching import watcher_objects, watcher_secret
from release.ledger import open_ledger
from release.state import StateFolder
from tests.cluster.client import Cluster
from tests.manifests.making import release, rendering, settings, spec
from tests.serving.pods import kept_port

ROOT = Path(__file__).resolve().parents[3]
MAY = (
    ("patch", "httproutes.gateway.networking.k8s.io/assist"),
    ("create", "deployments.apps"), ("delete", "deployments.apps"), ("list", "pods"),
    ("patch", "services"), ("delete", "configmaps"),
    ("delete", "horizontalpodautoscalers.autoscaling"), ("delete", "scaledobjects.keda.sh"),
    ("delete", "poddisruptionbudgets.policy"),
    ("update", "leases.coordination.k8s.io/assist-watcher"),
    ("patch", "leases.coordination.k8s.io/assist-greenlight"),
    ("create", "leases.coordination.k8s.io"), ("delete", "secrets/assist-watcher-keys"),
)  # fmt: skip
MAY_NOT = (
    ("get", "secrets"), ("get", "secrets/assist-watcher-keys"), ("delete", "secrets/another"),
    ("create", "secrets"), ("patch", "httproutes.gateway.networking.k8s.io/another"),
    ("delete", "httproutes.gateway.networking.k8s.io/assist"),
    ("update", "httproutes.gateway.networking.k8s.io/assist"),
    ("create", "persistentvolumeclaims"), ("patch", "persistentvolumeclaims"),
    ("delete", "persistentvolumeclaims"), ("list", "persistentvolumeclaims"),
    ("update", "leases.coordination.k8s.io/another"), ("create", "pods"), ("create", "pods/exec"),
    ("patch", "roles.rbac.authorization.k8s.io"), ("create", "serviceaccounts/token"),
    ("delete", "namespaces"), ("list", "nodes"),
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> StateFolder:
    """The state of the machine that ships, with keys."""
    state = StateFolder(tmp_path / "machine")
    open_ledger(state, "assist")
    return state


@pytest.fixture
def here(cluster: Cluster, machine: StateFolder) -> Iterator[Rendering]:
    """An environment whose watcher is in the cluster, as a target puts it there."""
    with cluster.namespace({"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        one = rendering(release(), given=settings(namespace=name, priority="none"))
        objects = [each.object for each in watcher_objects(one, spec(one.settings))]
        done = cluster.apply(watcher_secret(one, machine), *objects, namespace=name)
        assert done.code == 0, done.err
        assert "Warning" not in done.err
        yield one


def within(seconds: float, there: Callable[[], object], said: Callable[[], str]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, said()
        time.sleep(0.2)


def test_both_pods_are_taken_by_a_namespace_that_holds_to_the_restricted_standard(
    cluster: Cluster, here: Rendering
) -> None:
    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cluster.read("pods", f"--namespace={here.namespace}")["items"]
        return found

    within(60, lambda: len(pods()) == 2, lambda: cluster.must("get", "events", "-A"))

    assert {one["spec"]["serviceAccountName"] for one in pods()} == {"assist-watcher"}


def test_its_account_may_what_a_return_does_and_nothing_else(
    cluster: Cluster, here: Rendering
) -> None:
    """As the API server itself judges the role."""
    account = f"--as=system:serviceaccount:{here.namespace}:assist-watcher"
    namespace = f"--namespace={here.namespace}"

    def may(verb: str, what: str) -> bool:
        return cluster.ask("auth", "can-i", verb, what, namespace, account).out.strip() == "yes"

    assert [one for one in MAY if not may(*one)] == []
    assert [one for one in MAY_NOT if may(*one)] == []
    assert cluster.ask("auth", "can-i", "list", "pods", account).out.strip() == "no"


@contextmanager
def as_in_its_pod(
    cluster: Cluster, here: Rendering, machine: StateFolder, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """The pod's command with its arguments, files where the mounts are, as its account."""
    (deployment,) = (o.object for o in watcher_objects(here, spec(here.settings)) if o.kind == "Deployment")  # fmt: skip  # noqa: E501
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    (config,) = (o.object for o in watcher_objects(here, spec(here.settings)) if o.kind == "ConfigMap")  # fmt: skip  # noqa: E501
    for mount in ("spec", "keys"):
        (folder / mount).mkdir(parents=True)
    (folder / "spec" / "llm.yaml").write_text(config["data"]["llm.yaml"])
    for name, data in watcher_secret(here, machine)["data"].items():
        (folder / "keys" / name).write_bytes(base64.b64decode(data))
    token = cluster.must("create", "token", "assist-watcher", f"--namespace={here.namespace}")
    access = json.loads(cluster.kubeconfig.read_text())
    access["users"][0]["user"] = {"token": token.strip()}
    (folder / "kubeconfig").write_text(json.dumps(access))
    log = folder / "log"
    with log.open("ab") as output, kept_port() as door:  # the pod's own is in use in every pod
        port: int = door.getsockname()[1]
        moved = {"/etc/greenlight": str(folder), "/tmp/": f"{folder}/", "8081": str(port)}
        arguments = [_moved(one, moved) for one in container["args"]]
        process = subprocess.Popen(
            [sys.executable, *container["command"][1:], *arguments], cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder),
                 "KUBECONFIG": str(folder / "kubeconfig")},
            stdout=output, stderr=output, pass_fds=[door.fileno()],
        )  # fmt: skip
    try:
        yield process, port, log
    finally:
        process.kill()
        process.wait()


def _moved(word: str, places: dict[str, str]) -> str:
    flag, _, value = word.partition("=")
    for old, new in places.items():
        if value.startswith(old):
            return f"{flag}={new}{value.removeprefix(old)}"
    return word


def passes(port: int, path: str = "/alive") -> bool:
    """Whether a probe passes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_the_pods_command_is_elected_with_its_accounts_rights_and_says_once_what_fails(
    cluster: Cluster, here: Rendering, machine: StateFolder, tmp_path: Path
) -> None:
    """S06: its store cannot be reached from here. Both are alive and none is ready; told to go,
    they go.
    """
    with (
        as_in_its_pod(cluster, here, machine, tmp_path / "a") as (first, port, log),
        as_in_its_pod(cluster, here, machine, tmp_path / "b") as (second, other, waits),
    ):
        within(90, lambda: "leads" in log.read_text() + waits.read_text(), log.read_text)
        within(90, lambda: passes(port) and passes(other), log.read_text)
        within(90, lambda: "expected" in log.read_text() + waits.read_text(), log.read_text)
        time.sleep(3)  # for turns that fail again
        ready = [passes(one, "/ready") for one in (port, other)]
        codes = []
        for process in (first, second):
            process.terminate()
            codes.append(process.wait(60))

    said = log.read_text() + waits.read_text()
    assert codes == [0, 0], said
    told = [one.read_text().count("expected an identity") for one in (log, waits)]
    assert ready == [False, False], said
    assert max(told) <= 2, said  # its turn says it once, and its look; whoever leads later, too
    assert "PRIVATE" not in said


def test_without_a_rendering_of_its_own_the_environment_is_as_it_was() -> None:
    """A watcher adds to what serves, and changes nothing of it."""
    one = rendering(release())
    serving = {(each.kind, each.name) for each in render(one)}

    assert not serving & {(each.kind, each.name) for each in watcher_objects(one, spec())}
