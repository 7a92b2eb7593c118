"""The real program in the real engine, for stacks in which each two options come together.

One engine run for each, but one interpreter for all of them (hosted.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.planning import Planner, StackPlan, planner
from pipelines.preview import judged
from policies.rules.azure.bounds import bounds_of
from policies.rules.findings import refusals
from tests.azure_types import refused
from tests.infra.azure import options
from tests.infra.azure.hosted import hosted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
CHOICES = list(options.pairs())
Choice = Mapping[str, str]

ASKED: Sequence[tuple[Mapping[str, str], str]] = (
    ({"private": "no"}, "CKV_AZURE_35 CKV_AZURE_59 CKV_AZURE_109 CKV_AZURE_139 CKV_AZURE_189"),
    ({"private": "no", "services": "openai"}, "CKV_AZURE_134"),
    ({"private": "no", "workspace": "default open hub"}, "CKV2_AZURE_49"),
    ({"private": "yes scope", "workspace": "open"}, "GL-AZ-AML-001"),
    # checkov wants an outbound rule to a private endpoint, of every workspace: a project has its
    # hub's network, and Azure itself adds the ways to a workspace's own storage and vault.
    ({"workspace": "open project"}, "CKV_AZURE_243"),
    ({"workspace": "hub", "private": "yes no", "services": "none events"}, "CKV_AZURE_243"),
    ({"location": "westus"}, "CKV_AZURE_233"),  # the region has no zones
    ({"endpoint": "bought"}, "GL-AZ-IMG-004"),  # of a registry that nobody allowed
    ({"cluster": "full"}, "GL-AZ-ENC-005 CKV_AZURE_227"),  # encryptionAtHost: false
    ({"cluster": "full"}, "GL-AZ-GPU-009 GL-GPU-003"),  # driver: none, and no operator
    ({"cluster": "full", "private": "yes scope"}, "GL-AZ-NET-007"),
    (
        {"cluster": "full", "environment": "production"},
        "GL-AZ-AKS-005 GL-AZ-AKS-006 GL-AZ-AKS-007 GL-AZ-GPU-004",
    ),
)
"""What is refused, in which rules, where each of some options has one of some values."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """What the engine is told so that it runs the program here."""
    with hosted() as found:
        yield found


@pytest.fixture(scope="module")
def ready(engine: str) -> Iterator[Planner]:
    """The engine, made ready once."""
    with planner(ROOT, "pairs") as found:
        yield found


def config(choice: Choice) -> dict[str, Any]:
    """A stack's settings, as its file would have them."""
    azure = options.chosen(choice).model_dump(mode="json", by_alias=True)
    return {"greenlight:target": "azure", "greenlight:azure": azure}


@pytest.fixture(scope="module", params=CHOICES, ids=lambda choice: "-".join(choice.values()))
def planned(request: pytest.FixtureRequest, ready: Planner, host: str) -> tuple[Choice, StackPlan]:
    """A choice, and what the engine makes of it."""
    return request.param, ready.plan(config(request.param), host)


def test_the_engine_plans_what_azure_defines(planned: tuple[Choice, StackPlan]) -> None:
    """Every body, as the engine would send it: by Azure's own definitions."""
    assert refused(planned[1].resources) == []


def test_only_what_the_options_ask_for_is_refused(planned: tuple[Choice, StackPlan]) -> None:
    """The program by itself breaks no rule, whichever options come together; and what an option
    asks for is found each time.
    """
    choice, plan = planned
    stack = config(choice)
    found = judged(plan, stack["greenlight:azure"], bounds_of(stack), environment={})

    assert {one.rule for one in refusals(found.judged.findings)} == asked(choice)


def asked(choice: Choice) -> set[str]:
    """The rules that this choice breaks."""
    return {
        rule
        for options_, rules in ASKED
        for rule in rules.split()
        if all(choice[name] in values.split() for name, values in options_.items())
    }
