"""S19: every metric that anybody asks for is one that a server really tells, under that name.

The names are taken from the queries themselves, the pages that are read are those of real
processes, and the engine that evaluates the queries is Prometheus' own.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from manifests.watching import METRICS, alerts, dashboard, in_flight
from pipelines.targets.kubernetes import queries
from pipelines.targets.kubernetes.queries import Place
from release.bundle import Weights
from release.server_metrics import TABLE
from tests.cluster.scraping import Prometheus
from tests.manifests.making import release, rendering, settings
from tests.serving.making import MODEL_SHA256, real_model
from tests.serving.pods import Pod
from tests.serving.test_pods import Cluster, Stream, ask
from tests.targets.kubernetes.conftest import telling
from tests.targets.kubernetes.pods import Namespace

PLACE = Place("assist-production", "assist", "blue")
DOCS = Path(__file__).resolve().parents[3] / "docs"
NAME = re.compile(r"(?<![\w/.-])(?:greenlight_|gen_ai_|llamacpp:|vllm:|kube_)\w*[a-z0-9]")
ENDINGS = re.compile(r"_(?:bucket|count|sum)$")

STATE = frozenset({"kube_deployment_status_replicas_available", "kube_deployment_spec_replicas",
                   "kube_deployment_created"})  # fmt: skip
"""What kube-state-metrics tells, by its documentation:
https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/deployment-metrics.md
"""

VLLM = frozenset(TABLE["vllm"].values())
"""By its documentation; there is no GPU here."""

OF_GATEWAY = frozenset({"greenlight_weight", "greenlight_rate_limited_total"})

WATCHED = rendering(release())


def expressions() -> dict[str, str]:
    """Everything that is asked about an application, by what asks."""
    panels = json.loads(dashboard(WATCHED))["panels"]
    return {
        **{f"alert {one.name}": one.query for one in alerts(WATCHED)},
        **{
            f"panel {one['title']}": one["targets"][0]["expr"].replace("$__rate_interval", "1m")
            for one in panels
        },
        "autoscaler": in_flight(WATCHED, "blue"),
        "measuring": queries.counts(PLACE, 60),
        "targets": queries.targets(PLACE),
    }


def told(pod: Pod) -> set[str]:
    """The names of all samples on the pod's own page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{pod.address}/metrics") as answer:
        text = answer.read().decode()
    return {one.name for family in text_string_to_metric_families(text) for one in family.samples}


def named(text: str) -> set[str]:
    """Names of metrics in a query or on a page; of a histogram the name of the whole."""
    return {ENDINGS.sub("", one) for one in NAME.findall(text)}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, Pod]]:
    """A pod of the application and one of llama.cpp at the pinned version, with a real model."""
    weights = Weights(sha256=MODEL_SHA256, size=real_model().stat().st_size, format="gguf")
    with_model = release(context=2048, parallel=2).model_copy(update={"weights": weights})
    cluster = Cluster(
        telling(rendering(with_model)),
        tmp_path_factory.mktemp("pods"),
        files={f"/models/{MODEL_SHA256}": real_model()},
        commands={"python": (sys.executable,)},
    )
    with ExitStack() as ends:
        ends.callback(cluster.end)
        cluster.up()
        yield cluster.pods["assist-blue"], cluster.pods["model-" + with_model.engine_key[:12]]


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(expressions()))
def test_s19_each_name_in_a_query_is_on_a_real_page(what: str, real: tuple[Pod, Pod]) -> None:
    """Of the application or of llama.cpp; of kube-state-metrics by its documentation."""
    asked = named(expressions()[what]) - STATE

    assert asked <= {ENDINGS.sub("", one) for pod in real for one in told(pod)}


@pytest.mark.slow
def test_s19_what_is_measured_and_asked_of_servers_is_on_a_real_page(real: tuple[Pod, Pod]) -> None:
    """Names that a query puts together by a pattern, and those of the table of servers."""
    application, server = map(told, real)
    histograms = {
        f"{one}_{end}" for one in queries.HISTOGRAMS for end in ("bucket", "count", "sum")
    }

    assert {*queries.NUMBERS, *histograms} <= application
    assert set(METRICS) <= {ENDINGS.sub("", one) for one in application}
    assert set(TABLE["llama.cpp"].values()) <= server


@pytest.mark.slow
@pytest.mark.parametrize("page", ["pods.md", "kubernetes.md", "targets.md"])
def test_s19_each_name_on_a_page_of_the_documentation_is_real(
    page: str, real: tuple[Pod, Pod]
) -> None:
    text = (DOCS / page).read_text()

    real_names = {ENDINGS.sub("", one) for pod in real for one in told(pod)}
    assert named(text) <= real_names | VLLM | STATE | OF_GATEWAY


@pytest.mark.slow
def test_s19_every_query_has_an_answer(scraped: Namespace, prometheus: Prometheus) -> None:
    """Parsed and evaluated by Prometheus' own engine over what real pods told it: no query whose
    answer is always empty. What an alert compares is looked at, since it does not fire here.
    """
    pod = scraped.add("blue")
    for _ in range(3):
        ask(scraped.pods[pod])
        assert Stream(scraped.pods[pod], "Why?").ended() == "stop"
        scraped.read()

    for what, query in expressions().items():
        prometheus.ask(query)  # as it is
        if not named(query) & STATE:
            rows = prometheus.ask(re.sub(r" > [\d.]+$", "", query))
            assert rows, f"{what}: {query}"
            assert not [one for one in rows if one["value"][1] == "NaN"], what


@pytest.mark.slow
def test_labels_of_pods_and_of_targets_do_not_clash(
    scraped: Namespace, prometheus: Prometheus
) -> None:
    """``honorLabels`` is off: what both have would be called ``exported_…`` of the pod."""
    scraped.add("blue")

    rows = prometheus.ask('{pod=~"assist-blue.*"}')

    assert rows
    assert not [name for one in rows for name in one["metric"] if name.startswith("exported_")]
    assert {one["metric"].get("slot", "blue") for one in rows} == {"blue"}
    assert {one["metric"]["namespace"] for one in rows} == {"assist-production"}


def test_everything_in_a_query_is_looked_at() -> None:
    """Or a test of names would pass because it found none."""
    found = {what: named(query) for what, query in expressions().items()}

    assert [what for what, names in found.items() if not names] == ["targets"]
    assert set(METRICS) <= set().union(*found.values())
    assert set().union(*found.values()) >= STATE


def test_an_alert_is_about_one_application_alone() -> None:
    """Two may share a namespace, and a name may begin with another's."""
    shared = rendering(release(), given=settings(namespace="shop"))
    pattern = re.search(r'pod=~"([^"]*)"', in_flight(shared, "blue"))

    assert pattern
    assert re.fullmatch(pattern[1], "assist-blue-5d8f7c9b4-x2x4z")
    for other in ("assist-two-blue-5d8f7c9b4-x2x4z", "helper-blue-5d8f7c9b4-x2x4z"):
        assert not re.fullmatch(pattern[1], other)


def test_the_alert_on_deployments_is_about_ours_alone() -> None:
    """Its slots, and neither its watcher nor a database beside it, which answer no user. Names of
    model servers say nobody's: a slot whose server is away has no pod that is ready either.
    """
    one = rendering(release(), given=settings(namespace="shop"))
    (query,) = (each.query for each in alerts(one) if each.name == "NobodyAnswers")
    (pattern,) = set(re.findall(r'deployment=~"([^"]*)"', query))

    servers = (f"model-{'a1' * 6}", f"model-blue-{'a1' * 6}")
    for ours in ("assist-blue", "assist-green"):
        assert re.fullmatch(pattern, ours)
    theirs = ("assist-two-blue", "helper-blue", "model-of-theirs", "database", "assist-redis")
    for other in ("assist-watcher", *theirs, *servers):
        assert not re.fullmatch(pattern, other)


def test_weights_that_are_being_loaded_alarm_nobody() -> None:
    """A candidate that takes its time is no outage."""
    one = rendering(release(), given=settings(server={"load_seconds": 1234}))
    (query,) = (each.query for each in alerts(one) if each.name == "NobodyAnswers")

    assert "unless on (namespace, deployment) time() - kube_deployment_created" in query
    assert query.endswith("< 1234")
