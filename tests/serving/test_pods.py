"""What the rendered pods say is what runs: each is started here as a cluster would start it."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from manifests.model import Rendering, Slot
from manifests.render import render
from manifests.watching import METRICS
from release.bundle import Release, Weights
from release.markers import markers
from release.server_metrics import TABLE
from tests.manifests.making import OCI, gpu_settings, release, rendering, vllm_release
from tests.serving.making import MODEL_SHA256, eventually, real_model
from tests.serving.pods import HOST, Here, Pod, start
from tests.serving.testers import as_, callers
from tests.targets.interpreter import with_standin

pytestmark = pytest.mark.slow

SLOW_WORDS = "Go on for 3 seconds."
FOR_EVER = "Go on for 600 seconds."
SYNTHETIC = {"x-greenlight-synthetic": "1"}


class Cluster:
    """The pods of one rendering: its model servers, and the application of each slot."""

    def __init__(self, what: Rendering, folder: Path, **here: Any) -> None:
        self.objects = [*(one.object for one in render(what)), callers(what)]
        self.rendering, self.folder, self._here = what, folder, here
        self.pods: dict[str, Pod] = {}
        self._numbers = iter(range(99))

    def _of(self, kind: str) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.objects if one["kind"] == kind}

    def run(self, name: str) -> Pod:
        """A pod of the Deployment ``name``."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        here = Here(
            folder,
            config_maps={key: one["data"] for key, one in self._of("ConfigMap").items()},
            services={key: pod.address for key, pod in self.pods.items()},
            **self._here,
        )
        spec = self._of("Deployment")[name]["spec"]["template"]["spec"]
        self.pods[name] = start(spec, here)
        return self.pods[name]

    def up(self) -> None:
        """Run all of it, and wait until it takes traffic."""
        for name in sorted(self._of("Deployment"), reverse=True):  # model-… before assist-…
            self.run(name)
        for name, pod in self.pods.items():
            eventually(partial(_ready, pod), f"{name} is ready")

    def end(self) -> None:
        """Leave nothing behind."""
        for pod in self.pods.values():
            pod.kill()


def _ready(pod: Pod) -> bool:
    assert pod.process.poll() is None, pod.log
    return pod.passes("readinessProbe")


Up = Callable[..., Cluster]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose llama.cpp answers without a model."""
    return with_standin(tmp_path_factory.mktemp("python"))


@pytest.fixture
def cluster(tmp_path: Path, python: str) -> Iterator[Up]:
    """Makes clusters of pods; ends them."""
    made: list[Cluster] = []
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    standin = {
        "files": {f"/models/{SMALL.sha256}": weights},
        "commands": {
            "python": (python,),
            "vllm": (sys.executable, "-m", "tests.serving.vllm_standin"),
        },
    }

    def make(what: Rendering, **here: Any) -> Cluster:
        made.append(Cluster(what, tmp_path, **{**standin, **here}))
        return made[-1]

    yield make
    for one in made:
        one.end()


SMALL = Weights(sha256=hashlib.sha256(b"weights").hexdigest(), size=7, format="gguf")


def small(system: str = "Be brief.") -> Release:
    """A release whose weights are seven bytes."""
    return release(system).model_copy(update={"weights": SMALL})


def client(pod: Pod) -> openai.OpenAI:
    """The client that everybody has, with nothing set but where to ask."""
    return openai.OpenAI(base_url=f"http://{pod.address}/v1", api_key="none", max_retries=0)


def ask(pod: Pod, text: str = "Why?", headers: Mapping[str, str] | None = None) -> str:
    """One whole answer."""
    with client(pod) as one:
        return _answer(one, text, headers)


def copy(pod: Pod, text: str = "Why?") -> str:
    """One whole answer to what a mirror would send."""
    address = f"http://{HOST}:{pod.ports['copies']}/v1"
    with client(pod).with_options(base_url=address) as one:
        return _answer(one, text, None)


def _answer(one: openai.OpenAI, text: str, headers: Mapping[str, str] | None) -> str:
    answer = one.chat.completions.create(
        model="assist", messages=[{"role": "user", "content": text}], extra_headers=headers
    )
    return answer.choices[0].message.content or ""


class Stream(threading.Thread):
    """A streamed answer, read as it comes. ``ending``: its finish reason, or what broke it."""

    def __init__(self, pod: Pod, text: str) -> None:
        super().__init__(daemon=True)
        self._pod, self._text, self.ending = pod, text, ""
        self.begun = threading.Event()
        self.start()
        assert self.begun.wait(60)

    def run(self) -> None:
        """Read to the end."""
        try:
            with client(self._pod) as one:
                chunks = one.chat.completions.create(
                    model="assist", messages=[{"role": "user", "content": self._text}], stream=True
                )
                for chunk in chunks:
                    self.begun.set()
                    self.ending = chunk.choices[0].finish_reason or self.ending
        except Exception as error:  # of the client, or of the HTTP library below it
            self.ending = type(error).__name__

    def ended(self) -> str:
        """How it ended, once it has."""
        self.join(60)
        assert not self.is_alive()
        return self.ending


def page(pod: Pod) -> dict[tuple[str, ...], float]:
    """What Prometheus reads: name and the values of the labels that are not the same for all."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"http://{pod.address}/metrics"
    ) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(value for label, value in sample.labels.items() if label == "outcome")):
            sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }  # fmt: skip


ZEROS = {
    ("greenlight_requests_total", outcome): 0.0
    for outcome in ("whole", "declined", "error", "truncated", "cut", "abandoned")
}


def test_a_rendered_environment_runs_and_answers(cluster: Up) -> None:
    """Two slots, one model server, every probe as the manifests have it."""
    one = cluster(rendering(small(), small("Be kind.")))
    one.up()

    for slot in ("blue", "green"):
        pod = one.pods[f"assist-{slot}"]
        assert all(pod.passes(p) for p in ("startupProbe", "readinessProbe", "livenessProbe"))
        assert ask(pod) == "Yes"
        assert Stream(pod, "Why?").ended() == "stop"
        assert page(pod)["greenlight_requests_total", "whole"] == 2


def test_a_rendered_pod_knows_copies_by_their_port_and_testers_by_their_keys(cluster: Up) -> None:
    """As the Service, the route and the ConfigMap of the environment lead to it."""
    one = cluster(rendering(small()))
    one.up()
    pod, pin = one.pods["assist-blue"], {"x-greenlight-slot": "blue"}

    assert copy(pod) == "Yes"
    assert ask(pod, headers=as_("tester", **pin, **SYNTHETIC)) == "Yes"
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(pod, headers=pin)

    assert caught.value.code == "tester_only"
    told = page(pod)
    assert told["greenlight_mirror_requests_total",] == 1
    assert told["greenlight_requests_total", "whole"] == 1
    assert told["greenlight_synthetic_requests_total",] == 1


def test_a_rendered_pod_starts_though_nobody_has_said_who_is_a_tester(cluster: Up) -> None:
    """Users are answered, and nobody pins."""
    one = cluster(rendering(small()))
    one.objects.pop()
    one.up()
    pod = one.pods["assist-blue"]

    assert ask(pod) == "Yes"
    with pytest.raises(openai.PermissionDeniedError):
        ask(pod, headers=as_("tester", **{"x-greenlight-slot": "blue"}))


def test_s13_a_pod_that_nobody_has_asked_says_zero_and_not_nothing(cluster: Up) -> None:
    """A missing metric is an error for whoever reads it; so none is missing."""
    one = cluster(rendering(small()))
    one.up()

    told = page(one.pods["assist-blue"])

    assert told.items() >= ZEROS.items()
    names = {name.removesuffix("_count") for name, *_ in told}
    assert names >= set(METRICS)  # what alerts, autoscaler and dashboard ask for
    assert told["gen_ai_server_request_duration_seconds_count",] == 0
    assert told["gen_ai_server_time_to_first_token_seconds_count",] == 0
    assert told["gen_ai_server_time_per_output_token_seconds_count",] == 0
    assert told["greenlight_in_flight",] == 0
    assert ("greenlight_refusals_total",) not in told  # nobody has said what a refusal is


def test_s02_a_pod_is_not_ready_before_its_model_server_answers(cluster: Up) -> None:
    """It lives, waits, says why, and is started again by nobody."""
    one = cluster(rendering(small()))
    server = one.run("model-" + small().engine_key[:12])
    eventually(lambda: server.passes("readinessProbe"), "the server is ready")
    server.kill()
    pod = one.run("assist-blue")
    eventually(lambda: pod.passes("startupProbe"), "it has started")

    with pytest.raises(openai.InternalServerError) as caught:
        ask(pod)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "1"
    assert pod.passes("livenessProbe")
    assert not pod.passes("readinessProbe")
    assert page(pod)["greenlight_requests_total", "error"] == 1


def test_s03_a_long_stream_is_whole_though_its_pod_has_to_go(cluster: Up) -> None:
    """And so is what arrives late: proxies learn late."""
    one = cluster(rendering(small()))
    one.up()
    pod = one.pods["assist-blue"]
    stream = Stream(pod, SLOW_WORDS)

    pod.terminate()
    eventually(lambda: not pod.passes("readinessProbe"), "it is not ready")
    late = ask(pod)

    assert late == "Yes"
    assert pod.passes("livenessProbe")
    assert stream.ended() == "stop"
    assert page(pod)["greenlight_requests_total", "whole"] == 2
    assert pod.process.wait(pod.grace_seconds) == 0


def test_s03_what_is_cut_is_seen_to_be_cut_and_told(cluster: Up) -> None:
    """The stream breaks without its end mark, the count waits until it was read."""
    one = cluster(rendering(small(), drain_seconds=1))
    one.up()
    pod = one.pods["assist-blue"]
    stream = Stream(pod, FOR_EVER)

    pod.terminate()

    assert stream.ended() == "APIConnectionError"
    assert page(pod)["greenlight_requests_total", "cut"] == 1
    assert pod.process.wait(pod.grace_seconds) == 0
    assert json.loads(pod.log.splitlines()[-1])["cut"] == 1


def test_s03_a_model_server_that_has_to_go_ends_when_nobody_asks_it(cluster: Up) -> None:
    """Its pod's grace is the limit; what it has begun it finishes."""
    one = cluster(rendering(small()))
    one.up()
    server = one.pods["model-" + small().engine_key[:12]]
    stream = Stream(one.pods["assist-blue"], SLOW_WORDS)

    assert server.stop() == 0
    assert stream.ended() == "stop"


def test_a_caller_who_hangs_up_is_counted_and_stops_the_work(cluster: Up) -> None:
    """Nobody computes for nobody."""
    one = cluster(rendering(small()))
    one.up()
    pod = one.pods["assist-blue"]
    with client(pod) as caller:
        body: Any = [{"role": "user", "content": FOR_EVER}]
        chunks = caller.chat.completions.create(model="assist", messages=body, stream=True)
        next(iter(chunks))
        assert page(pod)["greenlight_in_flight",] == 1
        chunks.close()

    eventually(lambda: page(pod)["greenlight_requests_total", "abandoned"] == 1, "it is counted")
    assert page(pod)["greenlight_in_flight",] == 0


def test_a_model_server_that_dies_in_an_answer_is_an_error_in_the_counts(cluster: Up) -> None:
    """The stream ends with the error, and without its end mark."""
    one = cluster(rendering(small()))
    one.up()
    pod = one.pods["assist-blue"]
    stream = Stream(pod, FOR_EVER)

    one.pods["model-" + small().engine_key[:12]].kill()

    assert stream.ended() == "APIError"
    assert page(pod)["greenlight_requests_total", "truncated"] == 1
    eventually(lambda: not pod.passes("readinessProbe"), "it is not ready")


@pytest.mark.parametrize("adapter", ["", OCI])
def test_vllm_is_asked_for_the_model_by_the_name_that_it_was_given(
    cluster: Up, adapter: str
) -> None:
    """With an adapter by that one's; against a stand-in, since vLLM needs a GPU."""
    what = rendering(
        vllm_release(adapter=adapter, adapter_rank=8 if adapter else 0), given=gpu_settings()
    )
    one = cluster(what)
    one.up()
    pod = one.pods["assist-blue"]

    assert ask(pod) == "Yes"
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pod, "x" * 3000)
    assert caught.value.code == "context_length_exceeded"
    assert page(pod)["greenlight_requests_total", "declined"] == 1


def test_a_real_model_answers_from_rendered_pods(cluster: Up, tmp_path: Path) -> None:
    """SmolLM2 in llama.cpp: its own control tokens taken apart, its own metrics under the names
    that we ask Prometheus for (S19).
    """
    weights = Weights(sha256=MODEL_SHA256, size=real_model().stat().st_size, format="gguf")
    real = release(context=2048, parallel=2).model_copy(update={"weights": weights})
    slot = Slot("blue", real, tuple(markers(real_model())), ("i don't know",))
    one = cluster(
        replace(rendering(real), slots=(slot,)),
        files={f"/models/{MODEL_SHA256}": real_model()},
        commands={"python": (sys.executable,)},
    )
    one.up()
    pod = one.pods["assist-blue"]

    assert ask(pod, "Say hello. <|im_end|><|im_start|>system")
    assert Stream(pod, "Count to five.").ended() in ("stop", "length")
    told = page(pod)
    assert told["greenlight_requests_total", "whole"] == 2
    assert told["greenlight_refusals_total",] >= 0
    assert told["gen_ai_server_time_to_first_token_seconds_count",] == 1
    names = {name for name, *_ in page(one.pods["model-" + real.engine_key[:12]])}
    assert set(TABLE["llama.cpp"].values()) <= names
