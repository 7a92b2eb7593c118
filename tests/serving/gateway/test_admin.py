"""The admin API: routes, counts, and S03, emptying a slot without cutting its answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from release.files import write_json
from tests.serving.gateway.world import DONE, EVENT, Answer, World, story, untouched_world, world


@story
async def test_routes_are_answered_as_they_were_put(folder: Path) -> None:
    async with world(folder, weights={"blue": 90, "green": 10}) as w:
        answer = await w.call("GET", "/-/routes")

        assert answer.json == {"fence": 1, "weights": {"blue": 90, "green": 10}}
        assert json.loads((folder / "routes.json").read_text()) == answer.json


@pytest.mark.parametrize(
    ("weights", "place"),
    [
        ({"blue": 50}, "weights"),
        ({"blue": 50, "red": 50}, "weights.red"),
        ({"blue": 0, "green": 100}, "weights.green"),
        ({"blue": 1.0, "green": 99}, "weights.blue"),
    ],
)
@story
async def test_s12_weights_that_cannot_be_get_422_and_change_nothing(
    folder: Path, weights: dict[str, Any], place: str
) -> None:
    """S12: not 100 in all, an unknown slot, one that is not ready, a part of a percent."""
    async with world(folder) as w:
        w.say_ready(green=False)
        answer = await w.route(5, **weights)

        assert (answer.status, answer.code) == (422, "invalid_routes")
        assert place in answer.json["error"]["message"]
        assert (await w.call("GET", "/-/routes")).json == {"fence": 1, "weights": {"blue": 100}}


@story
async def test_s12_a_slot_that_the_new_map_leaves_out_has_no_weight_left(folder: Path) -> None:
    """S12: the map replaces; it does not append to what was there."""
    async with world(folder, weights={"blue": 50, "green": 50}) as w:
        await w.route(green=100)

        assert (await w.call("GET", "/-/routes")).json["weights"] == {"green": 100}


@story
async def test_a_stale_fence_gets_409_even_for_weights_that_could_not_be(folder: Path) -> None:
    """S09: who has lost the lease learns that first."""
    async with world(folder) as w:
        await w.route(7, green=100)
        stale = [await w.route(6, blue=100), await w.route(6, red=100)]

        assert [(answer.status, answer.code) for answer in stale] == [(409, "stale_fence")] * 2
        assert (await w.route(7, blue=100)).status == 200


@story
async def test_a_full_disk_is_told_and_the_old_weights_hold(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(folder) as w:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("serving.gateway.routes.write_json", full)
        answer = await w.route(green=100)

        assert (answer.status, answer.code) == (500, "routes_not_durable")
        assert "No space left on device" in answer.json["error"]["message"]
        assert (await w.ask()).slot == "blue"


@story
async def test_a_change_that_began_is_finished_when_its_caller_hangs_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed command leaves the old weights or the new ones, on disk as in memory."""
    async with world(folder) as w:
        loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def slow(*arguments: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            write_json(*arguments)

        monkeypatch.setattr("serving.gateway.routes.write_json", slow)
        putting = asyncio.create_task(w.route(2, green=100))
        await begun.wait()
        before = (await w.ask()).slot
        putting.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        while (after := (await w.ask()).slot) == "blue":
            pass

        assert (before, after) == ("blue", "green")
        assert json.loads((folder / "routes.json").read_text())["fence"] == 2


@story
async def test_s23_while_routes_are_damaged_nothing_is_routed_until_a_map_is_put(
    folder: Path,
) -> None:
    """S23: every answer says why; health stays good, for a restart would mend nothing."""
    (folder / "routes.json").write_text('{"fence": 3, "wei')
    (folder / "desired.json").write_text('{"fence": 3, "slots": {}}')
    async with untouched_world(folder) as w:
        refused = [
            await w.ask(),
            await w.call("GET", "/-/routes"),
            await w.drain("green", 0),
        ]
        stale = await w.route(2, blue=100)
        repaired = await w.route(3, blue=100)

        assert [(answer.status, answer.code) for answer in refused] == [(503, "routes_damaged")] * 3
        assert all("routes.json" in answer.json["error"]["message"] for answer in refused)
        assert stale.status == 409
        assert repaired.status == 200
        assert (await w.ask()).slot == "blue"


@story
async def test_counts_show_every_slot_with_zeros_before_its_first_request(folder: Path) -> None:
    async with world(folder) as w:
        counts = (await w.call("GET", "/-/counts")).json

        assert counts["since"] > 0
        assert set(counts["slots"]) == {"blue", "green"}
        histogram = counts["slots"]["green"].pop("latency_seconds")
        assert (histogram["count"], histogram["sum"]) == (0, 0)
        assert counts["slots"]["green"].pop("first_token_seconds")["count"] == 0
        assert counts["slots"]["green"].pop("inter_token_seconds")["count"] == 0
        mirror = counts["slots"]["green"].pop("mirror")
        assert mirror.pop("latency_seconds")["count"] == 0
        assert set(mirror) == {"requests", "errors", "same", "different", "dropped"}
        assert set(mirror.values()) == {0}
        assert counts["slots"]["green"] == dict.fromkeys(
            (
                *("in_flight", "requests", "errors", "truncated", "cut", "declined", "abandoned"),
                *("refused", "streams", "synthetic"),
            ),
            0,
        )


@story
async def test_counts_of_a_slot_outlive_it(folder: Path) -> None:
    """A counter that fell back to zero would read as a slot without failures."""
    async with world(folder) as w:
        await w.ask("fail")
        w.ready.pop("blue")
        w.say_ready()

        assert (await w.counts("blue"))["errors"] == 1


@story
async def test_s03_a_drain_waits_for_answers_that_have_begun(folder: Path) -> None:
    """S03: a long stream is finished in the old slot while the new one gets everybody else."""
    async with world(folder) as w:
        asking = asyncio.create_task(w.ask("hold-stream"))
        await w.until_in_flight("blue", 1)
        await w.route(green=100)
        draining = asyncio.create_task(w.drain("blue", 20))
        meanwhile = await w.ask()
        w.apps["blue"].gate.set()

        assert (await draining).json == {"in_flight": 0, "cut": 0}
        assert (await asking).body == EVENT + EVENT + DONE
        assert meanwhile.slot == "green"


@story
async def test_s03_a_drain_cuts_at_its_deadline_counts_it_and_nobody_takes_it_for_whole(
    folder: Path,
) -> None:
    """S03: a stream breaks visibly; who had heard nothing yet is told to try again."""
    async with world(folder) as w:
        streaming = asyncio.create_task(w.ask("hold-stream"))
        waiting = asyncio.create_task(w.ask("hold"))
        await w.until_in_flight("blue", 2)
        await w.route(green=100)
        drained = await w.drain("blue", 0.1)
        retired = await waiting
        counts = await w.counts("blue")

        assert drained.json == {"in_flight": 0, "cut": 2}
        assert (retired.status, retired.code) == (503, "slot_retired")
        assert retired.headers["retry-after"] == "1"
        with pytest.raises(aiohttp.ClientPayloadError):
            await streaming
        assert (counts["requests"], counts["cut"], counts["in_flight"]) == (2, 2, 0)
        assert (counts["errors"], counts["truncated"]) == (0, 0)


@story
async def test_a_slot_that_has_weight_is_not_drained(folder: Path) -> None:
    async with world(folder) as w:
        answer = await w.drain("blue", 0)

        assert (answer.status, answer.code) == (409, "slot_has_weight")


@story
async def test_a_slot_that_gets_its_weight_back_while_it_drains_is_not_cut(folder: Path) -> None:
    """A return to blue in the middle of its retirement must not break anybody's answer."""
    async with world(folder) as w:
        asking = asyncio.create_task(w.ask("hold-stream"))
        await w.until_in_flight("blue", 1)
        await w.route(green=100)
        draining = asyncio.create_task(w.drain("blue", 1.0))
        await asyncio.sleep(0.05)
        await w.route(blue=100)
        new = await w.ask()
        drained = await draining
        w.apps["blue"].gate.set()

        assert new.slot == "blue"
        assert (drained.status, drained.code) == (409, "slot_has_weight")
        assert (await asking).body.endswith(DONE)


@story
async def test_a_draining_slot_takes_no_pinned_requests_until_the_drain_is_over(
    folder: Path,
) -> None:
    """The mark goes with the call that set it, so a killed command leaves none behind."""
    async with world(folder) as w:
        asking = asyncio.create_task(w.ask("hold"))
        await w.until_in_flight("blue", 1)
        await w.route(green=100)
        draining = asyncio.create_task(w.drain("blue", 20))
        pinned = await pinned_answer(w, 503)
        draining.cancel()
        await pinned_answer(w, 200)
        w.apps["blue"].gate.set()

        assert pinned.code == "slot_draining"
        assert (await asking).status == 200


async def pinned_answer(w: World, status: int) -> Answer:
    """Blue's first answer with this status; the drain needs a moment to begin and to end."""
    while (answer := await w.ask(role="tester", x_greenlight_slot="blue")).status != status:
        pass
    return answer


@story
async def test_a_drain_may_be_repeated_after_the_slot_went(folder: Path) -> None:
    async with world(folder) as w:
        assert (await w.drain("gone", 5)).json == {"in_flight": 0, "cut": 0}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"deadline_seconds": -1},
        {"deadline_seconds": "30"},
        {"deadline_seconds": True},
        {"deadline_seconds": float("inf")},
        {"deadline_seconds": float("nan")},
        {"deadline_seconds": 1, "force": True},
    ],
)
@story
async def test_a_drain_needs_a_deadline_that_is_one(
    folder: Path, document: dict[str, object]
) -> None:
    async with world(folder) as w:
        answer = await w.call("POST", "/-/drain/green", json=document)

        assert (answer.status, answer.code) == (422, "invalid_drain")
