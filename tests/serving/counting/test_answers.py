"""What was said, read from the bytes of an answer: whole or streamed, bounded, never guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.counting.answers import Answer
from tests.serving.gateway.world import DONE, EVENT, chunk

PLENTY = 1_000_000


def whole(content: object) -> bytes:
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": content}}]}
    ).encode()


def read(raw: bytes, streamed: bool, limit: int = PLENTY) -> str:
    answer = Answer(limit)
    answer.pass_on(raw) if streamed else answer.add(raw)
    return answer.text


@given(st.text())
def test_a_whole_answers_text_is_its_messages(text: str) -> None:
    assert read(whole(text), streamed=False) == text


@given(st.lists(st.text(), min_size=1), st.data())
def test_a_streams_text_is_that_of_its_parts_however_the_bytes_were_cut(
    parts: list[str], data: st.DataObject
) -> None:
    raw = EVENT + b"".join(map(chunk, parts)) + DONE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    answer = Answer(PLENTY)
    ends = [
        answer.pass_on(raw[a:b])
        for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)
        if b > a
    ]

    assert answer.text == "".join(parts)
    assert answer.is_complete
    assert ends[-1]


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(0, 300))
def test_no_more_than_the_limit_is_kept_and_the_rest_is_known_to_be_missing(
    chunks: list[bytes], limit: int
) -> None:
    answer = Answer(limit)
    for one in chunks:
        answer.add(one)

    assert b"".join(answer._kept) == b"".join(chunks)[:limit]
    assert answer.is_complete == (sum(map(len, chunks)) <= limit)


def test_of_a_stream_beyond_the_limit_the_beginning_is_read() -> None:
    raw = chunk("I don't ") + chunk("know") + chunk(", but") + DONE

    assert read(raw, streamed=True, limit=len(raw) - len(DONE) - 9) == "I don't know"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"\xff", b"[1", b"[]", b"{}", b"null", b"7"),
        *(b'{"choices": null}', b'{"choices": [7]}', b'{"choices": [{"message": null}]}'),
        *(b'{"choices": [{"delta": 7}]}', b"[" * 100_000, whole(None), whole(["parts"])),
    ],
    ids=lambda raw: str(raw[:30]),
)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_no_chat_answer_says_nothing(raw: bytes, streamed: bool) -> None:
    assert read(b"data: " + raw + b"\n\n" if streamed else raw, streamed) == ""


@pytest.mark.parametrize(
    ("raw", "ended"),
    [
        (DONE, True),
        (EVENT + DONE, True),
        (EVENT + b"data:[DONE]\n\n", True),
        (EVENT, False),
        (chunk("data: [DONE]"), False),
        (DONE + EVENT, False),
    ],
)
def test_a_stream_ends_with_its_last_word_and_not_with_a_text_that_reads_like_it(
    raw: bytes, ended: bool
) -> None:
    assert Answer(PLENTY).pass_on(raw) is ended
