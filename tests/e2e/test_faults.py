"""What goes wrong around a release: a clear end each, and nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Application, make_application

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("live"),
]


def production(application: Application) -> dict[str, Any]:
    """What production is, as far as users notice, and how long the ledger is."""
    one = application.status()["environments"]["production"]
    return {"live": one["live"], "slots": {k: v["weight"] for k, v in one["slots"].items()}}


def entries(application: Application) -> int:
    """How many entries the ledger has."""
    return int(application.status()["ledger"]["entries"])


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("llm.yaml", "apiVersion: greenlight/v1\nnmae: box\n", "llm.yaml:2: nmae"),
        ("llm.yaml", None, "llm.yaml"),
        (
            "questions.jsonl",
            '{"query": "q", "ground_truth": "t"}\n{"query": 1}\n',
            "jsonl:2: query",
        ),
        ("prompts/question.j2", "{{ query }", "question.j2:1"),
        ("prompts/question.j2", None, "question.j2"),
        (".greenlight/keys/pipeline.key", "not a key", "pipeline.key"),
    ],
    ids=["bad spec", "no spec", "bad row", "bad template", "no template", "bad key"],
)
def test_bad_input_ends_with_2_and_changes_nothing(
    application: Application, file: str, text: str | None, says: str
) -> None:
    """File and line, what was expected, what to do; production and ledger as they were."""
    path, before = application.folder / file, (production(application), entries(application))
    data = path.read_bytes()
    if text is None:
        path.unlink()
    else:
        path.write_text(text)

    done = application.run("ship", "--with", str(_change(application)))
    path.write_bytes(data)

    assert done.code == 2, done.err
    assert says in done.err
    assert "expected" in done.err
    assert before == (production(application), entries(application))


def wait_for(process: subprocess.Popen[str], *words: str) -> None:
    """Until ``process`` says a line with all of ``words``."""
    assert process.stderr is not None
    for line in process.stderr:
        if all(word in line for word in words):
            return
    pytest.fail(f"it ended with {process.wait()} and never said {words}")


def freeze_green(
    application: Application, process: subprocess.Popen[str], blue: dict[str, int]
) -> None:
    """Stop what answers for green, once the rollout in production has begun to check it."""
    wait_for(process, "• check production/")
    (slot,) = set(production(application)["slots"]) - set(blue)
    (green,) = application.processes("serving.application", f"production {slot} ")
    green.send_signal(signal.SIGSTOP)


def _change(application: Application) -> Path:
    """A change that is worth a ship."""
    return application.change("other", {"parameters": {"max_tokens": 6}})


def test_a_green_that_stops_answering_brings_all_traffic_back_to_blue_S07(
    application: Application,
) -> None:
    """Exit 5: green is frozen at its first step; blue has everything again, and green is held."""
    before = production(application)
    evaluation = {"evaluation": {"timeout_seconds": 20.0, "concurrency": 4}}
    change = application.change("frozen", {"parameters": {"max_tokens": 7}, **evaluation})

    with application.start("ship", "--with", str(change)) as process:
        freeze_green(application, process, before["slots"])
        _, err = process.communicate(timeout=300)

    again = application.run("ship", "--with", str(change))
    assert process.returncode == 5, err
    seen = ("did not answer a synthetic query", "requests unanswered", "queries got no answer")
    assert any(one in err for one in seen)
    assert before == production(application)
    assert again.code == 3
    assert "held" in again.err


def test_a_return_that_was_killed_is_finished_by_whoever_comes_next(
    application: Application,
) -> None:
    """By it or by the watcher, whoever is quicker; blue has everything, green is held."""
    before = production(application)
    evaluation = {"evaluation": {"timeout_seconds": 20.0, "concurrency": 4}}
    change = application.change("killed", {"parameters": {"max_tokens": 4}, **evaluation})
    with application.start("ship", "--with", str(change)) as process:
        freeze_green(application, process, before["slots"])
        wait_for(process, "• begin-return production")
        wait_for(process, "• set-weights production")
        process.send_signal(signal.SIGKILL)
        process.communicate()

    codes: list[int] = []
    for _ in range(20):  # 4 while the watcher is at it
        codes.append(application.run("ship", "--with", str(change)).code)
        if codes[-1] != 4:
            break

    assert codes[-1] in (3, 5)  # held already, or finished by the ship itself
    assert before == production(application)


def test_a_port_that_somebody_else_has_is_named(application: Application, tmp_path: Path) -> None:
    """The port, what to do, and nothing of a half-made environment stays."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = make_application(
            application.environment["GREENLIGHT_PULUMI"],
            Path(application.environment["XDG_CACHE_HOME"]),
            tmp_path / "port",
        )
        change = other.change("port", {"environments": {"staging": {"port": port}}})
        done = other.run("ship", "--with", str(change))
        left = other.processes("staging")
        other.remove()

    assert done.code == 1
    assert str(port) in done.err
    assert not left


def test_an_environment_that_vanished_is_provisioned_again(application: Application) -> None:
    """Staging's folder is gone with all its processes; production is not touched."""
    before = production(application)
    staging = application.state / "environments/staging"
    for process in application.processes("environments/staging"):
        process.send_signal(signal.SIGKILL)
    for process in application.processes():
        if process.environ().get("GREENLIGHT_ENVIRONMENT", "") == str(staging):
            process.send_signal(signal.SIGKILL)
    shutil.rmtree(staging)

    promoted = application.run("promote", "--to", "production", "--with", str(_change(application)))
    shipped = application.run("ship")

    assert promoted.code == 3
    assert "staging" in promoted.err
    assert shipped.code == 0, shipped.err
    assert before == production(application)
    assert application.status()["environments"]["staging"]["provisioned"]


def test_a_lost_operators_key_is_made_anew_by_ship(application: Application) -> None:
    """Until then status says what is missing; what serves is not restarted."""
    before = production(application)
    serving = {process.pid for process in application.processes("serving.application")}
    key = application.state / "keys/production.operator.key"
    key.unlink()

    told = application.status()["environments"]["production"]
    shipped = application.run("ship")

    assert not told["provisioned"]
    assert "production.operator.key" in told["reason"]
    assert "`greenlight ship` makes keys that are missing" in told["reason"]
    assert shipped.code == 0, shipped.err
    assert key.stat().st_mode & 0o777 == 0o600
    assert before == production(application)
    assert serving == {process.pid for process in application.processes("serving.application")}


def test_a_cache_that_was_cut_is_mended(application: Application, cache: Path) -> None:
    """Half a model in the cache is replaced by the whole one before any engine opens it."""
    kept = (cache / "greenlight/models/sha256").glob("[0-9a-f]*")
    model = max(kept, key=lambda file: file.stat().st_size)  # other tests keep tiny ones there
    size = model.stat().st_size
    copy = model.with_name("copy")
    shutil.copyfile(model, copy)  # what runs has the file mapped: replace it, never cut it
    os.truncate(copy, 1000)
    copy.replace(model)

    done = application.run("ship", "--with", str(_change(application)))

    assert done.code == 0, done.err
    assert model.stat().st_size == size


def test_a_stale_writer_changes_nothing_S12(application: Application) -> None:
    """Weights written under a fence that is over are refused; they are replaced, never merged."""
    from pipelines.targets.base import StaleFenceError
    from pipelines.workspace import open_workspace

    target = open_workspace(application.folder).targets["production"]
    before = target.facts().weights

    with pytest.raises(StaleFenceError):
        target.expose({}, fence=1)

    assert before == target.facts().weights
    assert sum(before.values()) == 100


def test_a_rollback_goes_by_what_runs_when_llm_yaml_cannot_be_read(
    application: Application,
) -> None:
    """As do status, history and verify: what is wrong with the file is said, and stops nothing."""
    assert application.run("ship", "--with", str(_change(application))).code == 0
    before, file = production(application)["live"], application.folder / "llm.yaml"
    text = file.read_text()
    file.write_text(text.replace("name: box", "nmae: box", 1))

    done = {
        verb: application.run(verb, *words)
        for verb, words in {
            "rollback": ("--env", "production"), "status": (), "history": (), "verify": ()
        }.items()
    }  # fmt: skip
    shipped = application.run("ship")
    file.write_text(text)

    assert {verb: one.code for verb, one in done.items()} == dict.fromkeys(done, 0)
    assert all("llm.yaml:" in one.err and "nmae" in one.err for one in done.values())
    assert shipped.code == 2
    assert production(application)["live"] != before
