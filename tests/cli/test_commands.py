"""What every command has in common: help, suggestions, exit codes, and one document with --json."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cli import __main__ as program
from cli.__main__ import COMMANDS, main
from release.errors import (
    BadInput,
    GreenlightError,
    Problem,
    Refused,
    Returned,
    Waiting,
)
from release.spec import json_schema
from tests.tiny import edit

HEAVY = (
    "obstore",
    "pydantic",
    "aiohttp",
    "yaml",
    "jinja2",
    "pulumi",
    "xllamacpp",
    "cryptography",
    "rich",
)
ROOT = Path(__file__).parents[2]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each is for, and what the exit codes mean."""
    assert main(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(name in shown and text in shown for name, text in COMMANDS.items())
    assert program.EXIT_CODES in shown


def test_no_command_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: greenlight COMMAND" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("greenlight 0.")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_how_it_is_used(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert shown.startswith(f"usage: greenlight {command}")
    assert COMMANDS[command] in shown
    assert "exit codes:" in shown


def test_help_waits_for_nothing_that_it_does_not_need() -> None:
    """Not even each command's own: the heavy packages are imported when something is done."""
    code = f"""
import sys
from cli.__main__ import COMMANDS, main
main(["--help"])
for command in COMMANDS:
    try:
        main([command, "--help"])
    except SystemExit:
        pass
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("shp", "Did you mean 'ship'?"),
        ("deploy", "Did you mean 'destroy'?"),
        ("roll-back", "Did you mean 'rollback'?"),
        ("SHIP", "`greenlight --help` lists them."),
        ("xyzzy", "`greenlight --help` lists them."),
        ("--verbose", "`greenlight --help` lists them."),
        ("__main__", "`greenlight --help` lists them."),
        ("common", "`greenlight --help` lists them."),
    ],
)
def test_an_unknown_command_is_wrong_use_with_a_suggestion(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error: whoever reads the output gets nothing instead of an explanation."""
    assert main([word]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"greenlight: expected a command, found {word!r}. {hint}\n"


ON_AN_APPLICATION: list[list[str]] = [
    ["build"],
    ["comply"],
    ["evaluate"],
    ["ship"],
    ["ship", "--dry-run"],
    ["promote", "--to", "production"],
    ["rollback", "--env", "production"],
    ["status"],
    ["status", "--watch"],
    ["report"],
    ["history"],
    ["verify"],
    ["destroy"],
]


def words(command: list[str], app: Path, *more: str) -> list[str]:
    return [command[0], str(app), *command[1:], *more]


@pytest.mark.parametrize("command", ON_AN_APPLICATION, ids=" ".join)
@pytest.mark.usefixtures("own_cache")
def test_a_bad_file_ends_every_command_before_it_begins(
    command: list[str], app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 with file, line, path and remedy on standard error; nothing was changed."""
    edit(app / "llm.yaml", "license:", "licence:")

    assert main(words(command, app)) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{app / 'llm.yaml'}:6: model.licence: expected a known key" in shown.err
    assert "Did you mean 'license'?" in shown.err
    assert not (app / ".greenlight").exists()


@pytest.mark.parametrize("command", ON_AN_APPLICATION, ids=" ".join)
@pytest.mark.usefixtures("own_cache")
def test_with_json_a_bad_file_is_one_document(
    command: list[str], app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON document on standard output and nothing else there."""
    edit(app / "llm.yaml", "license:", "licence:")

    assert main(words(command, app, "--json")) == 2

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["exit_code"], document["error"]) == (2, "BadInput")
    assert "model.licence" in document["message"]
    assert "model.licence" in shown.err


@pytest.mark.parametrize("command", ON_AN_APPLICATION, ids=" ".join)
def test_an_application_that_is_not_there_is_named(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(command, tmp_path / "nowhere")) == 2

    shown = capsys.readouterr().err
    assert str(tmp_path / "nowhere") in shown
    assert "Give the folder's path." in shown


def test_a_file_is_no_application(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(app / "llm.yaml")]) == 2
    assert "found a file" in capsys.readouterr().err


@pytest.mark.usefixtures("own_cache")
def test_an_overlay_that_is_not_there_is_named(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(app), "--with", str(app / "none.yaml")]) == 2
    assert str(app / "none.yaml") in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["build"],
        ["promote", "APP"],
        ["rollback", "APP"],
        ["build", "APP", "--zzz"],
        ["schema", "x"],
        ["history", "APP", "--last", "-5"],
        ["history", "APP", "--last", "0"],
        ["history", "APP", "--last", "two"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_wrong_use(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, with the usage on standard error, and what is wrong behind it."""
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"usage: greenlight {arguments[0]}")
    assert f"greenlight: {arguments[0]}: expected arguments as in its usage, found" in shown.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "APP", "--josn", "--json"], "unrecognized arguments: --josn"),
        (["rollback", "APP", "--json"], "required: --env"),
        (["history", "APP", "--last", "0", "--json"], "expected a whole number above 0, found '0'"),
        (["build", "--json"], "required: APP"),
        (["pulumi", "--app", "--json"], "--app: expected one argument"),
        (["pulumi", "--app", "nowhere", "up", "--json"], "nowhere: expected a folder"),
        (["pulumi", "config", "set", "a", "b", "--json"], "expected a change of the file itself"),
        (["shp", "APP", "--json"], "Did you mean 'ship'?"),
        (["--json"], "expected a command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_with_json_wrong_use_is_one_document(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads the output as JSON is never given an empty one, nor usage in its place."""
    assert main(arguments) == 2

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["exit_code"], document["error"]) == (2, "BadInput")
    assert says in document["message"]
    assert shown.err.endswith(f"greenlight: {document['message']}\n")


def test_an_option_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A beginning that fits today's options may fit two of tomorrow's."""
    assert main(["status", "APP", "--js"]) == 2
    assert "unrecognized arguments: --js" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["--zzz", "local", "up"],
        ["up", "--zzz", "local", "--yes"],
        ["-k", "a or b", "tests/x.py", "--lf"],
        ["up", "--help"],
        [],
    ],
    ids=" ".join,
)
def test_a_command_that_passes_on_what_it_does_not_know_keeps_it_in_order(
    given: list[str], command: ModuleType
) -> None:
    """Wherever it stands: before, between and behind the command's own options."""
    seen: list[list[str]] = []

    def run(arguments: Namespace) -> int:
        seen.append(arguments.passed_on)
        return int(not arguments.json)

    vars(command).update(PASSES_ON=True, run=run)
    assert main(["fake", *given]) == 1
    assert main(["fake", "--json", *given]) == 0

    assert seen == [given, given]


@pytest.mark.parametrize(
    "command", [["promote", "--to", "x"], ["rollback", "--env", "x"], ["report", "--env", "x"]]
)
@pytest.mark.usefixtures("own_cache")
def test_an_environment_that_is_none_is_bad_input(
    command: list[str], app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(command, app)) == 2
    assert "expected one of staging, production, found 'x'" in capsys.readouterr().err


PROBLEM = Problem("a whole number", "'x'", "Write digits.", "llm.yaml", 3, "engine.context")
ENDINGS: list[tuple[GreenlightError, int, dict[str, Any]]] = [
    (GreenlightError("the port is taken"), 1, {"error": "GreenlightError"}),
    (BadInput(PROBLEM, PROBLEM), 2, {"error": "BadInput"}),
    (Refused("refused", ("f1 is low",)), 3, {"error": "Refused", "reasons": ["f1 is low"]}),
    (Waiting("a@host holds the lease"), 4, {"error": "Waiting"}),
    (Returned("back", ("slow",)), 5, {"error": "Returned", "reasons": ["slow"]}),
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command called ``fake`` that a test tells how to end."""
    module = ModuleType("cli.fake")

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    vars(module)["add_arguments"] = add_arguments
    monkeypatch.setitem(COMMANDS, "fake", "ends as it is told")
    monkeypatch.setitem(sys.modules, "cli.fake", module)
    return module


def ends_with(module: ModuleType, error: BaseException) -> None:
    def run(_: Namespace) -> int:
        raise error

    vars(module)["run"] = run


@pytest.mark.parametrize(("error", "code", "document"), ENDINGS)
def test_each_ending_has_its_exit_code(
    command: ModuleType,
    error: GreenlightError,
    code: int,
    document: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Stable, so that a pipeline can tell a refusal from a mistake; reasons are part of it."""
    ends_with(command, error)

    assert main(["fake"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"greenlight: {error}\n")

    assert main(["fake", "--json"]) == code
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"exit_code": code, "message": str(error), **document}
    assert shown.err == f"greenlight: {error}\n"


def test_an_interrupted_command_says_how_to_go_on(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 130, as shells say it, and with --json one document as in every other case."""
    ends_with(command, KeyboardInterrupt())

    assert main(["fake"]) == 130
    assert capsys.readouterr().out == ""
    assert main(["fake", "--json"]) == 130

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["exit_code"], document["error"]) == (130, "Interrupted")
    assert "run the same command again" in document["message"]
    assert "run the same command again" in shown.err


FAULT = KeyError("weights\nof green")


def test_a_fault_of_our_own_is_one_sentence(
    command: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was and what to do with it; the traceback is for those who ask for it."""
    ends_with(command, FAULT)
    monkeypatch.delenv("GREENLIGHT_DEBUG", raising=False)

    assert main(["fake", "--json"]) == 1

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["exit_code"], document["error"]) == (1, "GreenlightError")
    assert shown.err == f"greenlight: {document['message']}\n"
    assert shown.err.count("\n") == 1
    assert "KeyError: " in shown.err
    assert "report it" in shown.err
    assert "GREENLIGHT_DEBUG=1" in shown.err


def test_a_fault_of_our_own_shows_its_traceback_to_those_who_ask(
    command: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error: the output is one document all the same."""
    ends_with(command, FAULT)
    monkeypatch.setenv("GREENLIGHT_DEBUG", "1")

    assert main(["fake", "--json"]) == 1

    shown = capsys.readouterr()
    assert json.loads(shown.out)["exit_code"] == 1
    assert "Traceback (most recent call last):" in shown.err


def test_a_reader_that_goes_away_is_no_traceback(command: ModuleType) -> None:
    """``greenlight history APP | head`` is common."""
    ends_with(command, BrokenPipeError())

    assert main(["fake"]) == 1


def test_a_problem_is_one_line_that_an_editor_can_follow() -> None:
    assert str(PROBLEM) == (
        "llm.yaml:3: engine.context: expected a whole number, found 'x'. Write digits."
    )
    assert str(Problem("a number")) == "expected a number"
    assert str(BadInput(PROBLEM, Problem("a number"))).count("\n") == 1


def test_reasons_are_listed_under_what_they_explain() -> None:
    assert str(Refused("no", ("one", "two"))) == "no\n  - one\n  - two"
    assert str(Returned("back")) == "back"


@pytest.mark.usefixtures("own_cache")
def test_build_prints_the_release(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same digest for people and for programs, and nothing is written but the cache."""
    assert main(["build", str(app), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert main(["build", str(app)]) == 0
    assert document["digest"] in capsys.readouterr().out
    assert document["label"] == f"tiny-bot@{document['digest'][:7]}"
    assert document["parameters"]["seed"] == 7
    assert not (app / ".greenlight").exists()


@pytest.mark.usefixtures("own_cache")
def test_build_with_an_overlay_is_another_release(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = app / "with.yaml"
    change.write_text("parameters: {seed: 8}\n")

    main(["build", str(app), "--json"])
    before = json.loads(capsys.readouterr().out)["digest"]
    main(["build", str(app), "--with", str(change), "--json"])

    assert json.loads(capsys.readouterr().out)["digest"] != before


def test_the_schema_is_printed_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    """The same with and without --json: it is a document in any case."""
    assert main(["schema"]) == 0
    plain = capsys.readouterr().out
    assert main(["schema", "--json"]) == 0

    assert json.loads(plain) == json_schema()
    assert capsys.readouterr().out == plain


@pytest.mark.parametrize("name", ["status", "report", "history", "verify", "destroy"])
@pytest.mark.usefixtures("own_cache")
def test_before_the_first_ship_there_is_nothing_and_nothing_is_made(
    name: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asking what is there changes nothing, and with --json it is still one document."""
    assert main([name, str(app)]) == 0
    assert capsys.readouterr().out
    assert main([name, str(app), "--json"]) == 0

    json.loads(capsys.readouterr().out)
    assert not (app / ".greenlight").exists()


@pytest.mark.usefixtures("own_cache")
def test_more_checks_than_cases_are_refused_before_anything_moves(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five cases cannot make eight checks: exit 2, not a return half-way through a rollout."""
    assert main(["ship", str(app), "--dry-run"]) == 2

    assert "at least 8 cases, for rollout.checks, found 5" in capsys.readouterr().err
    assert not (app / ".greenlight").exists()


@pytest.mark.parametrize("name", ["ship", "evaluate", "comply"])
@pytest.mark.usefixtures("own_cache")
def test_a_dry_run_prints_the_plan_and_changes_nothing(
    name: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = app / "few.yaml"
    few.write_text("rollout: {checks: 5}\n")
    words = [name, str(app), "--with", str(few), "--dry-run"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert text.startswith("plan: ")
    assert document["steps"][0]["step"] == "comply"
    assert (document["dry_run"], document["results"]) == (True, [])
    assert not (app / ".greenlight").exists()
