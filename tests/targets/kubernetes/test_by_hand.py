"""Somebody writes the route by hand: what a return wants does not stop it, else they are named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pipelines.targets.kubernetes.refusals import OwnedError
from pipelines.targets.kubernetes.slots import Patience
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.cluster.gitops import resource
from tests.targets.kubernetes.bed import APP, KubernetesBed, provisioned


@pytest.fixture(scope="module")
def bed(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[KubernetesBed]:  # fmt: skip
    """Two slots; users are with green."""
    program, folder = found(pytestconfig, provide_prometheus), tmp_path_factory.mktemp("by-hand")
    with provisioned(cluster, program, folder, standin, Patience(ready=120.0)) as made:
        made.target.deploy("blue", made.release("one"), made.fence())
        yield made


@pytest.fixture
def here(bed: KubernetesBed, monkeypatch: pytest.MonkeyPatch) -> KubernetesBed:
    """Users are with green, and blue stands by."""
    monkeypatch.setenv("KUBECONFIG", str(bed.cluster.kubeconfig))
    bed.target.deploy("green", bed.release("two"), bed.fence())
    bed.target.expose({"green": 100}, bed.fence())
    return bed


def edit(bed: KubernetesBed, rules: Any) -> None:
    """As ``kubectl edit`` does: an update by another manager."""
    route = bed.target.ground.route_now()
    assert route
    patch: Mapping[str, Any] = {"spec": {"rules": rules}}
    where = (resource("HTTPRoute"), APP, f"--namespace={bed.plane.namespace}")
    bed.cluster.must(
        "patch", *where, "--type=merge", "--field-manager=kubectl-edit",
        f"--patch={json.dumps(patch)}",
    )  # fmt: skip


def weighted(bed: KubernetesBed, **weights: int) -> list[Any]:
    """The route's rules as they are, with other weights."""
    route = bed.target.ground.route_now()
    assert route
    rules = copy.deepcopy(route["spec"]["rules"])
    for one in rules[-1]["backendRefs"]:
        one["weight"] = weights[one["name"].removeprefix(f"{APP}-")]
    return list(rules)


def test_s05_a_return_that_somebody_began_by_hand_goes_to_its_end(here: KubernetesBed) -> None:
    """All weight is back on blue already: it is taken for what the return wants."""
    edit(here, weighted(here, blue=100, green=0))

    here.target.expose({"blue": 100}, here.fence())
    here.target.retire("green", 0.0, here.fence())

    assert dict(here.target.facts().weights) == {"blue": 100}
    assert set(here.target.facts().slots) == {"blue"}


def test_what_somebody_wrote_otherwise_is_told_with_who_it_was(here: KubernetesBed) -> None:
    """And left as it is, until they give it up."""
    edit(here, weighted(here, blue=50, green=50))

    with pytest.raises(OwnedError, match=r"rules belongs to kubectl-edit.*wanted \(blue 100\)"):
        here.target.expose({"blue": 100}, here.fence())
    assert dict(here.target.facts().weights) == {"blue": 50, "green": 50}

    edit(here, weighted(here, blue=100, green=0))
    here.target.expose({"blue": 100}, here.fence())
    here.target.expose({"green": 100}, here.fence())
    assert dict(here.target.facts().weights) == {"green": 100}


def test_what_somebody_wrote_as_it_was_keeps_no_slot_out(here: KubernetesBed) -> None:
    """They tried other weights and took that back: the rules are theirs alone, and say the same."""
    here.target.retire("blue", 0.0, here.fence())
    edit(here, weighted(here, green=1))
    edit(here, weighted(here, green=100))

    here.target.deploy("blue", here.release("one"), here.fence())

    assert set(here.target.facts().slots) == {"blue", "green"}
    assert dict(here.target.facts().weights) == {"green": 100}


@pytest.mark.parametrize("weight", [0, 1])
def test_a_slot_is_kept_out_while_somebody_has_written_other_weights(
    here: KubernetesBed, weight: int
) -> None:
    """And they stay as they are, until they give them up."""
    here.target.retire("blue", 0.0, here.fence())
    edit(here, weighted(here, green=weight))

    with pytest.raises(OwnedError, match="rules belongs to kubectl-edit"):
        here.target.deploy("blue", here.release("one"), here.fence())

    (only,) = weighted(here, green=weight)[-1]["backendRefs"]
    route = here.target.ground.route_now()
    assert route
    assert route["spec"]["rules"][-1]["backendRefs"] == [only]
    edit(here, weighted(here, green=100))
    here.target.deploy("blue", here.release("one"), here.fence())
