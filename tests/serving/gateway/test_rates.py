"""Rate limits: what a key may ask, what it is told, and who is not concerned."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.errors import BadInput
from serving.gateway.callers import Caller, Rate
from serving.gateway.errors import ApiError
from serving.gateway.rates import Bucket, Rates, refill
from serving.gateway.watched import parse
from tests.serving.gateway.world import APPLICATION, KEYS, story, world, write_callers

SLOW = {"per_second": 0.5, "burst": 2}
RATES = st.builds(Rate, per_second=st.floats(0.01, 1000), burst=st.integers(1, 100))


def caller(rate: Rate | None, name: str = "user") -> Caller:
    return Caller(name=name, role="user", sha256="0" * 64, rate=rate)


@given(RATES, st.lists(st.floats(0, 20), max_size=60))
def test_in_any_time_no_more_is_let_through_than_a_burst_and_what_has_grown(
    rate: Rate, pauses: list[float]
) -> None:
    now = 0.0
    rates, passed = Rates(lambda: now), 0
    for pause in pauses:
        now += pause
        with suppress(ApiError):
            rates.take(caller(rate))
            passed += 1

    assert passed <= rate.burst + now * rate.per_second + 1e-6
    assert passed + rates.limited["user"] == len(pauses)


@given(RATES, st.integers(1, 5))
def test_who_waits_as_long_as_told_is_let_through(rate: Rate, asked: int) -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for _ in range(asked):
        now += wait(rates, rate)
        rates.take(caller(rate))


def wait(rates: Rates, rate: Rate) -> int:
    """Use up the bucket; the seconds that the refusal names."""
    with suppress(ApiError):
        while True:
            rates.take(caller(rate))
    with pytest.raises(ApiError) as refused:
        rates.take(caller(rate))
    assert refused.value.headers is not None
    return int(refused.value.headers["Retry-After"])


@pytest.mark.parametrize(
    ("tokens", "seconds", "expected"), [(0, 1, 2), (0, 100, 5), (5, 0, 5), (3, -10, 3)]
)
def test_a_bucket_fills_with_time_up_to_a_burst(
    tokens: float, seconds: float, expected: float
) -> None:
    """A clock that goes back takes nothing away."""
    bucket = refill(Bucket(tokens, 10.0), Rate(per_second=2, burst=5), 10.0 + seconds)

    assert bucket == Bucket(expected, 10.0 + seconds)


def test_each_caller_has_a_bucket_and_who_has_no_rate_has_no_limit() -> None:
    rates = Rates(lambda: 0.0)
    once = Rate(per_second=1, burst=1)
    rates.take(caller(once, "ada"))
    rates.take(caller(once, "bob"))
    free = [rates.take(caller(None, "eve")) for _ in range(100)]

    assert free == [{}] * 100
    with pytest.raises(ApiError, match="may ask 1 times a second, 1 at once"):
        rates.take(caller(once, "ada"))
    assert rates.limited == {"ada": 1}


def test_a_changed_rate_holds_at_once() -> None:
    rates = Rates(lambda: 0.0)
    rates.take(caller(Rate(per_second=1, burst=1)))

    assert rates.take(caller(Rate(per_second=1, burst=9)))["x-ratelimit-remaining-requests"] == "8"


@pytest.mark.parametrize(
    "rate",
    [
        {"per_second": 0, "burst": 1},
        {"per_second": 1, "burst": 0},
        {"per_second": 1, "burst": 1.5},
        {"per_second": "1", "burst": 1},
        {"per_second": float("inf"), "burst": 1},
        {"per_second": 1},
        {"burst": 1},
        {"per_second": 1, "burst": 1, "per_day": 5},
        7,
    ],
)
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    """No limit is said by leaving it out."""
    with pytest.raises(BadInput, match="rate"):
        parse(Caller, {"name": "a", "role": "user", "sha256": "0" * 64, "rate": rate})


@story
async def test_beyond_its_rate_a_key_gets_429_in_openais_shape_and_reaches_no_slot(
    folder: Path,
) -> None:
    async with world(folder) as w:
        write_callers(folder, user=SLOW)
        answers = [await w.ask() for _ in range(3)]
        refused = answers[2]

        assert [answer.status for answer in answers] == [200, 200, 429]
        assert (refused.code, refused.json["error"]["type"]) == ("rate_limit_exceeded", "requests")
        assert refused.headers["retry-after"] == "2"
        assert refused.slot is None
        assert len(w.apps["blue"].requests) == 2
        assert (await w.counts("blue"))["requests"] == 2


@story
async def test_every_answer_says_what_is_left(folder: Path) -> None:
    async with world(folder) as w:
        write_callers(folder, user=SLOW)
        answers = [await w.ask("stream"), await w.ask(), await w.ask()]
        told = [
            {name: value for name, value in answer.headers.items() if "ratelimit" in name}
            for answer in answers
        ]
        w.now += 3

        assert told == [
            {
                "x-ratelimit-limit-requests": "2",
                "x-ratelimit-remaining-requests": left,
                "x-ratelimit-reset-requests": reset,
            }
            for left, reset in (("1", "2.000s"), ("0", "4.000s"), ("0", "4.000s"))
        ]
        assert (await w.ask()).status == 200


@story
async def test_a_limit_is_one_keys_and_never_the_operators_hands(folder: Path) -> None:
    """Weights have to move, above all when there is too much traffic."""
    async with world(folder) as w:
        write_callers(folder, user=SLOW, operator={"per_second": 0.001, "burst": 1})
        asked = [(await w.ask(role="operator")).status for _ in range(2)]
        turned = [(await w.route(blue=100)).status for _ in range(5)]
        read = [(await w.call("GET", "/-/counts")).status for _ in range(5)]
        others = [(await w.ask(role=role)).status for role in ("user", "tester", "tester")]

        assert asked == [200, 429]
        assert turned + read + others == [200] * 13


@story
async def test_a_limit_comes_and_goes_without_a_restart(folder: Path) -> None:
    async with world(folder) as w:
        write_callers(folder, user={"per_second": 0.001, "burst": 1})
        limited = [(await w.ask()).status for _ in range(2)]
        write_callers(folder)
        free = await w.ask()

        assert limited == [200, 429]
        assert free.status == 200
        assert not [name for name in free.headers if "ratelimit" in name]


@story
async def test_the_openai_client_understands_and_tries_again_when_told(folder: Path) -> None:
    async with world(folder) as w:
        write_callers(folder, user={"per_second": 1, "burst": 1})
        async with openai.AsyncOpenAI(
            base_url=w.url + "/v1", api_key=KEYS["user"], max_retries=0
        ) as client:
            await client.models.list()
            with pytest.raises(openai.RateLimitError) as refused:
                await client.chat.completions.create(
                    model=APPLICATION, messages=[{"role": "user", "content": "Who are you?"}]
                )

        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.response.headers["retry-after"] == "1"
