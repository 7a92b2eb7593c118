"""S02: nobody is sent to a slot that is not ready, and a short absence is waited out."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.serving.gateway.world import (
    CHAT,
    DONE,
    IMPATIENT,
    Answer,
    World,
    release_in,
    story,
    world,
)

BOTH = {"blue": 50, "green": 50}


async def ask_many(w: World, number: int) -> list[Answer]:
    return await asyncio.gather(*(w.ask() for _ in range(number)))


@story
async def test_requests_are_shared_out_by_weight(folder: Path) -> None:
    async with world(folder, weights={"blue": 70, "green": 30}) as w:
        w.points = iter([(point + 0.5) / 100 for point in range(100)])
        # A few at a time: one that has to try again draws another point, on a busy machine.
        answers = [answer for _ in range(10) for answer in await ask_many(w, 10)]

        assert [answer.status for answer in answers] == [200] * 100
        assert sum(answer.slot == "blue" for answer in answers) == 70
        assert (await w.counts("green"))["requests"] == 30


@story
async def test_s02_a_slot_that_is_not_ready_is_not_visited_and_the_other_takes_over(
    folder: Path,
) -> None:
    """S02: its application may still answer, but the supervisor says that it should not."""
    async with world(folder, weights=BOTH) as w:
        w.say_ready(blue=False)
        answers = await ask_many(w, 8)

        assert [answer.slot for answer in answers] == ["green"] * 8
        assert w.apps["blue"].requests == []


@story
async def test_s02_a_slot_without_weight_never_stands_in(folder: Path) -> None:
    """S02: an unverified green must not get people only because blue is away."""
    async with world(folder, weights={"blue": 100, "green": 0}, limits=IMPATIENT) as w:
        w.say_ready(blue=False)
        answer = await w.ask()

        assert (answer.status, answer.code) == (503, "slot_not_ready")
        assert answer.headers["retry-after"] == "1"
        assert w.apps["green"].requests == []


@pytest.mark.parametrize("pin", [{}, {"x_greenlight_slot": "blue"}])
@story
async def test_a_request_waits_for_its_slot_to_come_back(folder: Path, pin: dict[str, str]) -> None:
    async with world(folder) as w:
        w.say_ready(blue=False)
        asking = asyncio.create_task(w.ask(role="tester", **pin))
        await asyncio.sleep(0.1)
        w.say_ready(blue=True)

        assert (await asking).status == 200


@story
async def test_a_pinned_request_does_not_go_elsewhere(folder: Path) -> None:
    async with world(folder, weights={"blue": 100}, limits=IMPATIENT) as w:
        w.say_ready(green=False)
        answer = await w.ask(role="tester", x_greenlight_slot="green")

        assert (answer.status, answer.code) == (503, "slot_not_ready")
        assert w.apps["blue"].requests == []


@story
async def test_a_slot_that_refuses_connections_is_passed_over_and_blamed_once(
    folder: Path,
) -> None:
    """The supervisor has not noticed yet; nothing was sent, so the other slot may be asked."""
    async with world(folder, weights=BOTH) as w:
        await w.apps["blue"].stop()
        answer = await w.ask()
        counts = await w.counts("blue")

        assert (answer.status, answer.slot) == (200, "green")
        assert (counts["requests"], counts["errors"]) == (1, 1)


@story
async def test_a_slot_that_refuses_connections_is_tried_again_until_it_is_back(
    folder: Path,
) -> None:
    async with world(folder) as w:
        await w.apps["blue"].stop()
        asking = asyncio.create_task(w.ask())
        await asyncio.sleep(0.1)
        await w.apps["blue"].start()
        answer = await asking
        counts = await w.counts("blue")

        assert (answer.status, answer.slot) == (200, "blue")
        assert (counts["requests"], counts["errors"]) == (2, 1)


@pytest.mark.parametrize("gone", ["stopped", "no socket"])
@story
async def test_a_slot_that_stays_away_gets_503_after_a_bounded_wait(
    folder: Path, gone: str
) -> None:
    async with world(folder, limits=IMPATIENT) as w:
        await w.apps["blue"].stop()
        if gone == "no socket":
            w.apps["blue"].path.unlink()
        answer = await w.ask()

        assert (answer.status, answer.code) == (503, "slot_not_ready")
        assert (await w.counts("blue"))["errors"] == 1


@story
async def test_without_weights_the_answer_is_503_at_once(folder: Path) -> None:
    async with world(folder, weights={}) as w:
        answer = await w.ask()

        assert (answer.status, answer.code) == (503, "no_slot_has_weight")


@pytest.mark.parametrize("content", [None, "", '{"slots": {"blue": {"ready": "yes"}}}'])
@story
async def test_an_endpoints_file_that_cannot_be_read_makes_nobody_ready(
    folder: Path, content: str | None
) -> None:
    async with world(folder, limits=IMPATIENT) as w:
        path = folder / "endpoints.json"
        path.unlink() if content is None else path.write_text(content)
        answer = await w.ask()

        assert (answer.status, answer.code) == (503, "slot_not_ready")
        assert "endpoints.json" in answer.json["error"]["message"]


@story
async def test_a_new_release_at_the_same_socket_gets_connections_of_its_own(
    folder: Path,
) -> None:
    """An idle connection to the release before it must not answer in its name."""
    async with world(folder) as w:
        await w.ask()
        old = w.apps["blue"].requests[-1].transport
        endpoints = (folder / "endpoints.json").read_text()
        (folder / "endpoints.json").write_text(endpoints.replace(release_in("blue"), "other@1"))
        answer = await w.ask()
        new = w.apps["blue"].requests[-1].transport

        assert answer.headers["x-greenlight-release"] == "other@1"
        assert old is not new


@story
async def test_connections_to_a_slot_are_kept_and_used_again(folder: Path) -> None:
    async with world(folder) as w:
        for _ in range(5):
            await w.ask()

        assert len({id(request.protocol) for request in w.apps["blue"].requests}) == 1


@story
async def test_a_burst_beyond_the_slots_queue_is_waited_out(folder: Path) -> None:
    """A Unix socket with a full queue turns connections away; no request may fail by that."""
    async with world(folder) as w:
        await w.apps["blue"].stop()
        await w.apps["blue"].start(backlog=1)
        answers = await ask_many(w, 60)

        assert [answer.status for answer in answers] == [200] * 60
        assert (await w.counts("blue"))["errors"] == 0


@story
async def test_s01_switching_back_and_forth_under_load_loses_nothing(folder: Path) -> None:
    """S01: eight callers, half of them streaming, while all traffic moves thirty times."""
    async with world(folder) as w:
        switching = True

        async def caller(number: int) -> list[Answer]:
            do = "stream" if number % 2 else "answer-at-once"
            answers = []
            while switching:
                answers.append(await w.ask(do))
            return answers

        callers = asyncio.gather(*map(caller, range(8)))
        for slot in itertools.islice(itertools.cycle(["green", "blue"]), 30):
            assert (await w.route(**{slot: 100})).status == 200
            other = "blue" if slot == "green" else "green"
            assert (await w.drain(other, 60)).json == {"in_flight": 0, "cut": 0}
        switching = False
        answers = [answer for one in await callers for answer in one]
        counts = [await w.counts(slot) for slot in ("blue", "green")]

        assert {answer.status for answer in answers} == {200}
        assert {answer.slot for answer in answers} == {"blue", "green"}
        streams = [a for a in answers if a.headers["content-type"] == "text/event-stream"]
        assert all(answer.body.endswith(DONE) for answer in streams)
        assert sum(c["requests"] for c in counts) == len(answers) > 30
        assert [c[bad] for c in counts for bad in ("errors", "truncated", "cut")] == [0] * 6


@story
async def test_whatever_begins_after_a_change_is_answered_follows_it(folder: Path) -> None:
    """While eight callers keep the gateway busy: a change takes no longer than its own answer,
    and no request that begins later is late for it, whether it names its user or not."""
    async with world(folder) as w:
        switching = True

        async def caller() -> set[int]:
            seen = set()
            while switching:
                seen.add((await w.ask("stream")).status)
            return seen

        callers = asyncio.gather(*(caller() for _ in range(8)))
        turns = list(itertools.islice(itertools.cycle(["green", "blue"]), 30))
        followed = []
        for slot in turns:
            await w.route(**{slot: 100})
            bodies: list[dict[str, str]] = [{}, {}, {"user": "ada"}, {"user": "bob"}]
            first = await asyncio.gather(*(w.call("POST", CHAT, json=body) for body in bodies))
            followed.append({answer.slot for answer in first})
        switching = False

        assert followed == [{slot} for slot in turns]
        assert await callers == [{200}] * 8


@story
async def test_a_new_weight_holds_for_the_next_request(folder: Path) -> None:
    async with world(folder) as w:
        slots = []
        for slot in ("green", "blue", "green"):
            await w.route(**{slot: 100})
            slots.append((await w.call("POST", CHAT, json={})).slot)

        assert slots == ["green", "blue", "green"]
