"""Whatever the settings: everything is tagged, private by one switch, validly named, no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from infra.azure.settings import AzureSettings
from tests.infra.azure import options
from tests.infra.azure.invariants import broken
from tests.infra.azure.recorded import Declared, Recorded, record, settings_of

PAIRS = list(options.pairs())


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_the_repositorys_stacks_hold_what_every_stack_has_to(stack: str) -> None:
    """Tags, names, secrets, private endpoints and live traffic, in each stack of the repository."""
    settings = settings_of(stack)

    assert broken(settings, record(settings)) == []


@pytest.mark.slow
@pytest.mark.parametrize("settings", PAIRS, ids=lambda _: "")
def test_each_two_options_go_together(settings: AzureSettings) -> None:
    """Every value of an option builds with every value of every other."""
    assert broken(settings, record(settings)) == []


@pytest.mark.slow
@given(options.generated())
@hypothesis_settings(max_examples=15)
def test_whatever_settings_are_accepted_can_be_built(settings: AzureSettings) -> None:
    """Settings that the reader takes are never a surprise to the program."""
    assert broken(settings, record(settings)) == []


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
