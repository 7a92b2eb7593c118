"""One release from nothing to production, and what comes after: a story in order.

Every test goes on from where the one before it stopped, as a user's day does.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import ROOT, Application

pytestmark = pytest.mark.slow

SHORTER = {"parameters": {"temperature": 0, "max_tokens": 5}}
POEM = {
    "prompt": {"inputs": ["query", "context"], "messages": [{"role": "user", "content": "Sing."}]},
    "evaluation": {
        "data": "questions.jsonl",
        "latency_cases": 5,
        "gates": [{"metric": "f1", "min": 0.99, "max_drop": 0.0}],
    },
}


def client(application: Application, role: str = "user") -> openai.OpenAI:
    """The unmodified OpenAI client, pointed at production."""
    address = application.status()["environments"]["production"]["address"]
    key = (application.state / f"keys/production.{role}.key").read_text().strip()
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=60)


def ask(application: Application) -> Any:
    """Production's answer to a question, with its headers."""
    with client(application) as production:
        return production.chat.completions.with_raw_response.create(
            model="box",
            messages=[{"role": "user", "content": "How many buttons are there?"}],
            extra_body={"inputs": {"context": "The box has three buttons."}},
        )


def live(application: Application) -> dict[str, str]:
    """The live release by environment."""
    return {k: v["live"] for k, v in application.status()["environments"].items()}


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something that happens by itself; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def test_a_dry_run_prints_the_plan_and_changes_nothing(application: Application) -> None:
    """Nothing is written, not even the state folder's ledger."""
    done = application.run("ship", "--dry-run", "--json")

    assert done.code == 0, done.err
    assert "comply" in [step["step"] for step in done.document["steps"]]
    assert not (application.state / "ledger").exists()
    assert not application.processes()


def test_the_first_ship_brings_the_release_to_production(application: Application) -> None:
    """Exit 0, live in both environments, a summary with a command that asks production."""
    done = application.run("ship")

    assert done.code == 0, done.err
    assert "is live in production" in done.out
    assert len(set(live(application).values())) == 1


def test_the_command_that_ship_prints_asks_production(application: Application) -> None:
    """Pasted into a shell it gets an answer; the key is read from its file."""
    command = application.run("ship").out.split("Ask production:\n")[1]

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["choices"][0]["message"]["content"]
    assert (application.state / "keys/production.user.key").read_text().strip() not in command


def test_shipping_again_has_nothing_to_do_and_says_why(application: Application) -> None:
    """No engine, no model, no entry in the ledger."""
    before = application.status()["ledger"]

    done = application.run("ship")

    assert done.code == 0
    assert "nothing to do: box@" in done.out
    assert "provision" not in done.err
    assert before == application.status()["ledger"]


def test_the_openai_client_gets_an_answer(application: Application) -> None:
    """Unmodified, with the release named in a header."""
    response = ask(application)

    assert response.parse().choices[0].message.content
    assert response.headers["x-greenlight-release"] == live(application)["production"]


def test_the_openai_client_streams_an_answer(application: Application) -> None:
    """The same words, piece by piece, and a proper end."""
    with client(application) as production:
        stream = production.chat.completions.create(
            model="box",
            messages=[{"role": "user", "content": "How many buttons are there?"}],
            extra_body={"inputs": {"context": "The box has three buttons."}},
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]

    assert "".join(pieces) == ask(application).parse().choices[0].message.content


def test_a_wrong_key_is_refused(application: Application) -> None:
    """As OpenAI refuses it."""
    with client(application) as production, pytest.raises(openai.AuthenticationError):
        production.with_options(api_key="wrong").models.list()


def test_a_change_is_shipped_beside_the_old_one_and_shares_its_model_server(
    application: Application,
) -> None:
    """The plan says so, one engine serves both, and production answers with the new release."""
    before = live(application)["production"]

    done = application.run("ship", "--with", str(application.change("shorter", SHORTER)))

    assert done.code == 0, done.err
    assert "shares the model server beside it" in done.err
    assert len(application.processes("serving.engine")) == 2  # one an environment
    assert live(application)["production"] != before
    assert ask(application).headers["x-greenlight-release"] == live(application)["production"]


def test_a_worse_release_is_refused_and_production_is_unchanged(application: Application) -> None:
    """Exit 3 with the gate's reasons; staging is back on the incumbent."""
    before = live(application)

    done = application.run("ship", "--with", str(application.change("poem", POEM)), "--json")

    assert done.code == 3
    assert "f1 is" in done.document["reasons"][0]
    assert before == live(application)
    assert len(application.status()["environments"]["staging"]["slots"]) == 1


def test_what_was_refused_is_refused_again_without_asking_the_model(
    application: Application,
) -> None:
    """The same reasons, from the ledger."""
    before = application.status()["environments"]["staging"]["slots"]

    done = application.run("ship", "--with", str(application.folder / "poem.yaml"))

    assert done.code == 3
    assert before == application.status()["environments"]["staging"]["slots"]


def test_a_rollback_returns_to_the_release_before_and_holds_the_bad_one(
    application: Application,
) -> None:
    """Exit 0; shipping what was brought back is refused until --retry."""
    bad = live(application)["production"]

    done = application.run("rollback", "--env", "production")
    again = application.run("ship", "--with", str(application.folder / "shorter.yaml"))

    assert done.code == 0, done.err
    assert again.code == 3
    assert "--retry" in again.err
    assert live(application)["production"] != bad
    assert ask(application).headers["x-greenlight-release"] == live(application)["production"]


def test_a_rollback_needs_no_evaluation_data(application: Application) -> None:
    """Nothing that is wrong with the candidate stands in a return's way."""
    data = application.folder / "questions.jsonl"
    text = data.read_text()
    data.write_text("this is no JSON\n")

    done = application.run("rollback", "--env", "staging")
    data.write_text(text)

    assert done.code == 0, done.err


def test_a_held_release_is_shipped_with_retry(application: Application) -> None:
    """Measured anew, promoted as any other."""
    change = str(application.folder / "shorter.yaml")

    done = application.run("ship", "--with", change, "--retry")

    assert done.code == 0, done.err
    assert live(application)["staging"] == live(application)["production"]


@pytest.mark.parametrize("module", ["serving.engine", "serving.gateway", "serving.application"])
def test_what_dies_comes_back(application: Application, module: str) -> None:
    """SIGKILL; production answers again by itself, at the same address."""
    address = application.status()["environments"]["production"]["address"]
    victims = {process.pid for process in application.processes(module, "production")}
    victims |= {p.pid for p in application.processes(module) if module == "serving.engine"}
    for pid in victims:
        os.kill(pid, 9)

    def answers() -> bool:
        try:
            return bool(ask(application).parse().choices)
        except openai.APIError:
            return False

    wait_until(answers)
    assert address == application.status()["environments"]["production"]["address"]
    assert not victims & {process.pid for process in application.processes(module)}


def test_a_supervisor_that_dies_comes_back_and_takes_over_what_runs(
    application: Application,
) -> None:
    """The processes that served before it died serve on."""
    serving = {p.pid for p in application.processes("serving.application")}
    dead = {p.pid for p in application.processes("serving.supervisor")}
    for pid in dead:
        os.kill(pid, 9)

    wait_until(lambda: len(application.processes("serving.supervisor")) == 2)

    assert ask(application).parse().choices
    assert serving == {p.pid for p in application.processes("serving.application")}


def test_two_at_once_one_wins_and_the_other_says_who_holds_the_lease_S09(
    application: Application,
) -> None:
    """Exit 4, with verb and process of the winner."""
    change = str(application.change("longer", {"parameters": {"max_tokens": 9}}))
    with application.start("ship", "--with", change) as first:
        wait_until(lambda: bool(application.status()["environments"]["production"]["lease"]))
        second = application.run("ship", "--with", change)
        _, err = first.communicate(timeout=480)

    assert first.returncode == 0, err
    assert second.code == 4
    assert f"process {first.pid}" in second.err


@pytest.mark.parametrize("what", ["ledger", "evidence"])
def test_one_changed_byte_makes_verify_refuse(application: Application, what: str) -> None:
    """In an entry, in evidence, in a blob that is referred to."""
    assert application.run("verify").code == 0
    files = sorted(p for p in (application.state / what).rglob("*") if p.is_file())

    for path in files[:: max(1, len(files) // 6)]:
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        done = application.run("verify")
        path.write_bytes(data)

        assert done.code == 3, path
        assert path.name in done.err

    assert application.run("verify").code == 0


@pytest.mark.parametrize("position", [0, 5, -1])
def test_a_missing_entry_makes_verify_refuse(application: Application, position: int) -> None:
    """Any entry, the last one included; and no command goes on from such a ledger."""
    path = sorted((application.state / "ledger/box").glob("*.json"))[position]
    data = path.read_bytes()
    path.unlink()

    verified, shipped = application.run("verify"), application.run("ship", "--retry")
    path.write_bytes(data)

    assert (verified.code, shipped.code) == (3, 3)


def test_pulumi_works_by_hand(application: Application) -> None:
    """Up finds nothing to change; destroy leaves no process, port or file but the record."""
    ports = [e["address"] for e in application.status()["environments"].values()]
    app = ("--app", str(application.folder))

    up = application.run("pulumi", *app, "up", "--yes", "--stack", "local", app=False)
    assert up.code == 0, up.err
    assert "4 unchanged" in up.out
    unasked = application.run("pulumi", *app, "-Q", "destroy", app=False)
    assert unasked.code != 0
    assert "--yes" in unasked.err

    down = application.run("pulumi", *app, "-Q", "destroy", "--yes", app=False)

    assert down.code == 0, down.err
    assert {"evidence", "keys", "ledger"} == {path.name for path in application.state.iterdir()}
    kinds = [entry["kind"] for entry in application.run("history", "--json").document]
    assert "destroyed" in kinds[-len(ports) - 1 :]
    assert not application.processes()
    for address in ports:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{address}/-/health", timeout=2)
    assert not [p for p in application.state.rglob("*") if p.is_socket()]


def test_pulumi_settings_of_the_checkout_are_not_touched(application: Application) -> None:
    """The engine's salt goes to the application's state, never into the checkout."""
    logs = application.run("pulumi", "--app", str(application.folder), "logs", app=False)
    done = application.run("pulumi", "--app", str(application.folder), "config", "set", "a", "b",
                           app=False)  # fmt: skip

    assert (logs.code, done.code) == (0, 2)
    assert "encryptionsalt" not in Path(ROOT / "infra/stacks/Pulumi.local.yaml").read_text()


def test_environments_that_were_removed_by_hand_are_brought_back(application: Application) -> None:
    """The ledger knows what was live; its evidence still holds, so no case is asked again."""
    change = str(application.folder / "longer.yaml")

    done = application.run("ship", "--with", change)

    assert done.code == 0, done.err
    assert "evaluate" not in done.err
    assert len(set(live(application).values())) == 1


def test_destroy_leaves_ledger_evidence_and_keys(application: Application) -> None:
    """And the record still verifies."""
    done = application.run("destroy")

    assert done.code == 0, done.err
    assert {"evidence", "keys", "ledger"} == {path.name for path in application.state.iterdir()}
    assert not application.processes()
    assert application.run("verify").code == 0
    assert "nothing to do" in application.run("destroy").out
