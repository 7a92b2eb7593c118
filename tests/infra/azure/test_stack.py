"""Whatever the settings: everything is tagged, private by one switch, validly named, no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from infra.azure.settings import AzureSettings
from tests.azure_types import refused
from tests.infra.azure import options
from tests.infra.azure.invariants import broken
from tests.infra.azure.recorded import Declared, Recorded, record, settings_of

CHOICES = list(options.pairs())
Built = tuple[AzureSettings, Recorded]


@pytest.fixture(scope="module", params=["staging", "production"])
def stack(request: pytest.FixtureRequest) -> Built:
    """A stack of the repository, built once."""
    settings = settings_of(request.param)
    return settings, record(settings)


@pytest.fixture(scope="module", params=CHOICES, ids=lambda choice: "-".join(choice.values()))
def paired(request: pytest.FixtureRequest) -> Built:
    """One of the stacks in which each two values of two options come together, built once."""
    settings = options.chosen(request.param)
    return settings, record(settings)


def test_the_repositorys_stacks_hold_what_every_stack_has_to(stack: Built) -> None:
    """Tags, names, secrets, private endpoints and live traffic, in each stack of the repository."""
    assert broken(*stack) == []


@pytest.mark.slow
def test_each_two_options_go_together(paired: Built) -> None:
    """Every value of an option builds with every value of every other."""
    assert broken(*paired) == []


@pytest.mark.slow
def test_whatever_the_options_azure_is_told_what_it_defines(paired: Built) -> None:
    """No unknown and no missing property, enums and patterns kept: by Azure's own definitions."""
    assert refused(paired[1].bodies()) == []


@pytest.mark.slow
@given(options.generated())
@hypothesis_settings(max_examples=25)
def test_whatever_settings_are_accepted_can_be_built(settings: AzureSettings) -> None:
    """Settings that the reader takes are never a surprise to the program, nor to Azure."""
    found = record(settings)

    assert broken(settings, found) == []
    assert refused(found.bodies()) == []


def test_a_second_run_declares_the_same() -> None:
    """Names, those of role assignments included, are the same every time: creating is idempotent
    (S18)."""
    settings = options.stack(applications=[options.application("managed")])
    first, second = record(settings), record(settings)

    assert [(one.name, one.inputs) for one in _sorted(first)] == [
        (one.name, one.inputs) for one in _sorted(second)
    ]


def _sorted(found: Recorded) -> list[Declared]:
    return sorted(found.resources, key=lambda one: (one.token, one.name))
