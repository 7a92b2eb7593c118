"""What a caller is told when a slot fails, and what is held against the slot."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.gateway.limits import Limits
from tests.serving.gateway.world import CHAT, IMPATIENT, LIMITS, story, world


@pytest.mark.parametrize(
    ("do", "limits", "status", "code"),
    [
        ("vanish", LIMITS, 502, "slot_broke_off"),
        ("garble", LIMITS, 502, "slot_broke_off"),
        ("break", LIMITS, 502, "slot_broke_off"),
        ("hold", IMPATIENT, 504, "slot_silent"),
    ],
    ids=["vanish", "garble", "break", "hold"],
)
@story
async def test_a_slot_that_breaks_off_is_an_error_and_is_not_asked_again(
    folder: Path, do: str, limits: Limits, status: int, code: str
) -> None:
    """It may have begun to work: a chain with side effects must not run twice."""
    async with world(folder, weights={"blue": 50, "green": 50}, limits=limits) as w:
        answer = await w.ask(do)
        counts = await w.counts("blue")

        assert (answer.status, answer.code) == (status, code)
        assert (counts["requests"], counts["errors"], counts["in_flight"]) == (1, 1, 0)
        assert counts["latency_seconds"]["count"] == 0
        assert len(w.apps["blue"].requests) == 1
        assert w.apps["green"].requests == []


@story
async def test_a_redirect_is_the_callers_to_follow(folder: Path) -> None:
    """One request to the gateway is one request to the slot."""
    async with world(folder) as w:
        answer = await w.call("POST", CHAT, json={"do": "redirect"}, allow_redirects=False)

        assert answer.status == 307
        assert len(w.apps["blue"].requests) == 1
        assert (await w.counts("blue"))["errors"] == 0


@pytest.mark.parametrize(("do", "status", "errors"), [("fail", 500, 1), ("decline", 400, 0)])
@story
async def test_an_applications_own_error_is_passed_on_and_only_a_5xx_is_held_against_it(
    folder: Path, do: str, status: int, errors: int
) -> None:
    async with world(folder) as w:
        answer = await w.ask(do)
        counts = await w.counts("blue")

        assert answer.status == status
        assert answer.json["error"]["message"]
        assert answer.slot == "blue"
        assert (counts["requests"], counts["errors"]) == (1, errors)
        assert counts["latency_seconds"]["count"] == 0
