"""A pod in one process: every ending counted, the end orderly, and the headers that say who."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from serving.application import engine as engine_module
from serving.application.engine import Engine
from serving.counting.counts import FIRST_TOKEN, INTER_TOKEN, LATENCY, Ending
from serving.pod import app as pod_module
from serving.pod.app import Pod
from serving.pod.bundle import read
from tests.serving.application.test_server import BODY, StandIn
from tests.serving.making import bundle
from tests.serving.pod.making import written

RELEASE = "a" * 64
BEGUN = "gen_ai_server_time_to_first_token_seconds_count"
LABELS = {"slot": "blue", "release": RELEASE}


class World:
    """A pod, the stand-in engine behind it, and somebody who asks."""

    def __init__(self, pod: Pod, url: str, session: aiohttp.ClientSession, engine: StandIn) -> None:
        self.pod, self.url, self.session, self.engine = pod, url, session, engine

    async def ask(self, **body: Any) -> tuple[int, str, Any]:
        """Status, text and headers of one answer."""
        async with self.session.post(
            f"{self.url}/v1/chat/completions", json={**BODY, **body}
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> None:
        """Return when it is."""
        while (await self.get("/health"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """What Prometheus reads, by name."""
        _, text = await self.get("/metrics")
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                found.setdefault(one.name, []).append((one.labels, one.value))
        return found

    async def outcomes(self) -> dict[str, float]:
        """How requests ended, without what did not happen."""
        counted = (await self.samples())["greenlight_requests_total"]
        return {labels["outcome"]: value for labels, value in counted if value}


@contextlib.asynccontextmanager
async def world(folder: Path, fail: str = "", **content: Any) -> AsyncIterator[World]:
    """A pod with ``content`` laid over its bundle."""
    engine = StandIn()
    engine.fail = fail
    routes = web.Application()
    routes.router.add_post("/v1/chat/completions", engine.complete)
    routes.router.add_get("/health", engine.health)
    runner = web.AppRunner(routes, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    pod = Pod(read(written(folder, **content)), "blue", Engine.on_network(url, "model"))
    port = await pod.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield World(pod, f"http://127.0.0.1:{port}", session, engine)
    finally:
        await pod.drain(0)
        await runner.cleanup()


Story = Callable[[Path], Coroutine[None, None, None]]


def story(tell: Story) -> Callable[[Path], None]:
    """A test that awaits."""

    def test(tmp_path: Path) -> None:
        asyncio.run(tell(tmp_path))

    test.__doc__, test.__name__ = tell.__doc__, tell.__name__
    return test


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads the last numbers, and no model server comes back here."""
    monkeypatch.setattr(pod_module, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(pod_module, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(engine_module, "RESTART_SECONDS", 0.1)


@story
async def test_s13_every_number_is_there_from_the_first_moment(folder: Path) -> None:
    """As zero, under the labels that it will have for good."""
    async with world(folder) as w:
        found = await w.samples()

    outcomes = found["greenlight_requests_total"]
    assert {labels["outcome"] for labels, _ in outcomes} == {one.value for one in Ending}
    names = ("greenlight_synthetic_requests_total", "greenlight_refusals_total")
    for name in (*names, "greenlight_in_flight", "greenlight_requests_total"):
        assert all(value == 0 and labels.items() >= LABELS.items() for labels, value in found[name])
    spans = {"request_duration": LATENCY, "time_to_first_token": FIRST_TOKEN}
    for name, bounds in (spans | {"time_per_output_token": INTER_TOKEN}).items():
        buckets = found[f"gen_ai_server_{name}_seconds_bucket"]
        assert [float(labels["le"]) for labels, _ in buckets] == [*bounds, float("inf")]
        assert all(value == 0 and labels.items() >= LABELS.items() for labels, value in buckets)


@story
async def test_whole_answers_have_times_and_streams_have_more(folder: Path) -> None:
    """A stream's first chunk, and the time between two; its end mark is no token."""
    async with world(folder) as w:
        await w.ask()
        await w.ask(stream=True)
        found = await w.samples()

        assert await w.outcomes() == {"whole": 2}
    assert found["gen_ai_server_request_duration_seconds_count"][0][1] == 2
    assert found["gen_ai_server_time_to_first_token_seconds_count"][0][1] == 1
    assert found["gen_ai_server_time_per_output_token_seconds_count"][0][1] == 3


@pytest.mark.parametrize(
    ("fail", "body", "outcome"),
    [
        ("", {"temperature": 1}, "whole"),
        ("", {"model": "another"}, "declined"),
        ("refuse", {}, "declined"),
        ("die", {}, "error"),
        ("stop", {}, "error"),
        ("die", {"stream": True}, "truncated"),
        ("stop", {"stream": True}, "truncated"),
    ],
)
def test_every_request_has_one_ending(
    tmp_path: Path, fail: str, body: dict[str, Any], outcome: str
) -> None:
    """As in the gateway."""

    async def tell() -> None:
        async with world(tmp_path, fail) as w:
            await w.ask(**body)

            assert await w.outcomes() == {outcome: 1}

    asyncio.run(tell())


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_hangs_up_has_abandoned_it(tmp_path: Path, stream: bool) -> None:
    """And the engine stops."""

    async def tell() -> None:
        async with world(tmp_path, "hang") as w:
            asking = asyncio.create_task(w.ask(stream=stream))
            await w.engine.was_asked("Why?")
            asking.cancel()
            await asyncio.wait_for(w.engine.cancelled.wait(), 60)
            while await w.outcomes() != {"abandoned": 1}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(tell())


@pytest.mark.parametrize(
    ("refusal", "counted"), [(["BECAUSE"], [1.0]), (["no"], [0.0]), (None, [])]
)
def test_s13_refusals_are_counted_where_somebody_has_said_what_they_are(
    tmp_path: Path, refusal: list[str] | None, counted: list[float]
) -> None:
    """Elsewhere there is no such number: its zero would be a claim."""

    async def tell() -> None:
        async with world(tmp_path, refusal=refusal) as w:
            await w.ask()
            found = (await w.samples()).get("greenlight_refusals_total", [])

            assert [value for _, value in found] == counted

    asyncio.run(tell())


@story
async def test_it_says_who_has_answered(folder: Path) -> None:
    """On Kubernetes nobody else can; the caller's own id comes back."""
    async with world(folder) as w:
        _, _, headers = await w.ask()

        assert headers["x-greenlight-slot"] == "blue"
        assert headers["x-greenlight-release"] == "support-bot@aaaaaaa"
        assert headers["x-request-id"]


@story
async def test_it_lists_the_application_as_the_model(folder: Path) -> None:
    async with world(folder) as w:
        status, text = await w.get("/v1/models")

        assert (status, [one["id"] for one in json.loads(text)["data"]]) == (200, ["support-bot"])


@story
async def test_the_engine_is_asked_for_its_model_by_name(folder: Path) -> None:
    """vLLM answers to no other."""
    async with world(folder) as w:
        await w.ask(model="support-bot")

        assert w.engine.asked[-1]["model"] == "model"


@story
async def test_s02_it_lives_and_is_not_ready_while_its_engine_refuses(folder: Path) -> None:
    async with world(folder, "refuse") as w:
        assert (await w.get("/alive"))[0] == 200
        assert (await w.get("/health"))[0] == 503


@story
async def test_s01_a_pod_that_leaves_answers_and_asks_for_nothing_new(folder: Path) -> None:
    """Not ready at once; what comes late is answered, on a connection that closes then."""
    async with world(folder, "hang") as w:
        first = asyncio.create_task(w.ask(stream=True))
        await w.engine.was_asked("Why?")
        leaving = asyncio.create_task(w.pod.drain(60))
        await asyncio.sleep(0)

        status, _, headers = await w.ask(model="another")
        assert (status, headers["connection"]) == (404, "close")
        assert (await w.get("/health"))[0] == 503
        assert (await w.get("/alive"))[0] == 200
        assert not leaving.done()
        w.engine.fail = ""
        assert (await first)[1].rstrip().endswith("data: [DONE]")
        assert await leaving == 0


@story
async def test_s03_what_is_left_when_the_drain_is_over_is_cut(folder: Path) -> None:
    """A stream breaks visibly; an answer that had not begun says that it may be asked again."""
    async with world(folder, "hang") as w:
        streaming = asyncio.create_task(w.ask(stream=True))
        whole = asyncio.create_task(w.ask())
        for _ in range(2):
            await w.engine.was_asked("Why?")
        while not (await w.samples())[BEGUN][0][1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        assert await w.pod.drain(0) == 2
        status, text, headers = await whole
        assert (status, json.loads(text)["error"]["code"]) == (503, "slot_retired")
        assert headers["retry-after"] == "1"
        with pytest.raises(aiohttp.ClientPayloadError):
            await streaming


@story
async def test_its_last_numbers_wait_until_they_were_read(folder: Path) -> None:
    """But for a moment only: there may be no Prometheus."""
    pod_module.TELL_SECONDS = 60.0
    async with world(folder) as w:
        await w.ask()
        leaving = asyncio.create_task(w.pod.drain(60))
        while (await w.get("/health"))[0] != 503:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not leaving.done()

        assert await w.outcomes() == {"whole": 1}
        assert await leaving == 0


@story
async def test_what_comes_from_nobody_is_counted_apart(folder: Path) -> None:
    async with world(folder) as w:
        headers = {"x-greenlight-synthetic": "1"}
        async with w.session.post(
            f"{w.url}/v1/chat/completions", json=BODY, headers=headers
        ) as answer:
            assert answer.status == 200

        assert (await w.samples())["greenlight_synthetic_requests_total"][0][1] == 1


@pytest.mark.parametrize("known", [True, False])
def test_control_tokens_of_callers_are_taken_apart(tmp_path: Path, known: bool) -> None:
    """By the model's own list; by their shape where nobody has read it."""

    async def tell() -> None:
        markers = ["<|im_end|>"] if known else None
        async with world(tmp_path, markers=markers) as w:
            await w.ask(messages=[{"role": "user", "content": "<|im_end|><b>"}])
            said = w.engine.asked[-1]["messages"][-1]["content"]

            assert ("< |im_end|><b>" in said) == known
            assert ("< |im_end|>< b>" in said) != known

    asyncio.run(tell())


def test_what_it_serves_is_the_bundle(tmp_path: Path) -> None:
    """The prompt with its label, under the release's digest."""
    found = read(written(tmp_path))

    assert (found.release, found.prompt.application) == (RELEASE, bundle()["application"])
