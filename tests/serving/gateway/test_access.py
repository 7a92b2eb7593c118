"""The door: keys, roles, what may be sent, and what is passed on."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from serving.gateway.limits import Limits
from tests.serving.gateway.world import APPLICATION, CHAT, KEYS, release_in, story, world

ADMIN = [
    ("GET", "/-/routes"),
    ("PUT", "/-/routes"),
    ("GET", "/-/counts"),
    ("POST", "/-/drain/green"),
]


@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), *ADMIN])
@story
async def test_an_unknown_key_gets_401_everywhere(folder: Path, method: str, path: str) -> None:
    async with world(folder) as w:
        for header in ("Bearer wrong", ""):
            answer = await w.call(method, path, headers={"Authorization": header}, json={})

            assert (answer.status, answer.code) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ADMIN)
@pytest.mark.parametrize("role", ["user", "tester"])
@story
async def test_only_an_operator_reaches_the_admin_api(
    folder: Path, method: str, path: str, role: str
) -> None:
    async with world(folder) as w:
        answer = await w.call(method, path, role, json={})

        assert (answer.status, answer.code) == (403, "operator_only")


@story
async def test_health_needs_no_key(folder: Path) -> None:
    async with world(folder) as w, w.client.get(w.url + "/-/health") as answer:
        assert answer.status == 200
        assert await answer.json() == {"status": "ok"}


@pytest.mark.parametrize("header", ["x-greenlight-slot", "x-greenlight-synthetic"])
@story
async def test_only_a_tester_or_operator_may_pin_or_call_a_request_synthetic(
    folder: Path, header: str
) -> None:
    value = "green" if header.endswith("slot") else "1"
    async with world(folder) as w:
        refused = await w.ask(**{header: value})
        taken = [await w.ask(role=role, **{header: value}) for role in ("tester", "operator")]

        assert (refused.status, refused.code) == (403, "tester_only")
        assert [answer.status for answer in taken] == [200, 200]
        assert len(w.apps["blue"].requests) + len(w.apps["green"].requests) == 2


@story
async def test_a_pinned_request_goes_to_its_slot_whatever_the_weights(folder: Path) -> None:
    async with world(folder, weights={"blue": 100}) as w:
        answer = await w.ask(role="tester", x_greenlight_slot="green")

        assert answer.slot == "green"
        assert answer.headers["x-greenlight-release"] == release_in("green")
        assert (await w.counts("green"))["requests"] == 1


@story
async def test_a_pin_to_a_slot_that_is_not_there_gets_404(folder: Path) -> None:
    async with world(folder) as w:
        answer = await w.ask(role="tester", x_greenlight_slot="red")

        assert (answer.status, answer.code) == (404, "slot_not_found")


@story
async def test_synthetic_requests_are_counted_as_such(folder: Path) -> None:
    async with world(folder) as w:
        await w.ask(role="tester", x_greenlight_synthetic="1")
        await w.ask(role="tester", x_greenlight_synthetic="0")
        unclear = await w.ask(role="tester", x_greenlight_synthetic="yes")
        counts = await w.counts("blue")

        assert (unclear.status, unclear.code) == (400, "invalid_header")
        assert (counts["requests"], counts["synthetic"]) == (2, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 9_000, 400, "invalid_json"),
        (b'["model"]', 400, "invalid_json"),
        (b'{"model": 7}', 400, "invalid_model"),
        (b'{"model": null}', 400, "invalid_model"),
        (b'{"model": "gpt-4o"}', 404, "model_not_found"),
        (json.dumps({"x": "y" * 10_000}).encode(), 413, "body_too_large"),
    ],
    ids=lambda value: str(value)[:20],
)
@story
async def test_a_request_that_cannot_be_served_reaches_no_slot(
    folder: Path, body: bytes, status: int, code: str
) -> None:
    async with world(folder) as w:
        answer = await w.call("POST", CHAT, data=body)

        assert (answer.status, answer.code) == (status, code)
        assert answer.slot is None
        assert w.apps["blue"].requests == []


@pytest.mark.parametrize("model", [{}, {"model": APPLICATION}])
@story
async def test_a_body_is_passed_on_byte_for_byte(folder: Path, model: dict[str, str]) -> None:
    body = json.dumps({**model, "messages": [], "odd": "\u00e9"}, indent=3).encode() + b"\n"
    async with world(folder) as w:
        answer = await w.call("POST", CHAT, "user", data=body)

        assert answer.status == 200
        assert w.apps["blue"].bodies == [body]


@story
async def test_a_body_of_megabytes_is_passed_on(folder: Path) -> None:
    body = json.dumps({"x": "y" * 3_000_000}).encode()
    async with world(folder, limits=Limits()) as w:
        answer = await w.call("POST", CHAT, data=io.BytesIO(body))

        assert answer.status == 200
        assert w.apps["blue"].bodies == [body]


@story
async def test_a_compressed_body_arrives_plain_and_is_bounded_by_its_plain_size(
    folder: Path,
) -> None:
    """A few compressed bytes must not become gigabytes in a slot."""
    packed = {"Content-Encoding": "gzip"}
    async with world(folder) as w:
        small = await w.call("POST", CHAT, data=gzip.compress(b"{}"), headers=packed)
        bomb = await w.call("POST", CHAT, data=gzip.compress(b" " * 9_000_000), headers=packed)
        broken = await w.call("POST", CHAT, data=b"not gzip", headers=packed)

        assert small.status == 200
        assert w.apps["blue"].bodies == [b"{}"]
        assert "Content-Encoding" not in w.apps["blue"].requests[0].headers
        assert (bomb.status, bomb.code) == (413, "body_too_large")
        assert (broken.status, broken.code) == (400, "body_unreadable")


@story
async def test_the_key_and_what_belongs_to_the_connection_stay_at_the_gateway(
    folder: Path,
) -> None:
    async with world(folder) as w:
        await w.ask(
            role="tester",
            Connection="keep-alive, x-mine",
            x_mine="hop",
            x_greenlight_slot="blue",
            TE="trailers",
            Cookie="c=1",
            Accept_Encoding="gzip",
            x_other="end to end",
        )
        [request] = w.apps["blue"].requests
        passed = {name.lower(): value for name, value in request.headers.items()}

        assert not {"authorization", "x-mine", "te", "x-greenlight-slot"} & set(passed)
        assert (passed["x-other"], passed["cookie"]) == ("end to end", "c=1")
        assert KEYS["tester"] not in str(passed)
        assert passed["accept-encoding"] == "identity"  # the end of a stream is read as text


@story
async def test_cookies_of_one_caller_never_reach_another(folder: Path) -> None:
    """The slot's Set-Cookie goes to the caller, not into a jar that all requests share."""
    async with world(folder) as w:
        w.client.cookie_jar.clear()
        first = await w.ask()
        w.client.cookie_jar.clear()
        await w.ask()

        assert first.headers["set-cookie"] == "a=b"
        assert all("Cookie" not in request.headers for request in w.apps["blue"].requests)


@story
async def test_an_answer_says_who_gave_it_and_to_what(folder: Path) -> None:
    """A slot cannot forge the headers that are the gateway's."""
    async with world(folder) as w:
        answer = await w.ask(x_request_id="mine-7")

        assert answer.headers["x-greenlight-slot"] == "blue"
        assert answer.headers["x-greenlight-release"] == release_in("blue")
        assert answer.headers["x-from-slot"] == answer.headers["x-greenlight-ignored"] == "kept"
        assert answer.headers["x-request-id"] == "mine-7"
        assert w.apps["blue"].requests[0].headers["x-request-id"] == "mine-7"


@pytest.mark.parametrize("given", ["", "with space", "x" * 200, "a\tb"])
@story
async def test_an_id_that_is_unfit_for_a_log_is_replaced(folder: Path, given: str) -> None:
    async with world(folder) as w:
        answer = await w.ask(x_request_id=given)

        assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/unknown", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
    ],
)
@story
async def test_what_is_not_served_is_refused_in_the_same_shape(
    folder: Path, method: str, path: str, status: int, code: str
) -> None:
    async with world(folder) as w:
        answer = await w.call(method, path)

        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["x-request-id"]


@story
async def test_keys_are_exchanged_without_a_restart(folder: Path) -> None:
    async with world(folder) as w:
        before = (folder / "callers.json").read_text()
        (folder / "callers.json").write_text('{"callers": []}')
        revoked = await w.ask()
        (folder / "callers.json").write_text("{")
        unknown = await w.ask()
        (folder / "callers.json").write_text(before)

        assert (revoked.status, revoked.code) == (401, "invalid_api_key")
        assert (unknown.status, unknown.code) == (503, "callers_unreadable")
        assert (await w.ask()).status == 200
