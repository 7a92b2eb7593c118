"""Who reaches the pods, and for how long: whatever gateway a platform has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from manifests.render import Rendered, render
from tests.manifests.making import gpu_settings, release, rendering, settings, vllm_release

BOTH = (release(), release("Be kind."))


def only(rendered: tuple[Rendered, ...], kind: str, name: str = "assist") -> dict[str, Any]:
    """The spec of one object."""
    (it,) = (one for one in rendered if (one.kind, one.name) == (kind, name))
    spec: dict[str, Any] = it.object["spec"]
    return spec


def timeouts(**gateway: Any) -> list[Any]:
    """Of each rule of a route with two slots."""
    route = only(render(rendering(*BOTH, given=settings(gateway=gateway))), "HTTPRoute")
    return [rule.get("timeouts") for rule in route["rules"]]


def test_no_gateway_cuts_an_answer_that_takes_its_time() -> None:
    """Envoy's own limit is 15 s for all of an answer, streams included."""
    assert timeouts() == [{"request": "0s"}] * 3


def test_a_limit_is_set_where_somebody_wants_one() -> None:
    assert timeouts(timeout_seconds=300) == [{"request": "300s"}] * 3


def test_a_gateway_that_takes_no_timeouts_is_sent_none() -> None:
    """They are among what a gateway need not know."""
    assert timeouts(timeout_seconds=None) == [None] * 3


def test_a_route_that_leads_nowhere_has_nothing_to_wait_for() -> None:
    assert "timeouts" not in only(render(rendering()), "HTTPRoute")["rules"][0]


def let_in(**gateway: Any) -> list[Any]:
    """Who may ask the application."""
    rendered = render(rendering(*BOTH, given=settings(gateway=gateway)))
    found: list[Any] = only(rendered, "NetworkPolicy")["ingress"][0]["from"]
    return found


def namespace(name: str) -> dict[str, Any]:
    """All pods of it."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def test_the_gateways_own_namespace_is_let_in() -> None:
    assert let_in(namespace="edge") == [namespace("edge")]


def test_proxies_of_another_namespace_are_let_in_instead() -> None:
    """Envoy Gateway runs them beside itself, wherever a Gateway is."""
    assert let_in(namespace="edge", pods="envoy-gateway-system") == [
        namespace("envoy-gateway-system")
    ]


def test_proxies_outside_the_cluster_are_let_in_by_their_network() -> None:
    """Application Gateway for Containers has a subnet, and no pods."""
    assert let_in(addresses=["10.225.0.0/24", "fd00:1::/64"])[1:] == [
        {"ipBlock": {"cidr": "10.225.0.0/24"}},
        {"ipBlock": {"cidr": "fd00:1::/64"}},
    ]


@pytest.mark.parametrize(
    "network",
    ["10.225.0.1/24", "10.225.0.0/33", "everybody", "", "fe80::%eth0/64", "fe80::%x\n y: &a/64"],
)
def test_a_network_is_one(network: str) -> None:
    with pytest.raises(ValidationError, match="must be a network"):
        settings(gateway={"addresses": [network]})


@pytest.mark.parametrize("named", [None, "shared"])
def test_no_policy_is_about_pods_of_somebody_elses(named: str | None) -> None:
    """A policy closes the pods that it selects; others' may have the same component, and a chart's
    the same name. Those of a slot or a model server are named by it, in a label of our own.
    """
    given = {"namespace": named} if named else {}
    rendered = render(rendering(*BOTH, given=settings(**given)))

    for one in rendered:
        if one.kind == "NetworkPolicy":
            chosen = one.object["spec"]["podSelector"]["matchLabels"]
            assert chosen["app.kubernetes.io/name"] == "assist"
            ours = chosen.get("app.kubernetes.io/managed-by") == "greenlight"
            assert ours or any(key.startswith("greenlight.dev/") for key in chosen)


def test_a_pod_that_never_gets_ready_does_not_hold_up_a_node() -> None:
    """A budget counts it as unavailable, and by default lets nobody evict it for ever."""
    for one in render(rendering(vllm_release(), given=gpu_settings())):
        if one.kind == "PodDisruptionBudget":
            assert one.object["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
