"""What cannot be built: each mistake is told with the place that names it, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from release.integrity import sha256
from tests import tiny
from tests.pipelines.building import built, digest, line_of, problem, with_file
from tests.tiny import edit


def test_a_missing_model_is_told_where_it_is_named(app: Path) -> None:
    (app / "model.gguf").unlink()

    one = problem(app)

    assert (one.file, one.line, one.path) == (str(app / "llm.yaml"), 5, "model.source")
    assert str(app / "model.gguf") in one.found
    assert one.remedy


@pytest.mark.parametrize("source", ["file:prompts", "file:.", "file:model.gguf/x"])
def test_a_model_that_is_no_file_is_refused(app: Path, source: str) -> None:
    edit(app / "llm.yaml", "file:model.gguf", source)

    assert problem(app).path == "model.source"


def test_a_model_that_cannot_be_read_is_refused(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = Path.open

    def closed(path: Path, *arguments: Any) -> Any:
        if path.name == "model.gguf":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments)

    monkeypatch.setattr(Path, "open", closed)

    one = problem(app)

    assert one.path == "model.source"
    assert "Permission denied" in one.found


def test_a_folder_that_is_closed_hides_a_model(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.is_file

    def closed(path: Path) -> bool:
        if path.name == "model.gguf":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", closed)

    assert problem(app).path == "model.source"


def test_another_model_than_the_one_that_was_meant_is_refused(app: Path) -> None:
    """Where the digest is given, no other file is taken."""
    edit(app / "llm.yaml", "card: card.md", f"card: card.md\n  sha256: {'a' * 64}")

    one = problem(app)

    assert (one.line, one.path) == (8, "model.sha256")
    assert (one.expected, one.found) == ("a" * 64, sha256(tiny.MODEL))


def test_the_model_that_was_meant_is_taken(app: Path) -> None:
    before = digest(app)

    edit(app / "llm.yaml", "card: card.md", f"card: card.md\n  sha256: {sha256(tiny.MODEL)}")

    assert digest(app) == before


def test_a_model_in_an_installed_package_is_found_without_importing_it(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "path/tiny_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (app / "model.gguf").rename(package / "tiny.gguf")
    monkeypatch.syspath_prepend(str(package.parent))
    edit(app / "llm.yaml", "file:model.gguf", "package://tiny_weights/tiny.gguf")

    assert built(app).model == package / "tiny.gguf"


@pytest.mark.parametrize("package", ["no_such_package", "sys", "__main__", "typing", "zipimport"])
def test_what_is_no_installed_package_is_refused(app: Path, package: str) -> None:
    """Nor a module without a folder of its own: the file would be somebody else's."""
    edit(app / "llm.yaml", "file:model.gguf", f"package://{package}/llm.yaml")

    one = problem(app)

    assert (one.path, one.found) == ("model.source", repr(package))
    assert one.expected == "an installed Python package"


def test_a_file_that_a_package_does_not_have_is_refused(app: Path) -> None:
    edit(app / "llm.yaml", "file:model.gguf", "package://pytest/model.gguf")

    assert "model.gguf" in problem(app).found


# the template, the line of the mistake, what was expected, words of what was found
TEMPLATES: dict[str, tuple[str, int, str, str]] = {
    "a bracket left open": ("{{ query", 1, "a Jinja2 template", "unexpected end"),
    "further down": ("one\ntwo {{ query }}\n{% if %}", 3, "a Jinja2 template", "Expected an"),
    "no such filter": ("\n{{ query|shout }}", 2, "a Jinja2 template", "shout"),
    "no such tag": ("{% shout %}", 1, "a Jinja2 template", "shout"),
    "an undeclared input": ("{{ query }}\n{{ tone }}", 2, "only declared inputs", "tone"),
    "two undeclared inputs": ("{{ b }}{{ a }}", 1, "only declared inputs", "a, b"),
    "another template": ("\n{% include 'x' %}", 2, "a template on its own", "loads another"),
    "a parent": ("{% extends 'x' %}", 1, "a template on its own", "loads another"),
    "an import": ("{% import 'x' as y %}", 1, "a template on its own", "loads another"),
    "too deep": ("{{ " + "(" * 5000, 1, "a Jinja2 template", "nested too deep"),
    "deep blocks": ("{% if 1 %}" * 5000, 1, "a Jinja2 template", "nested too deep"),
    "a large number": ("{{ 10 ** 100000 }}", 1, "a Jinja2 template", "a number too large"),
}


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"), TEMPLATES.values(), ids=TEMPLATES.keys()
)
def test_a_template_that_would_fail_in_a_slot_fails_here(
    app: Path, text: str, line: int, expected: str, found: str
) -> None:
    """With the template's own file and line."""
    (app / "prompts/question.j2").write_text(text)

    one = problem(app)

    assert (one.file, one.line) == (str(app / "prompts/question.j2"), line)
    assert one.expected == expected
    assert found in one.found
    assert one.remedy


def test_a_mistake_in_an_inline_template_is_told_where_it_is_written(app: Path) -> None:
    change = with_file(app, "prompt:\n  messages:\n    - role: user\n      content: '{{ tone }}'\n")

    one = problem(app, change)

    assert (one.file, one.line) == (str(change), 4)
    assert one.path == "prompt.messages[0].content"


def test_a_template_that_is_not_utf_8_is_told_with_its_line(app: Path) -> None:
    (app / "prompts/question.j2").write_bytes(b"one\n\xff\n")

    one = problem(app)

    assert (one.file, one.line, one.expected) == (
        str(app / "prompts/question.j2"),
        2,
        "UTF-8 text",
    )


def test_a_template_as_long_as_a_book_is_refused(app: Path) -> None:
    (app / "prompts/question.j2").write_text("x" * 300_000)

    assert problem(app).file == str(app / "prompts/question.j2")


TEXTS = [("prompts/question.j2", "prompt.messages[1].file"), ("cases.jsonl", "evaluation.data")]


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_a_missing_text_is_told_where_it_is_named(app: Path, name: str, path: str) -> None:
    (app / name).unlink()

    one = problem(app)

    assert (one.file, one.path) == (str(app / "llm.yaml"), path)
    assert one.line == line_of(app, path.rpartition(".")[2] + ":")
    assert name in one.found


@pytest.mark.parametrize(("name", "path"), TEXTS)
def test_a_folder_is_no_text(app: Path, name: str, path: str) -> None:
    (app / name).unlink()
    (app / name).mkdir()

    assert problem(app).path == path


@pytest.mark.parametrize(("name", "path"), [*TEXTS, ("card.md", "model.card")])
@pytest.mark.parametrize("way", ["a link", "a linked folder", "the keys", "a loop"])
def test_a_text_that_a_link_takes_out_of_the_application_is_refused(
    app: Path, name: str, path: str, way: str
) -> None:
    """What it says would go into prompts, evidence and errors: somebody's key, for instance."""
    secret = app.parent / "secret/id_ed25519"
    if way == "the keys":
        secret = app / ".greenlight/keys/pipeline.key"
    secret.parent.mkdir(parents=True)
    secret.write_text("hunter2")
    (app / name).unlink()
    if way == "a linked folder":
        (app / "linked").symlink_to(secret.parent)
        edit(app / "llm.yaml", f" {name}\n", " linked/id_ed25519\n")
    else:
        (app / name).symlink_to(app / name if way == "a loop" else secret)

    one = problem(app)

    assert (one.file, one.path) == (str(app / "llm.yaml"), path)
    assert "hunter2" not in str(one)


def test_a_link_within_the_application_is_followed(app: Path) -> None:
    before = digest(app)

    (app / "prompts/question.j2").rename(app / "prompts/shared.j2")
    (app / "prompts/question.j2").symlink_to("shared.j2")

    assert digest(app) == before


def test_an_application_may_itself_be_reached_by_a_link(app: Path) -> None:
    linked = app.with_name("linked")
    linked.symlink_to(app)

    assert digest(linked) == digest(app)


def test_building_changes_nothing_in_the_application(app: Path) -> None:
    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in app.rglob("*") if path.is_file()}

    before = everything()
    built(app)

    assert everything() == before
