"""What Prometheus gets: OpenTelemetry's names, and the same numbers as the counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.gateway.world import (
    APPLICATION,
    World,
    release_in,
    story,
    untouched_world,
    world,
    write_callers,
    write_settings,
)

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
BLUE = {
    "gen_ai_operation_name": "chat",
    "gen_ai_request_model": APPLICATION,
    "slot": "blue",
    "release": release_in("blue"),
}
TYPES = {
    "gen_ai_server_request_duration_seconds": "histogram",
    "gen_ai_server_time_to_first_token_seconds": "histogram",
    "gen_ai_server_time_per_output_token_seconds": "histogram",
    "greenlight_requests": "counter",
    "greenlight_synthetic_requests": "counter",
    "greenlight_refusals": "counter",
    "greenlight_mirror_requests": "counter",
    "greenlight_mirror_errors": "counter",
    "greenlight_mirror_same": "counter",
    "greenlight_mirror_different": "counter",
    "greenlight_mirror_dropped": "counter",
    "greenlight_mirror_duration_seconds": "histogram",
    "greenlight_in_flight": "gauge",
    "greenlight_weight": "gauge",
    "greenlight_rate_limited": "counter",
}


async def scraped(w: World) -> Samples:
    answer = await w.call("GET", "/metrics", "tester")
    assert answer.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


@story
async def test_every_family_has_its_name_its_kind_and_words(folder: Path) -> None:
    async with world(folder) as w:
        answer = await w.call("GET", "/metrics", "operator")
        families = list(text_string_to_metric_families(answer.body.decode()))

        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert {family.name: family.type for family in families} == TYPES
        assert all(family.documentation for family in families)


@story
async def test_users_and_strangers_are_told_nothing(folder: Path) -> None:
    async with world(folder) as w:
        user = await w.call("GET", "/metrics", "user")
        stranger = await w.call("GET", "/metrics", headers={"Authorization": "Bearer wrong"})

        assert (user.status, user.code) == (403, "tester_only")
        assert (stranger.status, stranger.code) == (401, "invalid_api_key")


@story
async def test_latencies_are_histograms_of_slot_and_release(folder: Path) -> None:
    """With every bucket, and +Inf that is the count."""
    async with world(folder) as w:
        await w.ask("stream")
        await w.ask()
        samples, counts = await scraped(w), await w.counts("blue")

        for name, shown in {
            "request_duration": counts["latency_seconds"],
            "time_to_first_token": counts["first_token_seconds"],
            "time_per_output_token": counts["inter_token_seconds"],
        }.items():
            full = f"gen_ai_server_{name}_seconds"
            assert value(samples, f"{full}_count", **BLUE) == shown["count"]
            assert value(samples, f"{full}_sum", **BLUE) == pytest.approx(shown["sum"])
            assert value(samples, f"{full}_bucket", le="+Inf", **BLUE) == shown["count"]
            for bound, number in shown["buckets"]:
                found = [
                    count
                    for (bucket, labels), count in samples.items()
                    if bucket == f"{full}_bucket"
                    and dict(labels)["slot"] == "blue"
                    and float(dict(labels)["le"]) == bound
                ]
                assert found == [number], (full, bound)


@story
async def test_requests_are_told_by_how_they_ended(folder: Path) -> None:
    async with world(folder) as w:
        write_settings(folder, ("no idea",))
        for do in ("answer-at-once", "answer-at-once", "decline", "fail"):
            await w.ask(do)
        await w.say("No idea.")
        await w.ask(role="tester", x_greenlight_synthetic="1")
        samples = await scraped(w)

        ended = {
            outcome: value(samples, "greenlight_requests_total", slot="blue", outcome=outcome)
            for outcome in ("whole", "declined", "error", "truncated", "cut", "abandoned")
        }
        assert list(ended.values()) == [4, 1, 1, 0, 0, 0]
        assert value(samples, "greenlight_refusals_total", slot="blue") == 1
        assert value(samples, "greenlight_synthetic_requests_total", slot="blue") == 1
        assert value(samples, "greenlight_requests_total", slot="green", outcome="whole") == 0


@story
async def test_what_is_now_is_told_as_it_is(folder: Path) -> None:
    """Weights and what is in flight; the copies in it are the mirror's."""
    async with world(folder) as w:
        w.apps["green"].lines["say"] = "fail"
        write_callers(folder, user={"per_second": 0.001, "burst": 2})
        await w.mirror("green", 100, blue=100, green=0)
        await w.ask()
        await w.say("Eight.")
        await w.ask()
        await w.mirrored("green", requests=2, errors=1)
        samples = await scraped(w)

        assert value(samples, "greenlight_weight", slot="blue") == 100
        assert value(samples, "greenlight_weight", slot="green") == 0
        assert value(samples, "greenlight_in_flight", slot="blue") == 0
        assert value(samples, "greenlight_mirror_requests_total", slot="green") == 2
        assert value(samples, "greenlight_mirror_errors_total", slot="green") == 1
        assert value(samples, "greenlight_mirror_different_total", slot="green") == 1
        assert value(samples, "greenlight_mirror_duration_seconds_count", slot="green") == 1
        assert value(samples, "greenlight_rate_limited_total", caller="user") == 1


@story
async def test_weights_that_nobody_knows_are_not_told_as_zero(folder: Path) -> None:
    (folder / "routes.json").write_text("{")
    async with untouched_world(folder) as w:
        samples = await scraped(w)

        assert not [name for name, _ in samples if name == "greenlight_weight"]
        assert value(samples, "greenlight_in_flight", slot="blue") == 0


@story
async def test_a_slots_next_release_starts_at_zero_and_the_slot_goes_on(folder: Path) -> None:
    """A release must not be charged with what its predecessor in the slot did."""
    async with world(folder) as w:
        await w.ask()
        await w.ask()
        endpoints = (folder / "endpoints.json").read_text()
        (folder / "endpoints.json").write_text(endpoints.replace(release_in("blue"), "other@1"))
        await w.ask()
        samples, counts = await scraped(w), await w.counts("blue")

        name = "gen_ai_server_request_duration_seconds_count"
        assert value(samples, name, **BLUE) == 2
        assert value(samples, name, **(BLUE | {"release": "other@1"})) == 1
        assert value(samples, "greenlight_requests_total", slot="blue", outcome="whole") == 3
        assert (counts["requests"], counts["latency_seconds"]["count"]) == (3, 3)
