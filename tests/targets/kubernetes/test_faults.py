"""What goes wrong in a cluster, injected for real: its outcome, and what is said (docs/faults.md).

Each test ends with the same call again, where that is what ends the fault.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.observe import Look, measure_window
from pipelines.targets.base import DeployFailedError, PlatformError
from pipelines.targets.kubernetes import ground as grounds
from pipelines.targets.kubernetes.refusals import (
    ApiError,
    DeniedError,
    FullError,
    MissingError,
    OwnedError,
    UnreachableError,
)
from pipelines.targets.kubernetes.slots import Patience
from release.errors import FAILED, WAITING, GreenlightError, Waiting
from release.rollout_section import Analysis
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.cluster.machine import EveryImage
from tests.cluster.nodes import GPU, gpu_node
from tests.cluster.wire import Wire, wired
from tests.manifests.making import IMAGE, VLLM_IMAGE, vllm_release
from tests.serving.making import eventually
from tests.targets.kubernetes import faulty
from tests.targets.kubernetes.bed import APP, KubernetesBed, provisioned
from tests.targets.kubernetes.faulty import (
    InBackground,
    by_wire,
    elsewhere,
    every_write,
    patient,
    users_notice_nothing,
    waiting_for,
)

PATIENT = Patience(ready=120.0, tolerated=60.0)
BRIEF = Patience(ready=120.0, tolerated=1.0)
HASTY = Patience(ready=10.0, tolerated=60.0)
HANG = (sys.executable, "-c", "import time; time.sleep(1000)")
CRASH = (sys.executable, "-c", "import sys; print('the weights are not GGUF'); sys.exit(1)")


@pytest.fixture(scope="module")
def environment(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[KubernetesBed]:  # fmt: skip
    """Provisioned, with a blue that has all traffic."""
    program, folder = found(pytestconfig, provide_prometheus), tmp_path_factory.mktemp("faults")
    with provisioned(cluster, program, folder, standin, PATIENT) as bed:
        bed.target.deploy("blue", bed.release("one"), 1)
        bed.target.expose({"blue": 100}, 1)
        yield bed


@pytest.fixture
def bed(environment: KubernetesBed, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesBed]:
    """With nobody in green; the machine and the gateway are well again afterwards."""
    monkeypatch.setenv("KUBECONFIG", str(environment.cluster.kubeconfig))
    plane, commands = environment.plane, environment.plane.machine.commands
    yield environment
    plane.machine.images, plane.machine.commands = EveryImage(), commands
    plane.gateway.stuck = False
    plane.gateway.refuse("")
    environment.target.expose({"blue": 100}, environment.fence())
    environment.target.retire("green", 0.0, environment.fence())


def test_another_manager_of_a_deployments_field_is_named(bed: KubernetesBed) -> None:
    """Exit 1, the slot as it was, and nobody's release is judged."""
    bed.target.deploy("green", bed.release("two"), bed.fence())
    green = ("Deployment", f"{APP}-green", bed.plane.namespace)
    faulty.owns(bed.cluster, *green, {"revisionHistoryLimit": 7})

    with pytest.raises(
        OwnedError, match=r"\.spec\.revisionHistoryLimit belongs to somebody"
    ) as told:
        bed.target.deploy("green", bed.release("three"), bed.fence())

    assert told.value.exit_code == FAILED
    assert isinstance(told.value, PlatformError)
    now = bed.target.facts().slots["green"]
    assert (now.release, now.state) == (bed.release("two").digest, "ready")
    faulty.owns(bed.cluster, *green, {})
    bed.target.deploy("green", bed.release("three"), bed.fence())


def test_another_manager_of_the_route_is_named(bed: KubernetesBed) -> None:
    """Exit 1 with the weights as they are."""
    bed.target.deploy("green", bed.release("two"), bed.fence())
    route = bed.target.ground.route_now()
    assert route
    name = ("HTTPRoute", APP, bed.plane.namespace)
    faulty.owns(bed.cluster, *name, {"rules": route["spec"]["rules"]})

    with pytest.raises(OwnedError, match=r"\.spec\.rules belongs to somebody") as told:
        bed.target.expose({"green": 100}, bed.fence())

    assert isinstance(told.value, PlatformError)
    users_notice_nothing(bed)
    faulty.owns(bed.cluster, *name, {})
    bed.target.expose({"green": 100}, bed.fence())
    assert dict(bed.target.facts().weights) == {"green": 100}


def test_a_namespace_that_is_deleted_in_mid_deploy_ends_it(
    bed: KubernetesBed, namespace: str
) -> None:
    """At once, exit 1 with its name; the release is not judged."""
    target = elsewhere(bed, namespace)
    deploying = InBackground(lambda: target.deploy("green", bed.release("two"), 1))
    eventually(lambda: target.facts().slots, "the deploy has begun", 60)
    bed.cluster.must("delete", "namespace", namespace, "--wait=false")

    with pytest.raises(GreenlightError, match=namespace) as told:
        deploying.end()

    assert not isinstance(told.value, DeployFailedError)
    assert told.value.exit_code == FAILED
    assert "took it away" in str(told.value) or isinstance(told.value, MissingError)


ANYTHING = {"apiGroups": ["*"], "verbs": ["*"], "resources": [
    "leases", "httproutes", "deployments", "pods", "priorityclasses"]}  # fmt: skip
LOOK = {"apiGroups": [""], "verbs": ["get"], "resources": ["namespaces"]}
STRANGERS: dict[str, tuple[list[Any], type[ApiError], str]] = {
    "who may not look either": ([ANYTHING], MissingError, 'namespaces "{}" not found. Make it'),
    "who may look": (
        [ANYTHING, LOOK], DeniedError, 'cannot patch resource "namespaces".* Ask whoever keeps',
    ),
    "who may do nothing": ([], DeniedError, 'cannot get resource "leases".* Ask whoever keeps'),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGERS)
def test_a_namespace_that_is_missing_and_may_not_be_made_is_told(
    bed: KubernetesBed, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """By its name, or by the right that is missing."""
    rules, kind, says = STRANGERS[case]
    missing = f"greenlight-{uuid.uuid4().hex[:8]}"
    with faulty.someone(bed.cluster, namespace, tmp_path, rules) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))

        with pytest.raises(kind, match=says.format(missing)) as told:
            elsewhere(bed, missing).provision(1)

    assert isinstance(told.value, PlatformError)


def test_s04_a_quota_without_room_for_a_pod_is_waited_for(bed: KubernetesBed) -> None:
    """Exit 4 with the numbers, and not the release's fault. With room the same call ends."""
    fence = bed.fence()
    with faulty.full(bed.cluster, bed.plane.namespace, "pods"):
        says = "exceeded quota: no-pods, requested: pods=1, used: pods=2, limited: pods=0"
        with pytest.raises(Waiting, match=f"{says}.* What ends it: room for it") as told:
            patient(bed, HASTY).deploy("green", bed.release("two"), fence)
        green = bed.target.facts().slots["green"]
        assert (green.state, says in green.reason) == ("starting", True), green

    assert told.value.exit_code == WAITING
    users_notice_nothing(bed)
    bed.target.deploy("green", bed.release("two"), fence)


def test_s04_a_quota_without_room_for_an_object_is_waited_for(bed: KubernetesBed) -> None:
    """Exit 4 here too."""
    fence = bed.fence()
    with (
        faulty.full(bed.cluster, bed.plane.namespace, "services"),
        pytest.raises(
            FullError, match=r"exceeded quota: no-services, .*limited: services=0"
        ) as told,
    ):
        bed.target.deploy("green", bed.release("two"), fence)

    assert told.value.exit_code == WAITING
    bed.target.deploy("green", bed.release("two"), fence)


def test_an_image_that_cannot_be_had_fails_the_deploy(bed: KubernetesBed) -> None:
    """After what is tolerated, with the image and the registry's words."""
    bed.plane.machine.images = ()

    with pytest.raises(DeployFailedError, match=f"the image {IMAGE} cannot be had: Back-off pull"):
        patient(bed, BRIEF).deploy("green", bed.release("two"), bed.fence())

    assert bed.target.facts().slots["green"].state == "failed"
    users_notice_nothing(bed)


def test_an_image_that_comes_back_in_time_is_waited_for(bed: KubernetesBed) -> None:
    """A registry that is away for a moment says nothing of the release."""
    bed.plane.machine.images = ()
    deploying = InBackground(lambda: bed.target.deploy("green", bed.release("two"), bed.fence()))
    eventually(lambda: waiting_for(bed, "ImagePullBackOff"), "it cannot be had", 60)

    bed.plane.machine.images = EveryImage()

    deploying.end()
    assert bed.target.facts().slots["green"].state == "ready"


def test_s06_a_pod_that_never_gets_ready_says_what_it_was_at(bed: KubernetesBed) -> None:
    """At the deadline."""
    bed.plane.machine.commands = {"python": HANG}

    says = "is not ready yet: it runs since .*, and its startup probe does not pass"
    with pytest.raises(DeployFailedError, match=says):
        patient(bed, HASTY).deploy("green", bed.release("two"), bed.fence())

    users_notice_nothing(bed)


def test_a_pod_that_crashes_says_its_last_words(bed: KubernetesBed) -> None:
    """Those that it has logged."""
    bed.plane.machine.commands = {"python": CRASH}

    with pytest.raises(DeployFailedError, match=r"exit code 1.*: the weights are not GGUF"):
        patient(bed, BRIEF).deploy("green", bed.release("two"), bed.fence())

    assert "the weights are not GGUF" in bed.target.facts().slots["green"].reason


def test_s01_a_live_slot_whose_pods_have_died_fails_its_window_though_nobody_counts(
    bed: KubernetesBed,
) -> None:
    """The gateway answers its users with errors, and they are in no pod's counts."""
    bed.target.deploy("green", bed.release("two"), bed.fence())
    bed.target.expose({"green": 100}, bed.fence())
    bed.plane.machine.commands = {"python": CRASH}
    for name, pod in bed.plane.pods().items():
        if name.startswith(f"{APP}-green"):
            pod.process.kill()
    eventually(lambda: not bed.target.facts().slots["green"].reachable, "it is out")

    look = Look("soak", bed.target, "green", "blue", 100, Analysis(interval=2.0))
    (found,) = asyncio.run(measure_window(look, None)).verdicts

    assert (found.metric, found.outcome) == ("answers", "fail")
    assert "the weights are not GGUF" in found.reason
    assert bed.target.facts().slots["blue"].reachable


def test_s20_a_node_without_its_gpu_is_no_room(bed: KubernetesBed) -> None:
    """It is registered and ready, and named."""
    pool = f"pool{uuid.uuid4().hex[:6]}"
    server = bed.target.ground.settings.server.model_copy(update={"image": VLLM_IMAGE})
    section = server.model_validate({**server.model_dump(), "gpu": {"count": 1, "pool": pool}})
    target = elsewhere(bed, bed.plane.namespace, server=section)
    node = gpu_node(f"{pool}-1", pool, 0)
    node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] = pool
    with bed.cluster.nodes(node):
        room = target.room(vllm_release())

    assert room
    assert room.verdict == "wait"
    assert f"node {pool}-1 is ready for " in str(room.notes)
    assert f"offers no {GPU} yet" in str(room.notes)


def test_a_policy_that_refuses_the_deployment_is_told(bed: KubernetesBed) -> None:
    """In its own words, as nothing that another try would turn."""
    with (
        faulty.forbidden(bed.cluster, bed.plane.namespace, "deployments"),
        pytest.raises(DeniedError, match=r"say whose it is\. Do as it says") as told,
    ):
        bed.target.deploy("green", bed.release("two"), bed.fence())

    assert "green" not in bed.target.facts().slots
    assert isinstance(told.value, PlatformError)


def test_a_policy_that_refuses_the_pods_fails_the_deploy(bed: KubernetesBed) -> None:
    """In its own words."""
    with (
        faulty.forbidden(bed.cluster, bed.plane.namespace, "pods"),
        pytest.raises(DeployFailedError, match=f"no pod of {APP}-green.*say whose it is"),
    ):
        patient(bed, BRIEF).deploy("green", bed.release("two"), bed.fence())


def test_a_webhook_that_does_not_answer_for_a_deployment_is_told(bed: KubernetesBed) -> None:
    """Nobody's release is judged; once it answers, the same call ends."""
    fence = bed.fence()
    with (
        faulty.unanswered(bed.cluster, bed.plane.namespace, "deployments"),
        pytest.raises(ApiError, match=r'failed calling webhook "whose.example.com".*has to answer'),
    ):
        bed.target.deploy("green", bed.release("two"), fence)

    bed.target.deploy("green", bed.release("two"), fence)


def test_a_webhook_that_does_not_answer_for_pods_is_waited_for(bed: KubernetesBed) -> None:
    """Exit 4: it is the cluster that is not in order."""
    with (
        faulty.unanswered(bed.cluster, bed.plane.namespace, "pods"),
        pytest.raises(
            Waiting, match=r"failed calling webhook.* What ends it: the cluster in order"
        ),
    ):
        patient(bed, HASTY).deploy("green", bed.release("two"), bed.fence())

    assert bed.target.facts().slots["green"].state == "starting"


@pytest.fixture
def wire(bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Between Greenlight and the API server. The pods and the gateway have their own."""
    with wired(bed.cluster.kubeconfig, tmp_path) as (wire, path):
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield wire


def test_an_api_server_that_is_away_for_a_while_is_waited_for(
    bed: KubernetesBed, wire: Wire
) -> None:
    """Whatever is just being done."""
    for call in every_write(bed, by_wire(bed, 60.0)):
        wire.cut()
        going = InBackground(call)
        going.join(2.0)
        assert going.is_alive()
        wire.mend()
        going.end()

    users_notice_nothing(bed)
    assert set(bed.target.facts().slots) == {"blue"}


def test_an_api_server_that_goes_in_mid_deploy_and_stays_away_is_told(
    bed: KubernetesBed, wire: Wire
) -> None:
    """Exit 1, nobody is judged, and the same call finishes what is half done."""
    target, fence = by_wire(bed, 1.0), bed.fence()
    bed.plane.machine.images = ()
    deploying = InBackground(lambda: target.deploy("green", bed.release("two"), fence))
    eventually(lambda: waiting_for(bed, "ImagePullBackOff"), "it has begun", 60)
    wire.cut()

    with pytest.raises(UnreachableError, match="the API server does not answer") as told:
        deploying.end()

    assert isinstance(told.value, PlatformError)
    assert not target.facts().provisioned
    wire.mend()
    bed.plane.machine.images = EveryImage()
    target.deploy("green", bed.release("two"), fence)


def test_an_api_server_that_is_away_keeps_the_weights(bed: KubernetesBed, wire: Wire) -> None:
    """Nothing is guessed of slots that cannot be seen."""
    target, fence = by_wire(bed, 0.5), bed.fence()
    bed.target.deploy("green", bed.release("two"), fence)
    wire.cut()

    with pytest.raises(UnreachableError, match="does not answer"):
        target.expose({"green": 100}, fence)

    users_notice_nothing(bed)
    wire.mend()
    target.expose({"green": 100}, fence)


GATEWAYS: dict[str, tuple[Callable[[Any], None], str]] = {
    "is stuck": (lambda one: setattr(one, "stuck", True), "has not seen its last change yet"),
    "refuses": (lambda one: one.refuse("UnsupportedValue"), "does not take it: .*told to refuse"),
}


@pytest.mark.parametrize("case", GATEWAYS)
def test_a_gateway_that_does_not_follow_the_route_is_told(
    bed: KubernetesBed, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The route says the new weights, ``facts`` why they are not in force; blue answers still."""
    happens, says = GATEWAYS[case]
    monkeypatch.setattr(grounds, "ACCEPTED_SECONDS", 1.0)
    bed.target.deploy("green", bed.release("two"), bed.fence())
    happens(bed.plane.gateway)

    with pytest.raises(PlatformError, match=f"{APP} is written, but .* {says}"):
        bed.target.expose({"green": 100}, bed.fence())

    facts = bed.target.facts()
    assert (facts.provisioned, dict(facts.weights)) == (True, {"green": 100})
    assert bed.plane.gateway_name in facts.notice
    assert bed.ask() == bed.release("one").label
    bed.plane.gateway.stuck = False
    bed.plane.gateway.refuse("")
    monkeypatch.setattr(grounds, "ACCEPTED_SECONDS", 30.0)
    bed.target.expose({"green": 100}, bed.fence())
    assert bed.ask() == bed.release("two").label


def test_s13_a_prometheus_that_is_away_is_an_error(bed: KubernetesBed) -> None:
    """Never zeros, and nothing that was counted before."""
    bed.ask()
    bed.target.measure("blue")
    bed.prometheus.stop()
    try:
        with pytest.raises(GreenlightError, match=r"Prometheus at .* does not answer"):
            bed.target.measure("blue")
    finally:
        bed.restart()
