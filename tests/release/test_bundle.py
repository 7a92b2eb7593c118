"""The release digest: what it depends on, what it does not, and that it never changes by chance."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.bundle import (
    PromptText,
    Release,
    ServingEngine,
    Template,
    Weights,
    label,
    parse_release,
    template_text,
)
from release.spec import Parameters

WEIGHTS = {"sha256": "a" * 64, "size": 98, "format": "gguf"}
ENGINE = {
    "name": "llama.cpp",
    "version": "1.2.3",
    "context": 4096,
    "parallel": 4,
    "threads": 2,
    "isolation": "shared",
}
SYSTEM = {"role": "system", "template": "Answer kurz und höflich."}
USER = {"role": "user", "template": "{{ context }}\n{{ query }}"}
PROMPT = {"inputs": ["context", "query"], "messages": [SYSTEM, USER]}
PARAMETERS = {"temperature": 0, "top_p": 1, "max_tokens": 24, "seed": 7, "stop": ["\n"]}
RELEASE: dict[str, Any] = {
    "version": 1,
    "application": "tiny-bot",
    "weights": WEIGHTS,
    "engine": ENGINE,
    "prompt": PROMPT,
    "parameters": PARAMETERS,
}


def release(**changes: Any) -> Release:
    return parse_release(json.dumps({**RELEASE, **changes}).encode())


def test_the_digest_of_this_release_is_this_one() -> None:
    """Evidence and ledgers name releases by digest: another canonical form would orphan them."""
    expected = "575e9f1ea216b0e9ceb8cd4fc4b17f65c263a6fa324fd025b1468d86d9991cf5"

    assert release().digest == expected


def test_a_release_is_its_canonical_bytes() -> None:
    """Sorted keys, no spaces, UTF-8 as it is, numbers in one spelling."""
    assert release().content.startswith(
        b'{"application":"tiny-bot","engine":{"context":4096,"isolation":"shared","name":'
    )
    assert "höflich".encode() in release().content
    assert b'"temperature":0.0,"top_p":1.0' in release().content


def shuffled(value: Any, seed: int) -> Any:
    """``value`` with the keys of its mappings in another order."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: hash((name, seed)))
        return {name: shuffled(value[name], seed) for name in names}
    return value


@given(st.integers())
def test_the_order_of_keys_changes_nothing(seed: int) -> None:
    assert parse_release(json.dumps(shuffled(RELEASE, seed)).encode()).digest == release().digest


CHANGES: dict[str, dict[str, Any]] = {
    "another application": {"application": "other-bot"},
    "other weights": {"weights": {**WEIGHTS, "sha256": "b" * 64}},
    "another size": {"weights": {**WEIGHTS, "size": 99}},
    "another engine version": {"engine": {**ENGINE, "version": "1.2.4"}},
    "another context": {"engine": {**ENGINE, "context": 2048}},
    "other slots": {"engine": {**ENGINE, "parallel": 2}},
    "other threads": {"engine": {**ENGINE, "threads": 1}},
    "a server of its own": {"engine": {**ENGINE, "isolation": "dedicated"}},
    "another input": {"prompt": {**PROMPT, "inputs": ["query"]}},
    "another role": {"prompt": {**PROMPT, "messages": [{**SYSTEM, "role": "user"}, USER]}},
    "one letter of a prompt": {
        "prompt": {**PROMPT, "messages": [SYSTEM, {**USER, "template": "{{ query }}."}]}
    },
    "messages in another order": {"prompt": {**PROMPT, "messages": [USER, SYSTEM]}},
    "another temperature": {"parameters": {**PARAMETERS, "temperature": 0.1}},
    "another limit": {"parameters": {**PARAMETERS, "max_tokens": 25}},
    "another seed": {"parameters": {**PARAMETERS, "seed": 8}},
    "another stop": {"parameters": {**PARAMETERS, "stop": []}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_a_caller_can_notice_changes_the_digest(change: dict[str, Any]) -> None:
    assert release(**change).digest != release().digest


def test_no_two_changes_give_one_digest() -> None:
    digests = {release(**change).digest for change in CHANGES.values()}

    assert len(digests) == len(CHANGES)


@pytest.mark.parametrize("name", [name for name in CHANGES if "prompt" in CHANGES[name]])
def test_a_release_with_another_prompt_can_share_the_model_server(name: str) -> None:
    """A slot costs only what differs."""
    assert release(**CHANGES[name]).engine_key == release().engine_key


@pytest.mark.parametrize("name", [n for n in CHANGES if {"weights", "engine"} & CHANGES[n].keys()])
def test_other_weights_or_flags_need_a_model_server_of_their_own(name: str) -> None:
    assert release(**CHANGES[name]).engine_key != release().engine_key


def test_sampling_does_not_belong_to_the_model_server() -> None:
    """Temperature and seed go with each request."""
    assert release(**CHANGES["another seed"]).engine_key == release().engine_key


texts = st.text(max_size=20)
releases = st.builds(
    Release,
    application=texts,
    weights=st.builds(
        Weights,
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
        size=st.integers(0, 2**60),
        format=texts,
    ),
    engine=st.builds(
        ServingEngine,
        name=st.just("llama.cpp"),
        version=texts,
        context=st.integers(256, 1 << 20),
        parallel=st.integers(1, 64),
        threads=st.integers(1, 256),
        isolation=st.sampled_from(["shared", "dedicated"]),
    ),
    prompt=st.builds(
        PromptText,
        inputs=st.just(("query",)),
        messages=st.tuples(st.builds(Template, role=st.just("user"), template=texts)),
    ),
    parameters=st.builds(
        Parameters,
        temperature=st.floats(0, 2),
        top_p=st.floats(0.1, 1),
        max_tokens=st.integers(1, 1 << 20),
        seed=st.integers(0, 2**31 - 1),
        stop=st.lists(st.text(min_size=1, max_size=3), max_size=4).map(tuple),
    ),
)


@given(releases)
def test_a_release_read_back_from_its_lock_file_is_the_same(made: Release) -> None:
    """The lock file is all that a later command has."""
    again = parse_release(made.content)

    assert again == made
    assert again.digest == made.digest


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"not JSON", json.dumps({**RELEASE, "extra": 1}).encode(), b"[" * 100_000],
    ids=["empty", "an object", "a list", "text", "an unknown key", "deep"],
)
def test_what_is_no_lock_file_is_not_read_as_one(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_release(content)


def test_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="version"):
        release(version=2)


def test_a_release_is_named_as_git_names_commits() -> None:
    assert label("tiny-bot", "3f2a91c" + "0" * 57) == "tiny-bot@3f2a91c"
    assert release().label == f"tiny-bot@{release().digest[:7]}"


@pytest.mark.parametrize("text", ["a\nb\n", "a\r\nb\r\n", "a\rb\r"])
def test_line_ends_of_a_checkout_change_nothing(text: str) -> None:
    assert template_text(text) == "a\nb\n"


@given(st.text())
def test_template_text_is_settled_after_once(text: str) -> None:
    assert template_text(template_text(text)) == template_text(text)
