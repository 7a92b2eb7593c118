"""What is checked before anything is loaded: one good application, and what breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import comply
from pipelines.build import Sources
from pipelines.comply import check
from pipelines.policy import policy_digest
from pipelines.workspace import Workspace
from policies.rules.findings import Finding, refusals
from release.errors import BadInput
from release.spec import load_spec
from tests import tiny
from tests.policies.making import PAIRS, gguf, pickled, safetensors, said, zipped
from tests.tiny import edit

pytestmark = pytest.mark.usefixtures("own_cache")

EMAIL = "jo.bloggs@acme-widgets.co.uk"


def workspace(app: Path, *changes: Path) -> Workspace:
    return Workspace(Sources(app, changes), load_spec(app, changes))


def found(app: Path, *changes: Path) -> list[tuple[str, str, int | None]]:
    """Rule, file and line of everything that refuses the application."""
    return [(one.rule, one.file, one.line) for one in refusals(check(workspace(app, *changes)))]


def test_a_good_application_passes(app: Path) -> None:
    assert found(app) == []


def test_nothing_is_written_by_a_check(app: Path) -> None:
    before = sorted(app.rglob("*"))

    check(workspace(app))

    assert sorted(app.rglob("*")) == before


def rename_a_pickle(app: Path) -> None:
    (app / "model.gguf").write_bytes(pickled())


def rename_a_zip(app: Path) -> None:
    (app / "model.gguf").write_bytes(zipped(archive__data_pkl=pickled()))


def append_a_zip(app: Path) -> None:
    (app / "model.gguf").write_bytes(gguf() + zipped(a_txt=b"x"))


def hide_another_format(app: Path) -> None:
    (app / "model.gguf").write_bytes(safetensors())


def cut_the_header(app: Path) -> None:
    (app / "model.gguf").write_bytes(gguf()[:60])


def take_another_licence(app: Path) -> None:
    pairs = tuple(said("general.license", "llama3") if b"license" in one else one for one in PAIRS)
    (app / "model.gguf").write_bytes(gguf(pairs))


def empty_the_model(app: Path) -> None:
    (app / "model.gguf").write_bytes(b"")


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "S24: a pickle under another name": (rename_a_pickle, "GL-FORMAT-002"),
    "S24: a pickle in an archive under another name": (rename_a_zip, "GL-FORMAT-002"),
    "S24: an archive behind a model": (append_a_zip, "GL-FORMAT-005"),
    "another format under this name": (hide_another_format, "GL-FORMAT-004"),
    "a header that is cut": (cut_the_header, "GL-GGUF-001"),
    "an empty file": (empty_the_model, "GL-FORMAT-001"),
}


@pytest.mark.parametrize(("change", "rule"), MODELS.values(), ids=MODELS.keys())
def test_a_model_file_that_must_not_be_opened_is_refused(
    app: Path, change: Callable[[Path], None], rule: str
) -> None:
    """S24: by what it is, not by what it is called."""
    change(app)

    assert [(one, file) for one, file, _ in found(app)] == [(rule, "model.gguf")]


def test_a_licence_in_the_file_that_is_not_the_declared_one_is_told(app: Path) -> None:
    take_another_licence(app)

    assert any("license" in str(one).lower() for one in check(workspace(app)))


def test_a_licence_that_the_platform_does_not_allow_is_refused(app: Path) -> None:
    """With the line that declares it."""
    edit(app / "llm.yaml", "license: Apache-2.0", "license: GPL-3.0-only")
    edit(app / "card.md", "Apache-2.0", "GPL-3.0-only")

    assert ("GL-LICENSE-003", "llm.yaml", 6) in found(app)


def test_an_application_can_only_tighten_the_list(app: Path) -> None:
    """It takes away, and what it adds has no effect."""
    (app / "llm.yaml").write_text(tiny.SPEC + "compliance: {licenses: [MIT, GPL-3.0-only]}\n")

    assert found(app) == [("GL-LICENSE-004", "llm.yaml", 6)]
    assert any(one.rule == "GL-LICENSE-005" for one in check(workspace(app)))


def test_a_licence_of_an_overlay_is_told_there(app: Path) -> None:
    change = app / "changes.yaml"
    change.write_text("\nmodel:\n  license: GPL-3.0-only\n")

    assert ("GL-LICENSE-003", "changes.yaml", 3) in found(app, change)


def test_a_model_without_a_card_is_refused(app: Path) -> None:
    (app / "card.md").unlink()

    assert found(app) == [("GL-CARD-001", "card.md", None)]


def test_a_card_that_leaves_something_out_is_refused(app: Path) -> None:
    edit(app / "card.md", "## Limitations\nIt knows nothing.\n", "")

    assert found(app) == [("GL-CARD-003", "card.md", None)]


def row(**changes: object) -> str:
    return json.dumps({"query": "q", "ground_truth": "t", **changes}) + "\n"


ROWS = {
    "a question": {"query": f"Is {EMAIL} right?"},
    "a context": {"context": f"one\ntwo\nthree {EMAIL}"},
    "a truth": {"ground_truth": EMAIL},
    "a tag": {"tags": ["easy", EMAIL]},
    "an id": {"id": EMAIL},
    "an escape": {"query": EMAIL},
}


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS.keys())
def test_personal_data_in_a_row_is_told_with_its_line(app: Path, change: dict[str, object]) -> None:
    """The line of the row, wherever in it the datum stands; the datum itself is not repeated."""
    text = row() + "\n" + row(**change).replace("@", "\\u0040") + row()
    (app / "cases.jsonl").write_text(text)

    findings = check(workspace(app))

    assert found(app) == [("GL-PERSONAL-001", "cases.jsonl", 3)]
    assert EMAIL not in str(findings)


def test_personal_data_in_a_template_is_told_with_its_line(app: Path) -> None:
    (app / "prompts/question.j2").write_text(f"{{{{ query }}}}\n\nWrite to {EMAIL}.\n")

    assert found(app) == [("GL-PERSONAL-001", "prompts/question.j2", 3)]


def test_personal_data_in_an_inline_prompt_is_told_where_the_prompt_is_written(app: Path) -> None:
    edit(app / "llm.yaml", "content: Answer from", f"content: Write to {EMAIL}. Answer from")

    assert found(app) == [("GL-PERSONAL-001", "llm.yaml", 14)]


def test_a_secret_in_a_prompt_is_refused(app: Path) -> None:
    key = "sk-" + "proj-a1B2" * 5
    edit(app / "llm.yaml", "content: Answer from", f"content: Use {key}. Answer from")

    assert found(app) == [("GL-SECRET-002", "llm.yaml", 14)]


def test_everything_that_is_wrong_is_told_at_once(app: Path) -> None:
    rename_a_pickle(app)
    (app / "card.md").unlink()
    (app / "cases.jsonl").write_text(row(query=EMAIL))

    assert [rule for rule, _, _ in found(app)] == [
        "GL-CARD-001",
        "GL-FORMAT-002",
        "GL-PERSONAL-001",
    ]


def test_no_number_of_warnings_pushes_a_refusal_out(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is limited, and what refuses is kept first."""
    warning = Finding("GL-X-001", "x", "a", "b", "c", severity="warn")
    monkeypatch.setattr(comply, "_check_license", lambda _: (warning,) * 1000)
    (app / "cases.jsonl").write_text(row(query=EMAIL))

    findings = check(workspace(app))

    assert len(findings) == comply.MAX_FINDINGS
    assert refusals(findings)


def test_a_file_that_cannot_be_used_is_bad_input_and_no_finding(app: Path) -> None:
    """Nothing was checked, so nothing is said about it."""
    (app / "model.gguf").unlink()

    with pytest.raises(BadInput, match=r"model\.source"):
        check(workspace(app))


DECIDES: dict[str, tuple[str, str]] = {
    "a limit": ("min: 0.5", "min: 0.6"),
    "a margin": ("min: 0.5", "min: 0.5\n      max_drop: 0.1"),
    "a tag": ("min: 0.5", "min: 0.5\n      tags: [easy]"),
    "another metric": ("metric: f1", "metric: contains"),
    "the sample for the clock": ("latency_cases: 5", "latency_cases: 6"),
    "what a refusal is": ("latency_cases: 5", "latency_cases: 5\n  refusal: [no idea]"),
    "the licences": ("environments:", "compliance: {licenses: [MIT]}\nenvironments:"),
    "the declared licence": ("license: Apache-2.0", "license: MIT"),
}
LETS_BE: dict[str, tuple[str, str]] = {
    "the rollout": ("environments:", "rollout: {checks: 1}\nenvironments:"),
    "an environment": ("staging: {}", "first: {}"),
    "the prompt": ("Answer from", "Reply from"),
    "how fast it is asked": ("latency_cases: 5", "latency_cases: 5\n  concurrency: 8"),
    "how long it is waited for": ("latency_cases: 5", "latency_cases: 5\n  timeout_seconds: 9"),
    "where the data lies": ("cases.jsonl", "questions.jsonl"),
    "a number in another spelling": ("min: 0.5", "min: 0.50"),
}


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [pytest.param(*one, True, id=name) for name, one in DECIDES.items()]
    + [pytest.param(*one, False, id=name) for name, one in LETS_BE.items()],
)
def test_evidence_is_bound_to_what_decides_and_to_nothing_else(
    app: Path, old: str, new: str, other: bool
) -> None:
    """Other limits need other evidence; another port does not."""
    before = policy_digest(load_spec(app))

    edit(app / "llm.yaml", old, new)

    assert (policy_digest(load_spec(app)) != before) == other
