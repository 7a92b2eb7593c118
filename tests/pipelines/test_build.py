"""Spec and files to a release: the same digest on every machine, another for what is noticed."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release.integrity import sha256
from tests import tiny
from tests.pipelines.building import built, digest, with_file
from tests.tiny import edit


def test_a_release_holds_what_serves(app: Path) -> None:
    """Weights by content, the engine as it is installed, templates written out."""
    made = built(app)

    assert made.model == app / "model.gguf"
    assert made.release.file
    assert made.release.file.sha256 == sha256(tiny.MODEL)
    assert (made.release.file.size, made.release.file.format) == (len(tiny.MODEL), "gguf")
    assert made.release.engine.version == importlib.metadata.version("xllamacpp")
    assert [message.template for message in made.release.prompt.messages] == [
        "Answer from the context.",
        tiny.TEMPLATE,
    ]


def move(app: Path) -> Path:
    return app.rename(app.with_name("elsewhere"))


def change_line_ends(app: Path) -> Path:
    for path in (app / "llm.yaml", app / "prompts/question.j2", app / "card.md"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    return app


def reorder_sections(app: Path) -> Path:
    sections = tiny.SPEC.split("\nmodel:")
    (app / "llm.yaml").write_text("model:" + sections[1] + sections[0] + "\n")
    return app


def reorder_inputs(app: Path) -> Path:
    edit(app / "llm.yaml", "[query, context]", "[context, query]")
    return app


def put_the_template_inline(app: Path) -> Path:
    inline = tiny.TEMPLATE.replace("\n", "\\n")
    edit(app / "llm.yaml", "file: prompts/question.j2", f'content: "{inline}"')
    shutil.rmtree(app / "prompts")
    return app


def begin_the_template_with_a_byte_order_mark(app: Path) -> Path:
    (app / "prompts/question.j2").write_bytes(b"\xef\xbb\xbf" + tiny.TEMPLATE.encode())
    return app


def write_out_the_defaults(app: Path) -> Path:
    edit(app / "llm.yaml", "name: llama.cpp", "name: llama.cpp\n  context: 4096\n  parallel: 4")
    edit(app / "llm.yaml", "evaluation:", "parameters: {temperature: 0, top_p: 1}\nevaluation:")
    return app


def change_environments(app: Path) -> Path:
    edit(app / "llm.yaml", "staging: {}", "first: {port: 8080}\n  second: {}")
    return app


def change_gates_and_data(app: Path) -> Path:
    edit(app / "llm.yaml", "min: 0.5", "min: 0.6")
    edit(app / "cases.jsonl", "green", "blue")
    return app


def change_rollout(app: Path) -> Path:
    edit(app / "llm.yaml", "evaluation:", "rollout: {steps: [{setWeight: 100}]}\nevaluation:")
    return app


def change_what_is_said_of_the_model(app: Path) -> Path:
    edit(app / "llm.yaml", "license: Apache-2.0", "license: MIT")
    edit(app / "card.md", "Tests.", "More tests.")
    return app


def move_the_model(app: Path) -> Path:
    (app / "model.gguf").rename(app / "weights.gguf")
    edit(app / "llm.yaml", "file:model.gguf", "file:weights.gguf")
    return app


def link_the_model(app: Path) -> Path:
    outside = app.parent / "models.gguf"
    (app / "model.gguf").rename(outside)
    (app / "model.gguf").symlink_to(outside)
    return app


SAME: list[Callable[[Path], Path]] = [
    move,
    change_line_ends,
    reorder_sections,
    reorder_inputs,
    put_the_template_inline,
    begin_the_template_with_a_byte_order_mark,
    write_out_the_defaults,
    change_environments,
    change_gates_and_data,
    change_rollout,
    change_what_is_said_of_the_model,
    move_the_model,
    link_the_model,
]


@pytest.mark.parametrize("change", SAME)
def test_what_no_caller_can_notice_changes_nothing(
    app: Path, change: Callable[[Path], Path]
) -> None:
    """The same inputs give the same digest on every machine, whatever path they lie at."""
    before = digest(app)

    assert digest(change(app)) == before


NOTICED: dict[str, tuple[str, str, str]] = {
    "a letter of the prompt": ("prompts/question.j2", "Question:", "question:"),
    "a line end at the end": ("prompts/question.j2", "query }}", "query }}\n"),
    "an inline prompt": ("llm.yaml", "Answer from", "Reply from"),
    "a role": ("llm.yaml", "role: system", "role: assistant"),
    "an input": ("llm.yaml", "[query, context]", "[query, context, tone]"),
    "an engine flag": ("llm.yaml", "name: llama.cpp", "name: llama.cpp\n  threads: 1"),
    "sampling": ("llm.yaml", "evaluation:", "parameters: {seed: 8}\nevaluation:"),
    "the name": ("llm.yaml", "name: tiny-bot", "name: other-bot"),
}


@pytest.mark.parametrize(("file", "old", "new"), NOTICED.values(), ids=NOTICED.keys())
def test_what_a_caller_can_notice_changes_the_digest(
    app: Path, file: str, old: str, new: str
) -> None:
    before = digest(app)

    edit(app / file, old, new)

    assert digest(app) != before


def test_another_model_file_changes_the_digest(app: Path) -> None:
    before = digest(app)

    (app / "model.gguf").write_bytes(tiny.MODEL[:-1] + b"\x01")

    assert digest(app) != before


def test_another_engine_version_changes_the_digest(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(app)

    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0.0")

    assert digest(app) != before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="{}%#"), min_size=1))
def test_a_text_is_the_same_inline_and_in_a_file(app: Path, text: str) -> None:
    """Whichever letters it has."""
    template = app / "prompts/question.j2"
    template.write_bytes(text.encode())
    message = f"prompt: {{messages: [{{role: user, content: {tiny.quoted(text)}}}]}}"
    only = "prompt: {messages: [{role: user, file: prompts/question.j2}]}"

    inline, named = with_file(app, message), with_file(app, only, "named.yaml")

    assert digest(app, inline) == digest(app, named)
