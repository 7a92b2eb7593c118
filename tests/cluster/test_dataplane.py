"""What is rendered runs on the tests' cluster, and answers through a gateway."""

from __future__ import annotations

import urllib.error
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from manifests.model import own
from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane, RunningPod
from tests.cluster.fixtures import Plane
from tests.cluster.objects import deployment, put
from tests.cluster.shipping import (
    Stream,
    applied,
    metric,
    placed,
    ready,
    routed,
    slot_of,
    small,
)
from tests.serving.making import eventually
from tests.serving.testers import as_

GREEN = {"x-greenlight-slot": "green"}


def of(plane: DataPlane, slot: str) -> RunningPod:
    """The one pod of a slot."""
    (one,) = (each for each in plane.pods().values() if each.labels.get(own("slot")) == slot)
    return one


def test_a_rendered_environment_gets_ready_and_answers(cluster: Cluster, data_plane: Plane) -> None:
    """Ready means that the application has got an answer of its model server; the gateway
    follows weights and pins, and each pod counts what it answered.
    """
    plane = data_plane()
    applied(cluster, placed(plane, small(), small("Be kind."), weights={"blue": 70, "green": 30}))
    ready(cluster, plane.namespace)
    routed(cluster, plane)

    assert Counter(slot_of(plane) for _ in range(10)) == {"blue": 7, "green": 3}
    assert slot_of(plane, **as_("tester", **GREEN)) == "green"
    assert len(plane.pods()) == 3  # the slots share their model server
    assert metric(of(plane, "blue"), "greenlight_requests_total", outcome="whole") == 7
    assert metric(of(plane, "green"), "greenlight_requests_total", outcome="whole") == 4


def test_s03_a_stream_is_whole_though_its_slot_is_taken_away(
    cluster: Cluster, data_plane: Plane
) -> None:
    """The weights turn, the Deployment is deleted, the pod stays until it has finished."""
    plane = data_plane()
    both = (small(), small("Be kind."))
    applied(cluster, placed(plane, *both, weights={"blue": 100}))
    ready(cluster, plane.namespace)
    routed(cluster, plane)
    stream, pod = Stream(plane, 8), of(plane, "blue")

    applied(cluster, placed(plane, *both, weights={"green": 100}))
    routed(cluster, plane)
    where = f"--namespace={plane.namespace}"
    cluster.must("delete", "deployment/assist-blue", where, "--wait=false")

    assert slot_of(plane) == "green"
    assert (stream.slot, stream.whole()) == ("blue", True)
    gone = ("--for=delete", "pod", "--selector=greenlight.dev/slot=blue", where, "--timeout=120s")
    cluster.must("wait", *gone)
    assert pod.process.returncode == 0


def test_s02_a_release_whose_server_crashes_gets_no_traffic(
    cluster: Cluster, data_plane: Plane, tmp_path: Path
) -> None:
    """Its pods say why; the slot beside it answers. With its weights mended it gets ready."""
    plane = data_plane()
    weights = dict(plane.machine.files)
    applied(cluster, placed(plane, small(), weights={"blue": 100}))
    ready(cluster, plane.namespace)
    (path,) = weights
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"something")
    plane.machine.files = {path: wrong}
    other = small("Be kind.", isolation="dedicated", context=2048)

    what = placed(plane, small(), other, weights={"blue": 100})
    applied(cluster, what)
    server = f"--selector={own('server')}={what.slots[1].server_name}"
    where = f"--namespace={plane.namespace}"
    reason = "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff"
    cluster.must("wait", "--for=create", "pod", server, where, "--timeout=120s")
    cluster.must("wait", f"--for=jsonpath={reason}", "pod", server, where, "--timeout=120s")
    assert cluster.read("deployment", "assist-green", where)["status"].get("readyReplicas", 0) == 0
    routed(cluster, plane)
    assert slot_of(plane) == "blue"

    plane.machine.files = weights
    ready(cluster, plane.namespace)


def test_a_model_server_that_comes_back_elsewhere_is_found(
    cluster: Cluster, data_plane: Plane
) -> None:
    """The application asks by its Service's name, and its pod is not started again."""
    plane = data_plane()
    applied(cluster, placed(plane, small(), weights={"blue": 100}))
    ready(cluster, plane.namespace)
    routed(cluster, plane)
    application = of(plane, "blue").process.pid
    (server,) = (one for one in plane.pods().values() if own("server") in one.labels)

    server.process.kill()

    def back() -> bool:
        (now,) = (one for one in plane.pods().values() if own("server") in one.labels)
        return now.process.pid != server.process.pid

    eventually(back, "another process")
    assert slot_of(plane) == "blue"  # it waits for a model server
    assert of(plane, "blue").process.pid == application


def test_who_is_no_tester_names_no_slot(cluster: Cluster, data_plane: Plane) -> None:
    """The pod refuses what the gateway brought to it, and whoever asks without a pin is a user."""
    plane = data_plane()
    applied(cluster, placed(plane, small(), small("Be kind."), weights={"blue": 100}))
    ready(cluster, plane.namespace)
    routed(cluster, plane)

    for headers in (GREEN, as_("user", **GREEN)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            slot_of(plane, **headers)
        with caught.value as refused:
            assert (refused.code, b"tester_only" in refused.read()) == (403, True)
    assert slot_of(plane, **{"x-greenlight-synthetic": "1"}) == "blue"

    assert metric(of(plane, "green"), "greenlight_requests_total") == 0
    assert metric(of(plane, "blue"), "greenlight_synthetic_requests_total") == 0


def test_a_mirrored_slot_answers_copies(cluster: Cluster, data_plane: Plane) -> None:
    """And none of the callers; its pod knows them for copies."""
    plane = data_plane()
    both = (small(), small("Be kind."))
    applied(cluster, placed(plane, *both, weights={"blue": 100}, mirror={"green": 50}))
    ready(cluster, plane.namespace)
    routed(cluster, plane)

    assert {slot_of(plane) for _ in range(6)} == {"blue"}

    def copies() -> float:
        return metric(of(plane, "green"), "greenlight_mirror_requests_total")

    eventually(lambda: copies() == 3, "the copies are answered")
    assert metric(of(plane, "green"), "greenlight_requests_total") == 0


def test_a_name_of_another_namespace_is_where_the_test_says(
    cluster: Cluster, data_plane: Plane
) -> None:
    """Such as that of Prometheus."""
    plane = data_plane(names={"prometheus.monitoring:9090": "127.0.0.1:1"})
    say = {"command": ["python", "-c", "import sys; print(sys.argv[1])"]}
    ours = {"args": ["--prometheus=http://prometheus.monitoring:9090/api"], "ports": []}
    container = {**say, **ours, "readinessProbe": None}
    put(cluster, plane.namespace, deployment("echo", container=container))

    def told() -> str:
        return "".join(one.log for one in plane.pods().values())

    eventually(lambda: "--prometheus=http://127.0.0.1:1/api" in told(), "the address", 60)


def test_nothing_is_left_when_a_test_fails(
    cluster: Cluster, played: str, tmp_path: Path, standin: str
) -> None:
    """No process, no pod that nobody runs, no Gateway."""
    made = DataPlane(cluster, played, tmp_path / "plane", commands={"python": (standin,)})
    with suppress(ZeroDivisionError), made as plane:
        put(cluster, played, deployment("echo", "--deaf"))
        ready(cluster, played)
        ((name, one),) = plane.pods().items()
        raise ZeroDivisionError

    assert one.process.poll() is not None
    assert "NotFound" in cluster.ask("get", "pod", name, f"--namespace={played}").err
    gateway = made.settings["gateway"]
    where = f"--namespace={gateway['namespace']}"
    assert "NotFound" in cluster.ask("get", "gateway", gateway["name"], where).err
