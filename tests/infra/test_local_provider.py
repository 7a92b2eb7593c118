"""From what the Pulumi program asks to what the environment is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.local import provider
from serving import local
from serving.local import EnvironmentFacts, EnvironmentSettings, RateLimit

ASKED: dict[str, Any] = {
    "application": "support-bot",
    "environment": "staging",
    "folder": "/env",
    "keys_folder": "/keys",
    "port": 8080.0,  # numbers come from the engine as floating point
    "refusal": ["i don't know"],
    "rate_limit": {"per_second": 2.5, "burst": 10.0},
}
FACTS = EnvironmentFacts("support-bot", "staging", "http://127.0.0.1:8080", "/env", 1, 1.0, True)


def test_an_environment_is_asked_for_in_the_terms_of_serving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[EnvironmentSettings] = []

    def create(_: Path, settings: EnvironmentSettings) -> EnvironmentFacts:
        told.append(settings)
        return FACTS

    monkeypatch.setattr(local, "read", lambda folder: None)
    monkeypatch.setattr(local, "create", create)

    outs = provider.up(ASKED)

    assert told == [
        EnvironmentSettings(
            "support-bot",
            "staging",
            Path("/keys"),
            port=8080,
            refusal=("i don't know",),
            rate_limit=RateLimit(2.5, 10),
        )
    ]
    assert outs == ASKED | {"address": FACTS.address, "running": True}

    without = {name: value for name, value in ASKED.items() if name != "rate_limit"}
    provider.up(without)  # which is how the engine passes None

    assert told[1].rate_limit is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (False, [])),
        ({"refusal": ["no idea"]}, (True, [])),
        ({"rate_limit": None}, (True, [])),
        ({"rate_limit": {"per_second": 2.5, "burst": 10}}, (False, [])),
        ({"port": 1}, (True, [])),
        ({"folder": "/other"}, (True, ["folder"])),
    ],
)
def test_only_another_place_asks_for_another_environment(
    change: dict[str, Any], expected: tuple[bool, list[str]]
) -> None:
    known = ASKED | {"running": True}

    assert provider.differences(known, ASKED | change) == expected


def test_a_state_from_before_a_setting_is_read_and_updated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "read", lambda folder: FACTS)
    old = {name: value for name, value in ASKED.items() if name != "refusal"}

    known = provider.now("/env", old)

    assert known is not None
    assert provider.differences(known, ASKED) == (True, [])
