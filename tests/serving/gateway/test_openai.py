"""Compatibility, as the unmodified openai client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving.gateway.world import APPLICATION, KEYS, World, story, world

MESSAGES: Any = [{"role": "user", "content": "Who are you?"}]


@asynccontextmanager
async def client(w: World, key: str = KEYS["user"]) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=w.url + "/v1", api_key=key, max_retries=0) as made:
        yield made


@story
async def test_the_client_gets_an_answer(folder: Path) -> None:
    async with world(folder) as w, client(w) as ai:
        answer = await ai.chat.completions.create(model=APPLICATION, messages=MESSAGES)

        assert answer.choices[0].message.content == "I am blue."
        assert answer._request_id


@story
async def test_the_client_gets_a_stream(folder: Path) -> None:
    async with world(folder) as w, client(w) as ai:
        stream = await ai.chat.completions.create(
            model=APPLICATION, messages=MESSAGES, stream=True, extra_body={"do": "stream"}
        )
        words = [event.choices[0].delta.content async for event in stream]

        assert words == ["Hello", " there"]


@story
async def test_the_client_lists_the_application_as_the_model(folder: Path) -> None:
    async with world(folder) as w, client(w) as ai:
        assert [model.id async for model in ai.models.list()] == [APPLICATION]


@story
async def test_the_client_understands_a_wrong_key(folder: Path) -> None:
    async with world(folder) as w, client(w, "wrong") as ai:
        with pytest.raises(openai.AuthenticationError) as refused:
            await ai.chat.completions.create(model=APPLICATION, messages=MESSAGES)

        assert refused.value.code == "invalid_api_key"


@story
async def test_the_client_understands_an_unknown_model(folder: Path) -> None:
    async with world(folder) as w, client(w) as ai:
        with pytest.raises(openai.NotFoundError) as refused:
            await ai.chat.completions.create(model="gpt-4o", messages=MESSAGES)

        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("decline", openai.BadRequestError),
        ("fail", openai.InternalServerError),
        ("vanish", openai.InternalServerError),
    ],
)
@story
async def test_the_client_understands_what_went_wrong_behind(
    folder: Path, do: str, kind: type[openai.APIStatusError]
) -> None:
    async with world(folder) as w, client(w) as ai:
        with pytest.raises(kind):
            await ai.chat.completions.create(
                model=APPLICATION, messages=MESSAGES, extra_body={"do": do}
            )


@story
async def test_the_client_does_not_take_a_broken_stream_for_a_whole_answer(folder: Path) -> None:
    async with world(folder) as w, client(w) as ai:
        stream = await ai.chat.completions.create(
            model=APPLICATION, messages=MESSAGES, stream=True, extra_body={"do": "break-stream"}
        )
        with pytest.raises(openai.APIConnectionError):
            [event async for event in stream]
        await stream.close()
