"""Users who stay on their side: one move at most while a release takes over."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.routes import choose, point_of
from tests.serving.gateway.world import CHAT, World, release_in, story, world

STEPS = (0, 5, 25, 50, 100)
RELEASES = ["support-bot@1111111", "support-bot@2222222"]
USERS = [f"user-{number}" for number in range(40)]
NAMINGS: dict[str, Any] = {
    "user": lambda name: {"json": {"user": name}},
    "safety_identifier": lambda name: {"json": {"safety_identifier": name}},
    "header": lambda name: {"json": {}, "headers": {"x-greenlight-user": name}},
}


def side(user: str, green: int, old: str = "blue") -> str | None:
    """The slot of ``user`` when the newcomer, which is not in ``old``, has so many percent."""
    new = "green" if old == "blue" else "blue"
    weights = {old: 100 - green, new: green}
    weighted = [RELEASES[slot == new] for slot, weight in weights.items() if weight]
    return choose(weights, weights, point_of(user, weighted))


@given(st.text(), st.sampled_from(["blue", "green"]), st.lists(st.integers(0, 100)))
def test_a_user_moves_at_most_once_while_the_weights_rise(
    user: str, old: str, weights: list[int]
) -> None:
    """Whichever slot the newcomer is in, and whatever the steps are."""
    sides = [side(user, green, old) for green in (0, *sorted(weights), 100)]

    assert sum(before != after for before, after in pairwise(sides)) == 1
    assert (sides[0], sides[-1]) == (old, "green" if old == "blue" else "blue")


@pytest.mark.parametrize("green", STEPS)
def test_users_are_dealt_as_the_weights_say(green: int) -> None:
    """Within two points for 10,000 users: the hash is even."""
    chosen = [side(f"user-{number}", green) for number in range(10_000)]

    assert abs(chosen.count("green") / 100 - green) < 2


def test_other_releases_deal_the_users_anew() -> None:
    """Otherwise the same people would be the first for everything that is new."""
    first = [point_of(user, RELEASES) < 0.5 for user in USERS]
    second = [
        point_of(user, ["support-bot@2222222", "support-bot@3333333"]) < 0.5 for user in USERS
    ]

    assert first != second
    assert first == [point_of(user, reversed(RELEASES)) < 0.5 for user in USERS]


async def sides_of(w: World, naming: str = "user") -> list[str | None]:
    asked = [await w.call("POST", CHAT, "user", **NAMINGS[naming](user)) for user in USERS]
    return [answer.slot for answer in asked]


@story
async def test_users_stay_through_steps_and_restarts_of_the_gateway(folder: Path) -> None:
    seen: list[list[str | None]] = []
    for green in STEPS:
        async with world(folder, weights={"blue": 100 - green, "green": green}) as w:
            seen += [await sides_of(w), await sides_of(w)]

    moves = [
        sum(before != after for before, after in pairwise(slots))
        for slots in zip(*seen, strict=True)
    ]
    assert moves == [1] * len(USERS)
    assert {tuple(one) for one in (seen[0], seen[-1])} == {("blue",) * 40, ("green",) * 40}
    assert 5 < seen[6].count("green") < 35


@story
async def test_a_user_may_be_named_in_the_body_or_in_a_header(folder: Path) -> None:
    async with world(folder, weights={"blue": 50, "green": 50}) as w:
        sides = [await sides_of(w, naming) for naming in NAMINGS]

        assert sides[0] == sides[1] == sides[2]
        assert set(sides[0]) == {"blue", "green"}


@pytest.mark.parametrize("nobody", [{}, {"user": ""}, {"user": None}, {"user": 7}, {"user": ["a"]}])
@story
async def test_who_is_not_named_goes_where_the_draw_says(
    folder: Path, nobody: dict[str, Any]
) -> None:
    async with world(folder, weights={"blue": 50, "green": 50}) as w:
        w.points = iter([0.1, 0.9, 0.1])
        asked = [await w.call("POST", CHAT, "user", json=nobody) for _ in range(3)]

        assert [answer.slot for answer in asked] == ["blue", "green", "blue"]


@story
async def test_the_name_goes_no_further_than_the_body_that_has_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The header stays at the gateway; the log and the answer know no names."""
    async with world(folder) as w:
        answer = await w.call(
            "POST", CHAT, json={"user": "xy-in-body"}, headers={"x-greenlight-user": "xy-above"}
        )
        [request] = w.apps["blue"].requests

        assert "x-greenlight-user" not in request.headers
        assert w.apps["blue"].bodies == [json.dumps({"user": "xy-in-body"}).encode()]
        assert "xy-" not in f"{answer.headers} {caplog.text} {await w.counts('blue')}"


@story
async def test_a_user_whose_slot_is_away_is_served_by_the_other_and_comes_back(
    folder: Path,
) -> None:
    """To stay on a side is a wish, to be answered is not."""
    async with world(folder, weights={"blue": 50, "green": 50}) as w:
        before = await sides_of(w)
        w.say_ready(green=False)
        away = await sides_of(w)
        w.say_ready(green=True)

        assert set(away) == {"blue"}
        assert await sides_of(w) == before


@story
async def test_a_pin_is_stronger_than_a_name(folder: Path) -> None:
    async with world(folder) as w:
        pinned = {"x-greenlight-slot": "green"}
        answer = await w.call("POST", CHAT, "tester", json={"user": "ada"}, headers=pinned)

        assert answer.slot == "green"
        assert answer.headers["x-greenlight-release"] == release_in("green")
