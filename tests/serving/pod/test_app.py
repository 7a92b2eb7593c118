"""A pod in one process: every ending counted, the end orderly, and the headers that say who."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from serving.application import engine as engine_module
from serving.application.engine import Engine
from serving.counting.counts import FIRST_TOKEN, INTER_TOKEN, LATENCY, Ending
from serving.gateway.errors import not_a_tester
from serving.pod import app as pod_module
from serving.pod.app import Pod
from serving.pod.bundle import read
from serving.pod.testers import Testers
from tests.manifests.making import release, rendering
from tests.serving.application.test_server import BODY, StandIn
from tests.serving.making import bundle
from tests.serving.pod.making import written
from tests.serving.testers import as_, callers_file

RELEASE = "a" * 64
BEGUN = "gen_ai_server_time_to_first_token_seconds_count"
LABELS = {"slot": "blue", "release": RELEASE}
MIRROR = ("requests_total", "errors_total", "dropped_total", "duration_seconds_count", "in_flight")
PINS: tuple[Mapping[str, str], ...] = (
    {"x-greenlight-slot": "blue"},
    {"x-greenlight-slot": "nowhere"},
    {"Cookie": "slot=blue"},
    {"Cookie": "a=b;slot=blue; c=d"},
)
SYNTHETIC = {"x-greenlight-synthetic": "1"}


class World:
    """A pod, the stand-in engine behind it, and somebody who asks; ``copies`` is its other door."""

    def __init__(
        self, pod: Pod, ports: tuple[int, int], session: aiohttp.ClientSession, engine: StandIn
    ) -> None:
        self.pod, self.session, self.engine = pod, session, engine
        self.url, self.copies = (f"http://127.0.0.1:{port}" for port in ports)

    async def ask(self, **body: Any) -> tuple[int, str, Any]:
        """Status, text and headers of one answer."""
        return await self.ask_with({}, **body)

    async def ask_with(
        self, headers: Mapping[str, str], door: str = "", **body: Any
    ) -> tuple[int, str, Any]:
        """The same, asked with ``headers``, or by another ``door``."""
        url = f"{door or self.url}/v1/chat/completions"
        async with self.session.post(url, json={**BODY, **body}, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def copy(self, **body: Any) -> int:
        """Send a copy, as a mirror does; the status of its answer."""
        status, _, _ = await self.ask_with({}, self.copies, **body)
        return status

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

    async def number(self, name: str) -> float:
        """The one sample of that name."""
        ((_, value),) = (await self.samples())[name]
        return value

    async def copied(self) -> dict[str, float]:
        """What is known of copies, without what did not happen."""
        known = {name: await self.number(f"greenlight_mirror_{name}") for name in MIRROR}
        return {name.removesuffix("_total"): value for name, value in known.items() if value}


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
    testers = Testers(folder / "callers.json", "slot")
    pod = Pod(read(written(folder, **content)), "blue", Engine.on_network(url, "model"), testers)
    ports = await pod.start("127.0.0.1", 0, 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield World(pod, ports, session, engine)
    finally:
        await pod.drain(0)
        await runner.cleanup()


TESTER_ONLY = not_a_tester().response().text or ""

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
    mirror = (f"greenlight_mirror_{name}" for name in MIRROR)
    names = ("greenlight_synthetic_requests_total", "greenlight_refusals_total", *mirror)
    for name in (*names, "greenlight_in_flight", "greenlight_requests_total"):
        assert all(value == 0 and labels.items() >= LABELS.items() for labels, value in found[name])
    spans = {
        "gen_ai_server_request_duration": LATENCY,
        "gen_ai_server_time_to_first_token": FIRST_TOKEN,
        "gen_ai_server_time_per_output_token": INTER_TOKEN,
        "greenlight_mirror_duration": LATENCY,
    }
    for name, bounds in spans.items():
        buckets = found[f"{name}_seconds_bucket"]
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


@pytest.mark.parametrize(
    ("fail", "body", "known"),
    [
        ("", {"temperature": 1}, {"requests": 1, "duration_seconds_count": 1}),
        ("", {"stream": True}, {"requests": 1, "duration_seconds_count": 1}),
        ("", {"model": "another"}, {"requests": 1}),
        ("die", {}, {"requests": 1, "errors": 1}),
        ("stop", {"stream": True}, {"requests": 1, "errors": 1}),
    ],
)
def test_a_copy_counts_among_copies_alone(
    tmp_path: Path, fail: str, body: dict[str, Any], known: dict[str, float]
) -> None:
    """Neither users' outcomes nor their times know of it, and the scaling does."""

    async def tell() -> None:
        async with world(tmp_path, fail) as w:
            before = await w.samples()
            await w.copy(**body)
            after = await w.samples()

            assert await w.copied() == known
        users = [name for name in before if "mirror" not in name]
        assert [after[name] for name in users] == [before[name] for name in users]

    asyncio.run(tell())


@story
async def test_s13_whether_a_copy_differed_is_not_told(folder: Path) -> None:
    """A pod never sees what the caller got: a zero would be a claim."""
    async with world(folder) as w:
        await w.copy()
        found = await w.samples()

    assert not {"greenlight_mirror_same_total", "greenlight_mirror_different_total"} & set(found)


@story
async def test_a_copy_under_way_is_told_apart_and_nobody_waits_for_it(folder: Path) -> None:
    """It is load, so autoscaling sees it. A pod that goes drops it, and has cut nobody."""
    async with world(folder, "hang") as w:
        sending = asyncio.create_task(w.copy(stream=True))
        await w.engine.was_asked("Why?")
        assert await w.copied() == {"in_flight": 1}
        assert await w.number("greenlight_in_flight") == 1

        assert await w.pod.drain(60) == 0
        with contextlib.suppress(aiohttp.ClientError):
            await sending


@story
async def test_nothing_is_known_of_a_copy_whose_sender_hung_up(folder: Path) -> None:
    """Some proxies read no answer of a copy: that is neither an answer nor an error."""
    async with world(folder, "hang") as w:
        sending = asyncio.create_task(w.copy())
        await w.engine.was_asked("Why?")
        sending.cancel()
        await asyncio.wait_for(w.engine.cancelled.wait(), 60)
        while await w.copied() != {"dropped": 1}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@story
async def test_only_questions_come_in_by_the_door_for_copies(folder: Path) -> None:
    async with world(folder) as w:
        for path in ("/health", "/metrics", "/v1/models"):
            async with w.session.get(w.copies + path) as answer:
                assert answer.status == 404


def known(folder: Path) -> None:
    """Let the pod of ``folder`` know testers, as a ConfigMap does."""
    new = folder / "callers.new"
    new.write_text(callers_file(rendering(release())))
    new.replace(folder / "callers.json")


@pytest.mark.parametrize(("role", "counted"), [("user", 0), ("tester", 1), ("operator", 1)])
def test_only_testers_ask_in_the_place_of_users(tmp_path: Path, role: str, counted: int) -> None:
    """Who else says so is a user, and counts as one."""
    known(tmp_path)

    async def tell() -> None:
        async with world(tmp_path) as w:
            assert (await w.ask_with(as_(role, **SYNTHETIC)))[0] == 200
            assert (await w.ask_with(SYNTHETIC))[0] == 200

            assert await w.number("greenlight_synthetic_requests_total") == counted
            assert await w.outcomes() == {"whole": 2}

    asyncio.run(tell())


@pytest.mark.parametrize("pin", PINS)
def test_only_testers_name_a_slot(tmp_path: Path, pin: Mapping[str, str]) -> None:
    """Everybody else is refused as by the gateway, by either door, and no slot pays for it."""
    known(tmp_path)

    async def tell() -> None:
        async with world(tmp_path) as w:
            for headers in (pin, as_("user", **pin), {**pin, "Authorization": "Basic a-tester"}):
                for door in (w.url, w.copies):
                    status, text, _ = await w.ask_with(headers, door)
                    assert (status, json.loads(text)) == (403, json.loads(TESTER_ONLY))
            assert (await w.outcomes(), await w.copied()) == ({}, {})
            assert not w.engine.asked[1:]  # but for the pod's own sample

            for role in ("tester", "operator"):
                assert (await w.ask_with(as_(role, **pin)))[0] == 200

    asyncio.run(tell())


@story
async def test_without_a_word_on_callers_nobody_is_a_tester(folder: Path) -> None:
    """And from the moment that there is one, it holds: what is mounted comes late."""
    async with world(folder) as w:
        asking = as_("tester", **PINS[0], **SYNTHETIC)
        assert (await w.ask_with(asking))[0] == 403

        (folder / "callers.json").write_text('{"callers": [')
        assert (await w.ask_with(asking))[0] == 403

        known(folder)
        assert (await w.ask_with(asking))[0] == 200
        assert await w.number("greenlight_synthetic_requests_total") == 1


@pytest.mark.parametrize("authorization", ["Bearer of-the-platform", "Basic abc", "Bearer é"])
def test_a_users_authorization_is_nobodys_business_here(tmp_path: Path, authorization: str) -> None:
    """The platform's gateway asks for it, if anybody does."""

    async def tell() -> None:
        async with world(tmp_path) as w:
            cookie = {"Cookie": "my-slot=blue; slots=blue"}
            asked = await w.ask_with({"Authorization": authorization, **cookie})

            assert asked[0] == 200

    asyncio.run(tell())


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
