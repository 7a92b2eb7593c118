"""Mirroring: copies are compared and counted, and nobody ever feels them."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.errors import BadInput
from serving.gateway.routes import Routes
from serving.gateway.watched import parse
from tests.serving.gateway.world import IMPATIENT, KEYS, LIMITS, story, world

TO_GREEN = {"slot": "green", "percent": 50}


@pytest.mark.parametrize(
    ("mirror", "place"),
    [
        ({"slot": "blue", "percent": 50}, "mirror"),
        ({"slot": "green", "percent": 0}, "mirror.percent"),
        ({"slot": "green", "percent": 101}, "mirror.percent"),
        ({"slot": "green", "percent": 1.5}, "mirror.percent"),
        ({"slot": "green", "percent": True}, "mirror.percent"),
        ({"slot": "../green", "percent": 50}, "mirror.slot"),
        ({"slot": "green"}, "mirror.percent"),
        ({"percent": 50}, "mirror.slot"),
        ({**TO_GREEN, "store": True}, "mirror.store"),
        ("green", "mirror"),
    ],
)
def test_a_mirror_is_a_slot_without_weight_and_a_share(mirror: Any, place: str) -> None:
    """The refusal names the place that is wrong."""
    with pytest.raises(BadInput) as refused:
        parse(Routes, {"fence": 1, "weights": {"blue": 100, "green": 0}, "mirror": mirror})

    assert [problem.path for problem in refused.value.problems] == [place]


@story
async def test_the_mirror_is_answered_as_put_and_gone_with_a_map_that_leaves_it_out(
    folder: Path,
) -> None:
    async with world(folder) as w:
        put = await w.mirror("green", 50, blue=100, green=0)
        stored = json.loads((folder / "routes.json").read_text())
        read = (await w.call("GET", "/-/routes")).json
        none = [
            (await w.put({"fence": 1, "weights": {"blue": 100}, **left})).json
            for left in ({}, {"mirror": None})
        ]

        routes = {"fence": 1, "weights": {"blue": 100, "green": 0}, "mirror": TO_GREEN}
        assert put.json == stored == read == routes
        assert none == [{"fence": 1, "weights": {"blue": 100}}] * 2


@pytest.mark.parametrize(
    ("slot", "place"), [("green", "mirror.slot"), ("red", "mirror.slot"), ("blue", "mirror")]
)
@story
async def test_a_mirror_that_is_not_ready_unknown_or_live_gets_422_and_changes_nothing(
    folder: Path, slot: str, place: str
) -> None:
    async with world(folder) as w:
        w.say_ready(green=False)
        answer = await w.mirror(slot)

        assert (answer.status, answer.code) == (422, "invalid_routes")
        assert place in answer.json["error"]["message"]
        assert (await w.call("GET", "/-/routes")).json == {"fence": 1, "weights": {"blue": 100}}


@pytest.mark.parametrize("do", ["say", "say-in-parts"])
@story
async def test_answers_are_compared_by_their_text(folder: Path, do: str) -> None:
    async with world(folder) as w:
        w.apps["green"].lines["Nine."] = "Ten."
        await w.mirror("green")
        alike = await w.say("Eight.", do)
        unlike = await w.say("Nine.", do)
        counts = await w.mirrored("green", same=1, different=1)

        assert (alike.slot, unlike.slot) == ("blue", "blue")
        assert "Ten" not in unlike.body.decode()
        assert (counts["requests"], counts["errors"], counts["dropped"]) == (2, 0, 0)
        assert counts["latency_seconds"]["count"] == 2


@story
async def test_a_copy_is_the_request_byte_for_byte_without_the_key(folder: Path) -> None:
    async with world(folder) as w:
        await w.mirror("green")
        await w.say("Eight.", x_other="end to end")
        await w.mirrored("green", requests=1)
        [copied], [original] = w.apps["green"].requests, w.apps["blue"].requests

        assert w.apps["green"].bodies == w.apps["blue"].bodies
        assert dict(copied.headers) == dict(original.headers) | {"Host": copied.headers["Host"]}
        assert copied.headers["x-other"] == "end to end"
        assert KEYS["user"] not in str(copied.headers)


@story
async def test_copies_are_no_requests_of_the_slot(folder: Path) -> None:
    """Its own counts, by which it is judged once it is live, know nothing of them."""
    async with world(folder) as w:
        await w.mirror("green")
        await w.say("Eight.", "say-in-parts")
        await w.mirrored("green", same=1)
        green, blue = await w.counts("green"), await w.counts("blue")

        assert (green["requests"], green["streams"], green["latency_seconds"]["count"]) == (0, 0, 0)
        assert (blue["requests"], blue["mirror"]["requests"]) == (1, 0)


@story
async def test_the_share_is_copied_and_the_rest_is_not(folder: Path) -> None:
    async with world(folder) as w:
        points = [value for point in range(100) for value in (0.0, (point + 0.5) / 100)]
        w.points = iter(points)  # of each request the first chooses the slot
        await w.mirror("green", 30)
        for _ in range(100):
            await w.ask()

        await w.mirrored("green", requests=30, different=30)
        assert (await w.counts("blue"))["requests"] == 100


@story
async def test_who_names_a_slot_is_not_copied(folder: Path) -> None:
    """Traffic that stands in for users is: where there are none it is all that can be compared."""
    async with world(folder) as w:
        await w.mirror("green")
        await w.ask(role="tester", x_greenlight_slot="blue")
        await w.ask(role="tester", x_greenlight_slot="blue", x_greenlight_synthetic="1")
        await w.ask(role="tester", x_greenlight_synthetic="1")
        await w.mirrored("green", requests=1)

        assert len(w.apps["green"].requests) == 1


@pytest.mark.parametrize(
    ("green_does", "expected"),
    [
        ("fail", {"errors": 1}),
        ("vanish", {"errors": 1}),
        ("garble", {"errors": 1}),
        ("break", {"errors": 1}),
        ("hold", {"errors": 1}),
        ("break-stream", {"errors": 1}),
        ("stream-without-done", {"errors": 1}),
        ("decline", {"errors": 0, "different": 1}),
    ],
)
@story
async def test_a_mirror_that_fails_is_counted_and_the_caller_never_knows(
    folder: Path, green_does: str, expected: dict[str, int]
) -> None:
    async with world(folder, limits=IMPATIENT if green_does == "hold" else LIMITS) as w:
        await w.mirror("green")
        w.apps["green"].lines["say"] = green_does
        answer = await w.say("Eight.")
        counts = await w.mirrored("green", requests=1, **expected)

        assert (answer.status, answer.slot) == (200, "blue")
        assert counts["same"] == 0


@story
async def test_a_mirror_that_nobody_can_reach_is_an_error_of_the_mirror(folder: Path) -> None:
    async with world(folder) as w:
        await w.mirror("green")
        await w.apps["green"].stop()

        assert (await w.ask()).status == 200
        await w.mirrored("green", requests=1, errors=1)


@pytest.mark.parametrize("do", ["fail", "vanish"])
@story
async def test_where_the_caller_got_no_answer_there_is_nothing_to_compare(
    folder: Path, do: str
) -> None:
    async with world(folder) as w:
        await w.mirror("green")
        w.apps["green"].lines[do] = "answer-at-once"
        await w.ask(do)
        counts = await w.mirrored("green", requests=1)

        assert (counts["errors"], counts["same"], counts["different"]) == (0, 0, 0)


@story
async def test_what_both_decline_is_the_same(folder: Path) -> None:
    """The caller's fault, and both say so."""
    async with world(folder) as w:
        await w.mirror("green")
        await w.ask("decline")

        await w.mirrored("green", requests=1, errors=0, same=1)


@story
async def test_answers_too_long_to_be_kept_are_not_compared(folder: Path) -> None:
    async with world(folder, limits=replace(LIMITS, answer_bytes=50)) as w:
        await w.mirror("green")
        await w.say("A sentence that is longer than what is kept.")
        counts = await w.mirrored("green", requests=1)

        assert (counts["same"], counts["different"]) == (0, 0)


@story
async def test_a_caller_does_not_wait_for_a_copy(folder: Path) -> None:
    """The answer is there while the mirrored slot still holds its own."""
    async with world(folder) as w:
        await w.mirror("green")
        w.apps["green"].lines["say"] = "hold"
        answer = await w.say("Eight.")
        held = await w.counts("green")
        w.apps["green"].gate.set()

        assert answer.status == 200
        assert (held["in_flight"], held["mirror"]["requests"]) == (1, 0)
        await w.mirrored("green", different=1)


@story
async def test_a_copy_does_not_wait_for_its_caller(folder: Path) -> None:
    """It leaves its slot at once, and is compared when the caller has the last word."""
    async with world(folder) as w:
        await w.mirror("green")
        w.apps["green"].gate.set()
        asking = asyncio.create_task(w.ask("hold"))
        before = await w.mirrored("green", requests=1)
        in_flight = (await w.counts("green"))["in_flight"]
        w.apps["blue"].gate.set()
        await asking

        assert (in_flight, before["different"]) == (0, 0)
        await w.mirrored("green", different=1)


@story
async def test_copies_beyond_the_bound_are_dropped_and_counted(folder: Path) -> None:
    async with world(folder, limits=replace(LIMITS, mirror_copies=2)) as w:
        await w.mirror("green")
        w.apps["green"].lines["say"] = "hold"
        answers = [await w.say("Eight.") for _ in range(5)]
        await w.mirrored("green", dropped=3)
        w.apps["green"].gate.set()

        assert [answer.status for answer in answers] == [200] * 5
        await w.mirrored("green", requests=2, dropped=3)
        assert len(w.apps["green"].requests) == 2


@pytest.mark.parametrize("gone", ["not ready", "not known"])
@story
async def test_a_mirror_that_went_away_gets_no_copies_and_they_are_counted(
    folder: Path, gone: str
) -> None:
    async with world(folder) as w:
        await w.mirror("green")
        if gone == "not known":
            w.ready.pop("green")
        w.say_ready(**({"green": False} if gone == "not ready" else {}))
        answer = await w.ask()

        assert answer.status == 200
        assert (await w.mirrored("green", dropped=1))["requests"] == 0


@story
async def test_s03_a_drain_waits_for_copies_and_cuts_them_at_its_deadline(folder: Path) -> None:
    """Nobody loses an answer by that, so what was cut is not told as one."""
    async with world(folder) as w:
        await w.mirror("green")
        w.apps["green"].lines["say"] = "hold"
        await w.say("Eight.")
        draining = asyncio.create_task(w.drain("green", 1.0))
        await asyncio.sleep(0.05)
        meanwhile = await w.say("Nine.")
        waited = not draining.done()
        drained = await draining

        assert waited
        assert meanwhile.status == 200
        assert drained.json == {"in_flight": 0, "cut": 0}
        await w.mirrored("green", requests=0, dropped=2)
        assert len(w.apps["green"].requests) == 1


@story
async def test_a_request_that_has_to_try_two_slots_is_copied_once(folder: Path) -> None:
    async with world(folder, ("blue", "green", "red"), {"blue": 50, "red": 50}) as w:
        await w.mirror("green", blue=50, red=50)
        await w.apps["blue"].stop()
        answer = await w.ask()
        await w.mirrored("green", requests=1)

        assert answer.slot == "red"
        assert len(w.apps["green"].requests) == 1


@story
async def test_the_end_of_the_gateway_does_not_wait_for_copies(folder: Path) -> None:
    async with world(folder, limits=replace(LIMITS, grace_seconds=60)) as w:
        await w.mirror("green")
        w.apps["green"].lines["say"] = "hold"
        await w.say("Eight.")
        async with asyncio.timeout(30):
            await w.gateway.stop()

        assert w.gateway._slots.in_flight() == 0


@story
async def test_s01_under_load_every_request_is_answered_and_every_copy_accounted_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight callers, half of them streaming, while the mirrored slot fails every third copy."""
    async with world(folder, limits=replace(LIMITS, mirror_copies=4)) as w:
        await w.mirror("green")
        turns = itertools.cycle(["say", "fail", "say"])
        green = w.apps["green"]
        answer_as = green._say

        async def one_in_three_fails(request: Any) -> Any:
            return await (answer_as if next(turns) == "say" else green._fail)(request)

        monkeypatch.setattr(green, "_say", one_in_three_fails)

        async def caller(number: int) -> list[int]:
            do = "say-in-parts" if number % 2 else "say"
            return [(await w.say(f"{number}", do)).status for _ in range(25)]

        answers = [status for one in await asyncio.gather(*map(caller, range(8))) for status in one]
        await w.until_in_flight("green", 0)
        counts = (await w.counts("green"))["mirror"]

        assert answers == [200] * 200
        assert counts["requests"] + counts["dropped"] == 200
        assert counts["same"] + counts["errors"] == counts["requests"]
