"""The tests' gateway routes real requests to real pods, and says what it follows."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.client import Cluster
from tests.cluster.dataplane import DataPlane
from tests.cluster.fixtures import Plane
from tests.cluster.objects import backends, deployment, put, route, service
from tests.cluster.shipping import ready
from tests.serving.making import eventually

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(plane: DataPlane, path: str = "/", body: bytes | None = None, **headers: str) -> bytes:
    """One whole answer."""
    asked = urllib.request.Request(plane.url + path, body, headers)
    with _DIRECT.open(asked, timeout=60) as answer:
        found: bytes = answer.read()
    return found


def code(plane: DataPlane, path: str = "/") -> int:
    """The status of an answer."""
    try:
        ask(plane, path)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def follow(cluster: Cluster, plane: DataPlane, *rules: Mapping[str, Any]) -> None:
    """Put the route, and wait until the gateway says that it is in force."""
    put(cluster, plane.namespace, route(plane.settings["gateway"], *rules))
    eventually(lambda: follows(cluster, plane), "the route is in force", 60)


def follows(cluster: Cluster, plane: DataPlane) -> bool:
    """Whether the newest generation is accepted."""
    one = told(cluster, plane)
    return one == {"Accepted": ("True", True), "ResolvedRefs": ("True", True)}


def told(cluster: Cluster, plane: DataPlane) -> dict[str, tuple[str, bool]]:
    """Condition → its status, and whether it is about the newest generation."""
    one = cluster.read("httproute", "echo", f"--namespace={plane.namespace}")
    generation = one["metadata"]["generation"]
    return {
        each["type"]: (each["status"], each["observedGeneration"] == generation)
        for parent in one.get("status", {}).get("parents", ())
        for each in parent["conditions"]
    }


@pytest.fixture
def plane(cluster: Cluster, data_plane: Plane) -> DataPlane:
    """With the pods ``blue`` and ``green``."""
    one = data_plane()
    both = [made for name in ("blue", "green") for made in (deployment(name), service(name))]
    put(cluster, one.namespace, *both)
    ready(cluster, one.namespace)
    return one


def logs(plane: DataPlane, app: str) -> str:
    """What the pods of ``app`` have said."""
    return "".join(one.log for one in plane.pods().values() if one.labels["app"] == app)


def test_requests_go_where_the_weights_say(cluster: Cluster, plane: DataPlane) -> None:
    """With their bodies; a new generation is in force once it is reported."""
    follow(cluster, plane, {"backendRefs": backends(blue=70, green=30)})
    assert Counter(ask(plane, "/", b"hi") for _ in range(10)) == {b"blue hi": 7, b"green hi": 3}

    follow(cluster, plane, {"backendRefs": backends(blue=0, green=100)})
    assert {ask(plane) for _ in range(5)} == {b"green"}


def test_what_cannot_be_routed_is_refused_as_the_gateway_api_says(
    cluster: Cluster, plane: DataPlane
) -> None:
    """No route 404; no weight and no such Service 500; no pod and no answer 503."""
    assert code(plane) == 404
    follow(cluster, plane, {"backendRefs": backends(blue=0)})
    assert code(plane) == 500

    put(
        cluster, plane.namespace, route(plane.settings["gateway"], {"backendRefs": backends(red=1)})
    )
    no = {"Accepted": ("True", True), "ResolvedRefs": ("False", True)}
    eventually(lambda: told(cluster, plane) == no, "it says that there is no red", 60)
    assert code(plane) == 500

    follow(cluster, plane, {"backendRefs": backends(blue=1)})
    where = (f"--namespace={plane.namespace}", "--timeout=60s")
    cluster.must("scale", "deployment/blue", "--replicas=0", where[0])
    cluster.must("wait", "--for=delete", "pod", "--selector=app=blue", *where)
    eventually(lambda: code(plane) == 503, "nobody is there", 60)


def test_an_answer_that_breaks_off_is_seen_to(cluster: Cluster, plane: DataPlane) -> None:
    """It is not taken for a whole one."""
    follow(cluster, plane, {"backendRefs": backends(blue=1)})

    with pytest.raises((http.client.HTTPException, OSError)):
        ask(plane, "/break")


def test_a_stream_ends_where_it_began(cluster: Cluster, plane: DataPlane) -> None:
    """Though the weights have turned and its pod has to go meanwhile."""
    follow(cluster, plane, {"backendRefs": backends(blue=1, green=0)})
    answer = _DIRECT.open(plane.url + "/for/3", timeout=60)
    first = answer.read(5)

    follow(cluster, plane, {"backendRefs": backends(blue=0, green=1)})
    cluster.must("scale", "deployment/blue", "--replicas=0", f"--namespace={plane.namespace}")

    assert ask(plane) == b"green"
    with answer:
        assert (first + answer.read()).endswith(b"end")
    assert answer.headers["x-pod"] == "blue"


def test_a_mirror_gets_copies_and_answers_nobody(cluster: Cluster, plane: DataPlane) -> None:
    """Every second request, with its body."""
    mirror = {"backendRef": {"name": "green", "port": 80}, "percent": 50}
    filters = [{"type": "RequestMirror", "requestMirror": mirror}]
    follow(cluster, plane, {"backendRefs": backends(blue=1), "filters": filters})

    assert {ask(plane, f"/{number}", b"x") for number in range(10)} == {b"blue x"}

    eventually(lambda: logs(plane, "green").count("POST") == 5, "the copies", 60)
    assert logs(plane, "blue").count("POST") == 10


def test_a_gateway_that_is_stuck_follows_nothing_and_says_nothing(
    cluster: Cluster, plane: DataPlane
) -> None:
    """Until it goes on, with the newest."""
    follow(cluster, plane, {"backendRefs": backends(blue=1)})
    plane.gateway.stuck = True
    put(
        cluster,
        plane.namespace,
        route(plane.settings["gateway"], {"backendRefs": backends(green=1)}),
    )

    assert ask(plane) == b"blue"
    assert told(cluster, plane)["Accepted"] == ("True", False)

    plane.gateway.stuck = False
    eventually(lambda: follows(cluster, plane), "it goes on", 60)
    assert ask(plane) == b"green"


def test_a_gateway_that_refuses_says_why_and_keeps_what_it_had(
    cluster: Cluster, plane: DataPlane
) -> None:
    """The reason is in the route's status, for the generation that is refused."""
    follow(cluster, plane, {"backendRefs": backends(blue=1)})
    plane.gateway.refuse("UnsupportedValue")
    put(
        cluster,
        plane.namespace,
        route(plane.settings["gateway"], {"backendRefs": backends(green=1)}),
    )

    no = ("False", True)
    eventually(lambda: told(cluster, plane)["Accepted"] == no, "it says no", 60)
    one = cluster.read("httproute", "echo", f"--namespace={plane.namespace}")
    assert one["status"]["parents"][0]["conditions"][0]["reason"] == "UnsupportedValue"
    assert ask(plane) == b"blue"

    plane.gateway.refuse("")
    eventually(lambda: follows(cluster, plane), "it follows again", 60)


def test_the_gateway_says_where_it_is(cluster: Cluster, plane: DataPlane) -> None:
    """An address and a port that answer, and that it is programmed."""
    gateway = plane.settings["gateway"]
    one = cluster.read("gateway", gateway["name"], f"--namespace={gateway['namespace']}")

    (address,), (listener,) = one["status"]["addresses"], one["spec"]["listeners"]
    assert plane.url == f"http://{address['value']}:{listener['port']}"
    assert {each["type"]: each["status"] for each in one["status"]["conditions"]} == {
        "Accepted": "True", "Programmed": "True",
    }  # fmt: skip
