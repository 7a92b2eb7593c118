"""What the Pulumi resource and the target adapter call, without any process."""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from release.errors import BadInput, GreenlightError
from serving import local, supervisor
from serving.local import EnvironmentSettings, RateLimit, StaleFence
from tests.serving.making import engine_spec, slot_spec


@pytest.fixture(autouse=True)
def nobody_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about files."""
    monkeypatch.setattr(supervisor, "revive", lambda folder: False)


@pytest.fixture
def settings(tmp_path: Path) -> EnvironmentSettings:
    return EnvironmentSettings("support-bot", "staging", tmp_path / "keys")


@pytest.fixture
def folder(tmp_path: Path, settings: EnvironmentSettings) -> Path:
    """An environment's folder with its settings, and nothing running."""
    environment = tmp_path / "env"
    local._write_settings(environment, settings)
    return environment


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_stay_outside_and_only_their_hashes_go_in(
    folder: Path, settings: EnvironmentSettings
) -> None:
    """One key a role, readable by its owner alone."""
    callers = json.loads((folder / "callers.json").read_text())["callers"]

    assert [caller["role"] for caller in callers] == ["user", "tester", "operator"]
    for caller in callers:
        file = local.key_file(settings.keys_folder, "staging", caller["role"])
        key = file.read_text().strip()
        assert mode(file) == 0o600
        assert caller["sha256"] == hashlib.sha256(key.encode()).hexdigest()
        assert key not in (folder / "callers.json").read_text()
    assert len({caller["sha256"] for caller in callers}) == 3
    assert mode(folder) == 0o700


def test_keys_are_used_again(folder: Path, settings: EnvironmentSettings) -> None:
    """A destroyed environment comes back with the keys that callers already have."""
    before = (folder / "callers.json").read_bytes()
    local.destroy(folder)

    local._write_settings(folder, settings)

    assert (folder / "callers.json").read_bytes() == before


def test_the_gateway_is_told_what_a_refusal_is(folder: Path, settings: EnvironmentSettings) -> None:
    """Written into the file that it follows; the folder of the keys stays out of it."""
    local._write_settings(folder, replace(settings, refusal=("i don't know",)))

    assert json.loads((folder / "gateway.json").read_text()) == {
        "application": "support-bot",
        "environment": "staging",
        "host": "127.0.0.1",
        "port": 0,
        "refusal": ["i don't know"],
    }


def test_a_rate_limit_is_the_users_alone(folder: Path, settings: EnvironmentSettings) -> None:
    """Who tests and operates is Greenlight itself, and goes when the limit goes."""
    limited = replace(settings, rate_limit=RateLimit(2.5, 10))
    rates = []
    for one in (limited, settings):
        local._write_settings(folder, one)
        callers = json.loads((folder / "callers.json").read_text())["callers"]
        rates.append({caller["name"]: caller.get("rate") for caller in callers})

    nobody = {"user": None, "tester": None, "operator": None}
    assert rates == [nobody | {"user": {"per_second": 2.5, "burst": 10}}, nobody]


def test_settings_that_are_as_they_were_are_not_written(
    folder: Path, settings: EnvironmentSettings
) -> None:
    """The gateway reads what has changed."""
    settings = replace(settings, refusal=("no",))
    local._write_settings(folder, settings)
    before = (folder / "gateway.json").stat()
    local._write_settings(folder, settings)

    assert (folder / "gateway.json").stat().st_ino == before.st_ino


def test_an_empty_key_is_refused(folder: Path, settings: EnvironmentSettings) -> None:
    """Everybody knows the empty key."""
    file = local.key_file(settings.keys_folder, "staging", "user")
    file.write_text("\n")

    with pytest.raises(BadInput, match=r"staging\.user\.key"):
        local._write_settings(folder, settings)


@pytest.mark.parametrize("name", ["gateway.json", "callers.json"])
def test_s22_half_written_settings_are_written_again(
    folder: Path, settings: EnvironmentSettings, name: str
) -> None:
    """What belongs there is known."""
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before[:20])

    local._write_settings(folder, settings)

    assert (folder / name).read_bytes() == before


def test_nothing_is_declared_at_first(folder: Path) -> None:
    """Absence is the empty map."""
    assert local.declared(folder).slots == {}


def test_s08_what_a_dead_supervisor_wrote_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown is an error, neither ready nor empty."""
    monkeypatch.setattr(local, "OBSERVE_SECONDS", 0.01)
    dead = {"supervisor": {"pid": 1, "started": 1.0}, "slots": {"green": {"state": "ready"}}}
    (folder / "observed.json").write_text(json.dumps(dead))

    with pytest.raises(GreenlightError, match="does not run"):
        local.observed(folder)


def test_nothing_is_observed_where_no_environment_is(tmp_path: Path) -> None:
    """That is known, so it is no error."""
    assert local.observed(tmp_path / "none") == {}


def test_a_declaration_replaces_the_one_before(folder: Path) -> None:
    """The whole map, never a merge."""
    local.declare(folder, {"blue": slot_spec("a"), "green": slot_spec("b")}, fence=1)
    local.declare(folder, {"green": asdict(slot_spec("c"))}, fence=1)

    assert local.declared(folder).slots == {"green": slot_spec("c")}


def test_s09_a_stale_fence_is_refused(folder: Path) -> None:
    """Somebody with a later lease has been here; an equal fence is the same holder."""
    local.declare(folder, {"green": slot_spec("a")}, fence=5)
    local.declare(folder, {"green": slot_spec("b")}, fence=5)

    with pytest.raises(StaleFence) as caught:
        local.declare(folder, {"green": slot_spec("c")}, fence=4)

    assert (caught.value.offered, caught.value.stored) == (4, 5)
    assert local.declared(folder).slots == {"green": slot_spec("b")}


def test_a_later_fence_is_kept_even_when_nothing_else_changes(folder: Path) -> None:
    """From then on the earlier holder is refused."""
    local.declare(folder, {}, fence=5)
    local.declare(folder, {}, fence=6)

    with pytest.raises(StaleFence):
        local.declare(folder, {}, fence=5)


def test_s09_whoever_set_the_weights_last_has_the_fence(folder: Path) -> None:
    """A writer that was overtaken before anything was declared anew declares nothing either."""
    local.declare(folder, {"green": slot_spec("b")}, fence=3)
    (folder / "routes.json").write_text(json.dumps({"fence": 5, "weights": {}}))

    with pytest.raises(StaleFence):
        local.declare(folder, {"green": slot_spec("c")}, fence=4)
    local.declare(folder, {"green": slot_spec("d")}, fence=5)

    assert local.declared(folder).slots == {"green": slot_spec("d")}


def test_s09_declarations_at_once_leave_one_of_them(folder: Path) -> None:
    """Whichever order: the highest fence is what stays."""

    def declare(fence: int) -> None:
        try:
            local.declare(folder, {"green": slot_spec(f"{fence % 10}")}, fence)
        except StaleFence:
            return

    threads = [threading.Thread(target=declare, args=(fence,)) for fence in range(1, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert local.declared(folder).fence == 9
    assert local.declared(folder).slots == {"green": slot_spec("9")}


def test_what_cannot_run_is_not_declared(folder: Path) -> None:
    """The caller learns it at once, not from a slot that never starts."""
    local.declare(folder, {"green": slot_spec()}, fence=1)

    with pytest.raises(BadInput, match="vllm"):
        local.declare(folder, {"green": slot_spec(engine=engine_spec(name="vllm"))}, fence=1)

    assert local.declared(folder).slots == {"green": slot_spec()}


def test_s22_a_half_written_declaration_is_told_and_replaced(folder: Path) -> None:
    """Its fence is gone with it; the one that the supervisor has followed still holds."""
    (folder / "desired.json").write_text('{"fence": 7, "slo')
    (folder / "observed.json").write_text('{"fence": 7}')

    with pytest.raises(BadInput, match=r"desired\.json"):
        local.declared(folder)
    with pytest.raises(StaleFence):
        local.declare(folder, {}, fence=6)
    assert local.declare(folder, {}, fence=7) == local.declared(folder)


def test_nothing_is_declared_where_no_environment_is(tmp_path: Path) -> None:
    """The error says what to do first."""
    with pytest.raises(BadInput, match="greenlight"):
        local.declare(tmp_path, {}, fence=1)


def test_there_are_no_facts_of_nothing(tmp_path: Path) -> None:
    """Absence is None, not an error."""
    assert local.read(tmp_path / "none") is None


def test_facts_of_one_that_is_down(folder: Path) -> None:
    """It is said not to be alive."""
    facts = local.read(folder)

    assert facts is not None
    assert (facts.alive, facts.pid, facts.environment) == (False, None, "staging")


@pytest.mark.parametrize(
    "left",
    [[], ["gateway.json"], ["run", "log"], ["stopping"], ["observed.json"], ["supervisor.lock"]],
)
def test_s22_half_an_environment_is_destroyed(tmp_path: Path, left: list[str]) -> None:
    """Whatever a killed run has left of it; twice is as good as once."""
    folder = tmp_path / "env"
    folder.mkdir()
    for name in left:
        (folder / name).write_text("[")

    local.destroy(folder)
    local.destroy(folder)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_environment_is_never_removed(tmp_path: Path) -> None:
    """A wrong path costs nothing."""
    (tmp_path / "thesis.txt").write_text("years")

    with pytest.raises(BadInput, match="Nothing was removed"):
        local.destroy(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
