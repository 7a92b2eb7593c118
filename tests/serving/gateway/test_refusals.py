"""Refusals: counted by phrases that may change, never delaying or keeping an answer."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from serving.counting.answers import Answer
from serving.gateway.settings import Refusals
from tests.serving.gateway.world import story, world, write_settings

PHRASES = ("I don't know", "cannot help")


def answer_that_says(text: str) -> Answer:
    answer = Answer(10_000)
    answer.text = text
    return answer


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I don't know.", True),
        ("Sorry, I DON'T KNOW that.", True),
        ("I don\u2019t know.", True),
        ("We cannot help you.", True),
        ("I do know.", False),
        ("", False),
    ],
)
def test_an_answer_that_holds_a_phrase_in_any_case_is_a_refusal(
    folder: Path, text: str, refuses: bool
) -> None:
    write_settings(folder, PHRASES)

    assert Refusals(folder).held_by(answer_that_says(text)) is refuses


def test_without_phrases_nothing_is_a_refusal(folder: Path) -> None:
    write_settings(folder)

    assert not Refusals(folder).held_by(answer_that_says("I don't know."))


def test_new_phrases_hold_at_once(folder: Path) -> None:
    write_settings(folder, PHRASES)
    refusals = Refusals(folder)
    before = refusals.held_by(answer_that_says("No idea."))
    write_settings(folder, ("no idea",))

    assert (before, refusals.held_by(answer_that_says("No idea."))) == (False, True)


def test_while_the_file_is_damaged_the_last_good_phrases_hold(folder: Path) -> None:
    """No phrases would read as a slot that never refuses."""
    write_settings(folder, PHRASES)
    refusals = Refusals(folder)
    assert refusals.held_by(answer_that_says("I don't know."))

    (folder / "gateway.json").write_text("{")

    assert refusals.held_by(answer_that_says("I don't know."))


@pytest.mark.parametrize("do", ["say", "say-in-parts"])
@story
async def test_a_refusal_is_counted_when_its_caller_has_it_whole_or_streamed(
    folder: Path, do: str
) -> None:
    async with world(folder) as w:
        write_settings(folder, PHRASES)
        await w.say("I don't know, sorry.", do)
        await w.say("It is green.", do)
        counts = await w.counts("blue")

        assert (counts["requests"], counts["refused"], counts["errors"]) == (2, 1, 0)


@story
async def test_only_answers_that_are_whole_are_held_against_the_phrases(folder: Path) -> None:
    """An error or a broken stream is counted as that."""
    async with world(folder) as w:
        write_settings(folder, ("no", "hello", "data"))
        await w.ask("fail")
        await w.ask("decline")
        with pytest.raises(aiohttp.ClientPayloadError):
            await w.ask("break-stream")

        assert (await w.counts("blue"))["refused"] == 0


@story
async def test_every_request_is_counted_under_one_ending(folder: Path) -> None:
    async with world(folder) as w:
        for do in ("answer-at-once", "decline", "fail"):
            await w.ask(do)
        counts = await w.counts("blue")

        assert (counts["requests"], counts["declined"], counts["errors"]) == (3, 1, 1)
