"""The local target where files are lost or damaged: it says so, and what can be mended is."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cache import ModelCache
from pipelines.targets.base import DeployFailedError, StaleFenceError
from pipelines.targets.local import LocalTarget
from release.bundle import Release
from release.errors import BadInput, GreenlightError
from release.state import StateFolder
from serving import local, processes, supervisor
from tests.release.test_bundle import release as make_release
from tests.serving.making import slot_spec

ROUTES = {"fence": 1, "weights": {"green": 100, "blue": 0}}


class Gateway(http.server.BaseHTTPRequestHandler):
    """A gateway that is well, and lets in whom its environment's callers.json names."""

    folder: Path

    def do_GET(self) -> None:
        if self.path == "/-/health":
            return self.answer(200, {"status": "ok"})
        if not local.admits(self.folder, self.folder.parent.parent / "keys"):
            return self.answer(503, {"error": {"message": "Who may call is not known"}})
        return self.answer(200, ROUTES)

    def answer(self, status: int, document: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTarget]:
    """An environment that serves ``green``, with this process in its supervisor's place."""
    monkeypatch.setattr(supervisor, "revive", lambda folder: False)
    monkeypatch.setattr(local, "OBSERVE_SECONDS", 0.01)
    made = LocalTarget(
        "support-bot", "staging", StateFolder(tmp_path), ModelCache(tmp_path / "cache", 1000)
    )
    settings = local.EnvironmentSettings("support-bot", "staging", made.state.keys)
    local._write_settings(made.folder, settings)
    local.declare(made.folder, {"green": slot_spec()}, fence=7)
    me = processes.identify(os.getpid())
    assert me is not None
    observed = {
        "fence": 7,
        "supervisor": {"pid": me.pid, "started": me.started},
        "slots": {"green": {"state": "ready", "release": slot_spec().release}},
    }
    (made.folder / "observed.json").write_text(json.dumps(observed))
    handler = type("Here", (Gateway,), {"folder": made.folder})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        (made.folder / "port.json").write_text(json.dumps({"port": server.server_port}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_what_is_whole_is_provisioned(target: LocalTarget) -> None:
    """With its address, its slots, and the weights that are not zero."""
    facts = target.facts()

    assert (facts.provisioned, facts.reason, facts.weights) == (True, "", {"green": 100})
    assert facts.slots["green"].state == "ready"


def cut(name: str) -> Callable[[LocalTarget], None]:
    def damage(target: LocalTarget) -> None:
        path = target.folder / name
        path.write_bytes(path.read_bytes()[:10])

    return damage


def lose(name: str) -> Callable[[LocalTarget], None]:
    return lambda target: (target.folder / name).unlink()


def lose_key(target: LocalTarget) -> None:
    target.key_file("operator").unlink()


def spoil_key(target: LocalTarget) -> None:
    target.key_file("operator").write_bytes(b"\xff" * 40)


DAMAGES: dict[str, tuple[Callable[[LocalTarget], None], str, bool]] = {
    "a lost operator's key": (lose_key, "staging.operator.key", True),
    "an operator's key that is none": (spoil_key, "ASCII", True),
    "damaged callers": (cut("callers.json"), "Who may call is not known", True),
    "damaged settings": (cut("gateway.json"), "gateway.json", True),
    "lost settings": (lose("gateway.json"), "not provisioned", True),
    "a damaged port": (cut("port.json"), "port.json", True),
    "a lost port": (lose("port.json"), "does not answer", True),
    "a damaged observation": (cut("observed.json"), "does not run", True),
    "a damaged declaration": (cut("desired.json"), "desired.json", False),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_s22_what_cannot_be_read_is_not_provisioned_so_that_ship_provisions_it(
    case: str, target: LocalTarget
) -> None:
    """With the reason, and with the slots that are declared, where that is known."""
    damage, reason, slots_known = DAMAGES[case]
    damage(target)

    facts = target.facts()

    assert not facts.provisioned
    assert reason in facts.reason
    assert set(facts.slots) == ({"green"} if slots_known else set())


def sha256_of(release: Release) -> str:
    """Of its model file."""
    assert release.file
    return release.file.sha256


@pytest.fixture
def release(target: LocalTarget) -> Release:
    """A release whose model is in the cache."""
    made = make_release()
    model = target.cache.path(sha256_of(made))
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    return made


def observe(target: LocalTarget, release: Release) -> None:
    path = target.folder / "observed.json"
    seen = json.loads(path.read_bytes())
    seen["slots"]["blue"] = {"state": "ready", "release": release.digest}
    path.write_text(json.dumps(seen))


def test_a_release_is_declared_beside_what_is_declared(
    target: LocalTarget, release: Release
) -> None:
    observe(target, release)

    target.deploy("blue", release, fence=8)

    assert set(local.declared(target.folder).slots) == {"green", "blue"}


def test_s22_after_a_damaged_declaration_slots_are_declared_anew(
    target: LocalTarget, release: Release
) -> None:
    """What it said is not guessed; the fence that the supervisor followed still holds."""
    cut("desired.json")(target)
    observe(target, release)

    with pytest.raises(StaleFenceError):
        target.deploy("blue", release, fence=6)
    target.deploy("blue", release, fence=7)

    assert set(local.declared(target.folder).slots) == {"blue"}


def test_s22_nothing_is_retired_from_a_declaration_that_is_not_known(target: LocalTarget) -> None:
    """Declared anew without the one slot, the others would go too."""
    cut("desired.json")(target)
    seen = json.loads((target.folder / "observed.json").read_bytes()) | {"slots": {}}
    (target.folder / "observed.json").write_text(json.dumps(seen))

    with pytest.raises(GreenlightError, match=r"^staging: .*desired\.json") as caught:
        target.retire("blue", deadline=0.0, fence=7)

    assert caught.value.exit_code == 1


WORK: dict[str, Callable[[LocalTarget, Release], object]] = {
    "deploy": lambda target, release: target.deploy("blue", release, 8),
    "expose": lambda target, release: target.expose({"green": 100}, 8),
    "measure": lambda target, release: target.measure("green"),
    "retire": lambda target, release: target.retire("green", 0.0, 8),
    "endpoint": lambda target, release: target.endpoint("green"),
}


VANISHES = [(work, lose("gateway.json")) for work in WORK]
VANISHES += [(work, cut("gateway.json")) for work in WORK if work != "deploy"]  # it asks for none


@pytest.mark.parametrize(("work", "damage"), VANISHES)
def test_an_environment_that_vanishes_in_the_middle_of_a_step_is_no_bad_input(
    work: str, damage: Callable[[LocalTarget], None], target: LocalTarget, release: Release
) -> None:
    """Exit 2 promises that nothing was changed: this is exit 1, and names the environment."""
    damage(target)

    with pytest.raises(GreenlightError, match="staging") as caught:
        WORK[work](target, release)

    assert not isinstance(caught.value, BadInput | DeployFailedError)
    assert caught.value.exit_code == 1


def test_a_model_that_is_not_in_the_cache_is_put_back_by_a_ship(
    target: LocalTarget, release: Release
) -> None:
    """And by nothing else: to build a release fills no cache."""
    target.cache.path(sha256_of(release)).unlink()

    with pytest.raises(DeployFailedError, match=r"`greenlight ship` with that release's sources"):
        target.deploy("blue", release, fence=8)
