"""The tests' kubelet does what kubelets do: with pods that start, fail, and have to go."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane, RunningPod
from tests.cluster.fixtures import Plane
from tests.cluster.objects import IMAGE, PROBE, container_status, deployment, pods, put, service
from tests.cluster.shipping import ready
from tests.cluster.test_running import another
from tests.launcher.sandbox import await_true
from tests.serving.making import eventually

HOLDER = """
import sys, time
from pathlib import Path
from tests.serving.pods import Here, start
sleep = "import time; print('up', flush=True); time.sleep(1000)"
container = {"name": "one", "command": ["python"], "args": ["-c", sleep]}
pod = start({"containers": [container]}, Here(Path(sys.argv[1])))
while not pod.log:
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(1000)
"""
PRINT = "import os; print(os.environ['A'], os.environ['B'], os.environ['WHO'], flush=True)"
SAY_SECRET = "import sys; print(open(sys.argv[1].partition('=')[2]).read(), flush=True)"
WATCHER = """
import os, ssl, time, urllib.error, urllib.request, yaml
config = yaml.safe_load(open(os.environ["KUBECONFIG"]))
cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
context = ssl.create_default_context(cafile=cluster["certificate-authority"])
url = f"{cluster['server']}/api/v1/namespaces/{config['contexts'][0]['context']['namespace']}/pods"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
while True:
    try:
        print(urllib.request.urlopen(request, context=context).status, flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
    time.sleep(0.2)
"""


def script(text: str, **container: Any) -> dict[str, Any]:
    """A container that runs ``text`` and has no port."""
    command = {"command": ["python", "-c", text], "args": [], "ports": [], "readinessProbe": None}
    return {**command, **container}


def only(plane: DataPlane) -> RunningPod:
    """The one pod that runs."""
    one: RunningPod
    (one,) = eventually(plane.pods, "a process").values()
    return one


def waits(reason: str) -> Any:
    """Whether a container waits for ``reason``."""
    return lambda one: one["state"].get("waiting", {}).get("reason") == reason


def test_a_pod_is_ready_when_its_probe_passes(cluster: Cluster, data_plane: Plane) -> None:
    """Running at once; ready, and in the endpoints of its Service, by its own answer."""
    plane = data_plane()
    put(cluster, plane.namespace, deployment("echo"), service("echo"))

    ready(cluster, plane.namespace)
    (pod,) = pods(cluster, plane.namespace, "echo")
    assert pod["status"]["phase"] == "Running"
    (told,) = pod["status"]["containerStatuses"]
    assert (told["ready"], told["started"], told["restartCount"]) == (True, True, 0)
    where = ("--selector=kubernetes.io/service-name=echo", f"--namespace={plane.namespace}")
    known = "--for=jsonpath={.endpoints[0].conditions.ready}=true"
    cluster.must("wait", known, "endpointslice", *where, "--timeout=60s")


def test_a_pod_whose_probe_fails_runs_and_is_not_ready(cluster: Cluster, data_plane: Plane) -> None:
    """Nobody starts it again: it has no liveness probe."""
    plane = data_plane()
    probe = {**PROBE, "failureThreshold": 1}
    put(cluster, plane.namespace, deployment("echo", container={"readinessProbe": probe}))
    ready(cluster, plane.namespace)

    only(plane).process.send_signal(signal.SIGSTOP)
    told = container_status(cluster, plane.namespace, "echo", lambda one: not one["ready"])

    assert "running" in told["state"]
    assert told["restartCount"] == 0


def test_a_container_that_ends_is_started_again_with_back_off(
    cluster: Cluster, data_plane: Plane
) -> None:
    """The reason, the exit code and the last words are those that operators look for."""
    plane = data_plane()
    last = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    crash = script("import sys; print('no weights'); sys.exit(3)", **last)
    put(cluster, plane.namespace, deployment("echo", container=crash))

    told = container_status(
        cluster, plane.namespace, "echo",
        lambda one: waits("CrashLoopBackOff")(one) and one["restartCount"],
    )  # fmt: skip

    assert told["lastState"]["terminated"]["exitCode"] == 3
    assert told["lastState"]["terminated"]["message"] == "no weights"
    assert not told["ready"]
    assert "no weights" in only(plane).log


def test_a_container_that_is_killed_comes_back(cluster: Cluster, data_plane: Plane) -> None:
    """In the same pod, on whatever port."""
    plane = data_plane()
    put(cluster, plane.namespace, deployment("echo"))
    ready(cluster, plane.namespace)

    only(plane).process.kill()
    told = container_status(
        cluster, plane.namespace, "echo", lambda one: one["ready"] and one["restartCount"]
    )

    assert told["lastState"]["terminated"]["exitCode"] == 137
    assert told["restartCount"] == 1


def test_a_container_that_lives_no_more_is_started_again(
    cluster: Cluster, data_plane: Plane
) -> None:
    """What hangs is stopped, within its grace, and comes back."""
    plane = data_plane()
    living = {**PROBE, "failureThreshold": 1}
    own = {"startupProbe": PROBE, "livenessProbe": living}
    put(cluster, plane.namespace, deployment("echo", container=own, grace=1))
    ready(cluster, plane.namespace)

    only(plane).process.send_signal(signal.SIGSTOP)

    assert container_status(
        cluster, plane.namespace, "echo", lambda one: one["ready"] and one["restartCount"]
    )


def test_an_image_that_is_not_there_is_waited_for(cluster: Cluster, data_plane: Plane) -> None:
    """With its name in the message; once it is there, the pod starts."""
    plane = data_plane(images=set())
    put(cluster, plane.namespace, deployment("echo"))

    told = container_status(cluster, plane.namespace, "echo", waits("ImagePullBackOff"))
    assert IMAGE in told["state"]["waiting"]["message"]
    assert plane.pods() == {}

    plane.machine.images = {IMAGE}
    ready(cluster, plane.namespace)


def test_a_pod_that_has_to_go_is_in_the_api_until_it_has_stopped(
    cluster: Cluster, data_plane: Plane
) -> None:
    """It leaves by its own exit, which takes until SIGTERM after the preStop sleep."""
    plane = data_plane()
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}
    put(cluster, plane.namespace, deployment("echo", container=hook))
    ready(cluster, plane.namespace)
    one = only(plane)
    where = f"--namespace={plane.namespace}"

    cluster.must("scale", "deployment/echo", "--replicas=0", where)
    gone = "--for=jsonpath={.metadata.deletionTimestamp}"
    cluster.must("wait", gone, "pod", "--selector=app=echo", where, "--timeout=60s")
    assert one.process.poll() is None
    cluster.must("wait", "--for=delete", "pod", "--selector=app=echo", where, "--timeout=60s")

    assert one.process.returncode == 0
    eventually(lambda: plane.pods() == {}, "the plane knows as well", 60)


@pytest.mark.parametrize("how", [(), ("--grace-period=1",), ("--force", "--grace-period=0")])
def test_a_pod_that_does_not_stop_is_killed(
    cluster: Cluster, data_plane: Plane, how: tuple[str, ...]
) -> None:
    """When its grace is over: its own, or the one that the deletion gives it."""
    plane = data_plane()
    grace = 600 if how else 1
    put(cluster, plane.namespace, deployment("echo", "--deaf", grace=grace))
    ready(cluster, plane.namespace)
    ((name, one),) = plane.pods().items()

    cluster.must("scale", "deployment/echo", "--replicas=0", f"--namespace={plane.namespace}")
    if how:
        cluster.ask("delete", "pod", name, "--wait=false", f"--namespace={plane.namespace}", *how)

    eventually(lambda: one.process.poll() is not None, "its end", 60)
    assert one.process.returncode == -signal.SIGKILL


def test_a_pod_gets_its_variables_and_files(cluster: Cluster, data_plane: Plane) -> None:
    """From ConfigMaps and Secrets, which it waits for, and what it asks about itself."""
    plane = data_plane()
    secret: dict[str, Any] = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"},
                              "stringData": {"A": "from a secret"}}  # fmt: skip
    config = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"},
              "data": {"B": "from a map"}}  # fmt: skip
    variables = {
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "A"}}},
            {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "c"}}],
    }
    mounted = {"volumeMounts": [{"name": "s", "mountPath": "/secrets"}], "args": ["--f=/secrets/A"]}
    volumes = [{"name": "s", "secret": {"secretName": "s"}}]
    put(
        cluster, plane.namespace,
        deployment("one", container=script(PRINT, **variables), restartPolicy="Always"),
        deployment("two", container=script(SAY_SECRET, **mounted), volumes=volumes),
    )  # fmt: skip
    container_status(cluster, plane.namespace, "one", waits("ContainerCreating"))

    put(cluster, plane.namespace, secret, config)

    def said(app: str) -> str:
        return "".join(one.log for one in plane.pods().values() if one.labels["app"] == app)

    eventually(lambda: "from a secret from a map one-" in said("one"), "its variables", 60)
    eventually(lambda: "from a secret" in said("two"), "its file", 60)


def test_a_pod_may_do_only_what_its_account_may(cluster: Cluster, data_plane: Plane) -> None:
    """It finds its account's token by KUBECONFIG, and roles are the cluster's own."""
    plane = data_plane()
    where = f"--namespace={plane.namespace}"
    cluster.must("create", "serviceaccount", "watcher", where)
    own: dict[str, Any] = {"serviceAccountName": "watcher", "automountServiceAccountToken": True}
    put(cluster, plane.namespace, deployment("watcher", container=script(WATCHER), **own))
    one = only(plane)

    eventually(lambda: "403" in one.log, "it is refused", 60)
    account = f"--serviceaccount={plane.namespace}:watcher"
    cluster.must("create", "rolebinding", "view", "--clusterrole=view", account, where)
    eventually(lambda: "200" in one.log, "it may", 60)


def test_what_is_not_understood_is_an_error_of_the_test(
    cluster: Cluster, played: str, tmp_path: Path
) -> None:
    """Rather than a pod that runs without what it asked for."""
    strange = [{"name": "all", "projected": {"sources": []}}]
    mounts = {"volumeMounts": [{"name": "all", "mountPath": "/all"}]}
    plane = DataPlane(cluster, played, tmp_path / "plane")
    plane.__enter__()

    put(cluster, played, deployment("echo", container=mounts, volumes=strange))
    container_status(cluster, plane.namespace, "echo", waits("CreateContainerError"))

    with pytest.raises(AssertionError, match="projected"):
        plane.__exit__(None)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_processes_die_with_who_started_them(tmp_path: Path) -> None:
    """Also when that one has no time to end them."""
    with another(HOLDER, str(tmp_path)) as holder:
        (pod,) = psutil.Process(holder.pid).children()
        holder.kill()
        await_true(lambda: not pod.is_running(), "the end of the pod")
