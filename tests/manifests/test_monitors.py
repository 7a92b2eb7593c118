"""Who reads the metrics: the Prometheus operator, Azure Monitor, or what the platform sees to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manifests.render import Rendered, render, render_watcher
from pipelines.targets.kubernetes.kinds import kind_of, resource
from tests.manifests.making import release, rendering, settings
from tests.manifests.variants import VARIANTS, rendered

GROUPS = {
    "operator": {
        "PodMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1",
    },
    "azure": {"PodMonitor": "azmonitoring.coreos.com/v1"},
    "none": {},
}  # fmt: skip


def made(**given: Any) -> tuple[Rendered, ...]:
    """An environment with a watcher."""
    one = rendering(release(), given=settings(**given))
    return (*render(one), *render_watcher(one, "{}"))


@pytest.mark.parametrize("monitors", GROUPS)
def test_monitors_are_of_the_group_that_is_read(monitors: str) -> None:
    """Azure's collector takes no other group, and has its alerts elsewhere."""
    found = {
        one.kind: one.object["apiVersion"]
        for one in made(monitors=monitors)
        if one.kind in GROUPS["operator"]
    }

    assert found == GROUPS[monitors]


def test_azures_monitor_says_what_the_operators_does() -> None:
    (theirs,), (ours,) = (
        [one.object["spec"] for one in made(monitors=each) if one.kind == "PodMonitor"]
        for each in ("azure", "operator")
    )

    assert theirs == ours


@pytest.mark.parametrize(
    ("given", "namespace"),
    [
        ({}, "monitoring"),
        ({"monitors": "none"}, "monitoring"),
        ({"monitors": "azure"}, "kube-system"),
        ({"monitors": "azure", "monitoring": "metrics"}, "metrics"),
        ({"monitoring": "metrics"}, "metrics"),
    ],
)
def test_the_pods_that_read_are_let_in_where_they_are(
    given: dict[str, Any], namespace: str
) -> None:
    """Azure's run in kube-system, unless somebody says otherwise."""
    place = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    policies = {
        one.name: one.object["spec"] for one in made(**given) if one.kind == "NetworkPolicy"
    }

    assert policies["assist"]["ingress"][1]["from"] == [place]
    assert place in policies["assist-models"]["ingress"][0]["from"]
    assert policies["assist-watcher"]["egress"][1]["to"] == [place]


@pytest.mark.parametrize("name", VARIANTS)
def test_whatever_is_rendered_is_found_where_it_was_written(name: str) -> None:
    """The target's table has each kind under the group that the object says."""
    for one in (each.object for each in rendered(name)):
        assert kind_of(resource(one)).version == one["apiVersion"]


def alerts(application: str, environment: str, **given: Any) -> list[tuple[str, frozenset[Any]]]:
    """Name and labels of each alert of an environment: by these Alertmanager knows one again."""
    plain = rendering(release(), given=settings(**given))
    one = replace(plain, application=application, environment=environment)
    (rule,) = (each.object for each in render(one) if each.kind == "PrometheusRule")
    found = rule["spec"]["groups"][0]["rules"]
    return [(each["alert"], frozenset(each["labels"].items())) for each in found]


def test_no_alert_is_taken_for_one_of_another_application_or_environment() -> None:
    """Also in one namespace: what its query keeps of labels is the slot at best."""
    found = [
        *alerts("assist", "staging"), *alerts("assist", "production"),
        *alerts("other", "production"), *alerts("one", "staging", namespace="shop"),
        *alerts("two", "staging", namespace="shop"),
    ]  # fmt: skip

    assert len(found) == len({*found}) == 15
    assert {name for name, _ in found} == {"AnswersFail", "AnswersAreSlow", "NobodyAnswers"}


def test_an_alert_says_whose_it_is() -> None:
    for _, labels in alerts("assist", "staging"):
        assert {
            ("application", "assist"), ("environment", "staging"), ("namespace", "assist-staging"),
        } <= labels  # fmt: skip


def test_a_metric_that_is_missing_is_no_zero_to_keda() -> None:
    """By default it is, and a lost Prometheus takes pods away under load instead of adding them.
    What has just been started is found and read meanwhile.
    """
    one = rendering(release(), given=settings(scaling={"prometheus": "http://prometheus:9090"}))
    (scaled,) = (each.object["spec"] for each in render(one) if each.kind == "ScaledObject")
    (trigger,) = scaled["triggers"]

    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert scaled["fallback"] == {"failureThreshold": 40, "replicas": one.settings.scaling.max}
