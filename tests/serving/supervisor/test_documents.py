"""desired.json in, units and observed.json out."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from release.errors import BadInput
from serving.processes import Identity
from serving.slots import Desired, parse_desired, parse_slot
from serving.supervisor.plan import Life, Unit
from serving.supervisor.report import endpoints, observed
from serving.supervisor.units import application_unit, engine_unit, units_of
from tests.serving.making import engine_spec, slot_spec

FOLDER, ADDRESS = Path("/env"), "127.0.0.1:8080"
ME = Identity(1, 1.0)


def desired(**slots: Any) -> Desired:
    return Desired(fence=3, slots=slots)


def document(**changes: Any) -> dict[str, Any]:
    return {"fence": 3, "slots": {"green": asdict(slot_spec())}, **changes}


def without(path: str, value: Any = None) -> dict[str, Any]:
    """A document with the value at ``path`` replaced."""
    whole = document()
    place: Any = whole
    *parents, last = path.split(".")
    for name in parents:
        place = place[name]
    place[last] = value
    return whole


def test_what_is_written_is_read_back() -> None:
    """A declaration survives its file."""
    assert parse_desired(document(), "desired.json") == desired(green=slot_spec())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fence", None),
        ("fence", "3"),
        ("fence", True),
        ("fence", -1),
        ("slots", []),
        ("slots.green", "x"),
        ("slots.green.release", "abc"),
        ("slots.green.label", ""),
        ("slots.green.bundle", None),
        ("slots.green.engine", None),
        ("slots.green.engine.model", 7),
        ("slots.green.engine.model_sha256", "xyz"),
        ("slots.green.engine.context", 0),
        ("slots.green.engine.parallel", 1.5),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(path: str, value: Any) -> None:
    """The error names the file and the path."""
    with pytest.raises(BadInput) as caught:
        parse_desired(without(path, value), "desired.json")

    assert caught.value.problems[0].file == "desired.json"
    assert caught.value.problems[0].path == path


@pytest.mark.parametrize("name", ["", "Green", "../x", "a b", "a" * 40, "gréen"])
def test_a_slot_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    """Names of slots become names of sockets and logs."""
    with pytest.raises(BadInput, match="slots"):
        parse_desired({"fence": 0, "slots": {name: asdict(slot_spec())}}, "desired.json")


def test_one_engine_key_cannot_mean_two_engines() -> None:
    """Slots that share a key must agree on everything."""
    other = slot_spec("b", engine=engine_spec(context=1024))
    slots = {"blue": asdict(slot_spec()), "green": asdict(other)}

    with pytest.raises(BadInput, match="same engine"):
        parse_desired({"fence": 0, "slots": slots}, "desired.json")


def test_a_slot_is_read_alone_as_well() -> None:
    """The application reads only its own piece."""
    assert parse_slot(asdict(slot_spec()), "green.json") == slot_spec()


def test_slots_with_the_same_key_share_an_engine() -> None:
    """A release that changes only the prompt costs no second model server."""
    both = desired(blue=slot_spec("a"), green=slot_spec("b"))

    names = units_of(FOLDER, both, ADDRESS).keys()

    assert names == {
        "gateway",
        engine_spec().unit,
        "application-blue",
        "application-green",
    }


def test_a_key_of_its_own_is_an_engine_of_its_own() -> None:
    """Keys that begin alike are still different engines."""
    both = desired(
        blue=slot_spec("a", engine=engine_spec(key="0123456789ab-blue")),
        green=slot_spec("b", engine=engine_spec(key="0123456789ab-green")),
    )

    engines = [unit for unit in units_of(FOLDER, both, ADDRESS).values() if unit.kind == "engine"]

    assert len({unit.address for unit in engines}) == 2


def test_an_unknown_engine_is_refused() -> None:
    """Never guessed."""
    with pytest.raises(BadInput, match=r"llama\.cpp"):
        engine_unit(engine_spec(name="vllm"))


def test_any_change_of_a_slot_is_another_command() -> None:
    """A running application is recognised by its command alone."""
    before = application_unit(FOLDER, "green", slot_spec()).command

    assert application_unit(FOLDER, "green", slot_spec()).command == before
    assert application_unit(FOLDER, "green", slot_spec(label="x@1")).command != before


def lives_of(units: dict[str, Unit], **changes: dict[str, Any]) -> dict[str, Life]:
    """All ready, but for ``changes`` by kind."""
    return {
        name: replace(
            Life(unit, process=Identity(9, 9.0), ready=True), **changes.get(unit.kind, {})
        )
        for name, unit in units.items()
    }


DOWN: dict[str, Any] = {"ready": False, "process": None}

STATES: dict[str, tuple[dict[str, dict[str, Any]], str, str]] = {
    "ready": ({}, "ready", ""),
    "its application is starting": (
        {"application": {"ready": False, "reason": "no prompt yet"}},
        "starting",
        "no prompt yet",
    ),
    "its engine is starting": ({"engine": DOWN}, "starting", ""),
    "its engine has failed": (
        {"engine": {**DOWN, "failed": True, "reason": "wrong digest"}},
        "failed",
        "engine: wrong digest",
    ),
    "its application has failed": (
        {"application": {**DOWN, "failed": True, "reason": "no template"}},
        "failed",
        "no template",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_s06_a_slot_says_how_it_is_and_why(case: str) -> None:
    """A slot is as good as the worse of its application and its engine."""
    changes, state, reason = STATES[case]
    wanted = desired(green=slot_spec())
    units = units_of(FOLDER, wanted, ADDRESS)

    seen = observed(ME, wanted, lives_of(units, **changes), units, "")

    slot = seen["slots"]["green"]
    assert (slot["state"], slot["reason"]) == (state, reason)
    assert slot["release"] == "a" * 64
    assert endpoints(wanted, seen)["slots"]["green"] == {
        "socket": "run/green.sock",
        "release": "support-bot@aaaaaaa",
        "ready": state == "ready",
    }


def test_s02_a_slot_whose_release_is_being_replaced_is_not_ready() -> None:
    """The old application still runs, but it is not what was asked for."""
    before, after = desired(green=slot_spec("a")), desired(green=slot_spec("b"))
    lives = lives_of(units_of(FOLDER, before, ADDRESS))

    seen = observed(ME, after, lives, units_of(FOLDER, after, ADDRESS), "")

    assert seen["slots"]["green"]["state"] == "starting"


def test_a_slot_that_leaves_is_shown_until_it_is_gone() -> None:
    """But the gateway no longer hears of it."""
    lives = lives_of(units_of(FOLDER, desired(green=slot_spec()), ADDRESS))
    none = desired()

    seen = observed(ME, none, lives, units_of(FOLDER, none, ADDRESS), "")

    assert seen["slots"]["green"]["state"] == "stopping"
    assert endpoints(none, seen) == {"slots": {}}


def test_it_says_which_declaration_it_follows() -> None:
    """The fence and the problem with a newer one travel with the observation."""
    units = units_of(FOLDER, desired(), ADDRESS)

    seen = observed(ME, desired(), lives_of(units), units, "desired.json: expected JSON")

    assert (seen["fence"], seen["problem"]) == (3, "desired.json: expected JSON")
    assert seen["gateway"]["address"] == "http://127.0.0.1:8080"
