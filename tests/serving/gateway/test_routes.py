"""Weights: what a map may say, who is chosen by it, and how it outlives crashes."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.errors import BadInput
from release.files import write_json
from serving.gateway.routes import Routes, RouteStore, StaleFence, choose, unready
from serving.gateway.watched import parse

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True)
VALID = st.lists(st.integers(0, 100), min_size=1, max_size=4).flatmap(
    lambda cuts: st.permutations(
        [b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 100], strict=True)]
    )
)
WEIGHTS = st.builds(
    lambda parts, names: dict(zip(names, parts, strict=False)),
    VALID,
    st.lists(NAMES, min_size=5, max_size=5, unique=True),
)


def no_problem(_: Routes) -> list[Any]:
    return []


def put(store: RouteStore, fence: int, **weights: int) -> Routes:
    return asyncio.run(store.replace(Routes(fence=fence, weights=weights), no_problem))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"fence": 1, "weights": {"blue": 90}}, "weights"),
        ({"fence": 1, "weights": {"blue": 60, "green": 60}}, "weights"),
        ({"fence": 1, "weights": {"blue": 110, "green": -10}}, "weights.blue"),
        ({"fence": 1, "weights": {"blue": 99.5, "green": 0.5}}, "weights.blue"),
        ({"fence": 1, "weights": {"blue": "100"}}, "weights.blue"),
        ({"fence": 1, "weights": {"blue": True, "green": 99}}, "weights.blue"),
        ({"fence": 1, "weights": {"../blue": 100}}, "weights.../blue"),
        ({"fence": 1, "weights": [100]}, "weights"),
        ({"fence": -1, "weights": {}}, "fence"),
        ({"fence": 1.0, "weights": {}}, "fence"),
        ({"fence": True, "weights": {}}, "fence"),
        ({"weights": {}}, "fence"),
        ({"fence": 1}, "weights"),
        ({"fence": 1, "weights": {}, "merge": True}, "merge"),
        ([], ""),
    ],
)
def test_a_map_that_is_not_whole_percentages_under_a_fence_is_refused(
    document: object, path: str
) -> None:
    """The refusal names the place that is wrong."""
    with pytest.raises(BadInput) as refused:
        parse(Routes, document, "routes.json")

    problems = refused.value.problems
    assert any(problem.path.startswith(path) for problem in problems)
    assert all(problem.file == "routes.json" and problem.expected for problem in problems)


@given(st.dictionaries(NAMES, st.integers(-5, 105), max_size=4))
def test_s12_weights_are_accepted_exactly_when_they_total_0_or_100(weights: dict[str, int]) -> None:
    """S12: a total of 110, or one that only an overdraft brings to 100, never passes."""
    good = all(0 <= w <= 100 for w in weights.values()) and sum(weights.values()) in (0, 100)
    try:
        parsed = parse(Routes, {"fence": 1, "weights": weights})
    except BadInput:
        assert not good
    else:
        assert good
        assert parsed.weights == weights


@given(WEIGHTS)
def test_a_hundred_even_points_fall_on_each_slot_as_often_as_its_weight(
    weights: dict[str, int],
) -> None:
    chosen = [choose(weights, weights, (point + 0.5) / 100) for point in range(100)]

    assert {slot: chosen.count(slot) for slot in weights} == weights


@given(WEIGHTS, st.sets(NAMES), st.floats(0, 1, exclude_max=True))
def test_nobody_is_sent_to_a_slot_that_is_unusable_or_has_no_weight(
    weights: dict[str, int], others: set[str], point: float
) -> None:
    usable = set(list(weights)[::2]) | others
    candidates = {slot for slot in usable if weights.get(slot, 0) > 0}

    chosen = choose(weights, usable, point)

    assert chosen in candidates if candidates else chosen is None


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 99))
def test_a_point_moves_only_when_the_weights_pass_over_it(old: int, new: int, at: int) -> None:
    """So that later a user who has a point keeps a side while its weight only grows."""
    before, after = (
        choose({"blue": 100 - green, "green": green}, ("blue", "green"), (at + 0.5) / 100)
        for green in (old, new)
    )

    assert before == after or (at >= 100 - max(old, new) and at < 100 - min(old, new))


def test_only_slots_with_weight_have_to_be_known_and_ready() -> None:
    wanted = Routes(fence=1, weights={"blue": 60, "green": 40, "red": 0})

    assert unready(wanted, {"blue", "green"}, {"blue", "green"}) == []
    assert [p.path for p in unready(wanted, {"blue", "green"}, {"blue"})] == ["weights.green"]
    assert [p.path for p in unready(wanted, {"blue"}, {"blue"})] == ["weights.green"]


def test_a_new_environment_routes_nothing(folder: Path) -> None:
    assert RouteStore(folder).current == Routes(fence=0, weights={})


def test_s12_a_new_map_replaces_the_old_one_and_is_never_merged_into_it(folder: Path) -> None:
    """S12: edited weights must not append to those before, in memory or on disk."""
    store = RouteStore(folder)
    put(store, 1, blue=50, green=50)
    put(store, 1, red=100)

    assert store.current == Routes(fence=1, weights={"red": 100})
    assert json.loads((folder / "routes.json").read_text()) == {
        "fence": 1,
        "weights": {"red": 100},
    }


def test_routes_survive_a_restart(folder: Path) -> None:
    made = put(RouteStore(folder), 7, blue=90, green=10)

    assert RouteStore(folder).current == made


def test_a_stale_fence_is_refused_and_an_equal_one_accepted(folder: Path) -> None:
    """An equal fence is the same holder; a lower one has lost the lease."""
    store = RouteStore(folder)
    put(store, 5, blue=100)
    put(store, 5, green=100)

    with pytest.raises(StaleFence, match="fence 4 is behind 5"):
        put(store, 4, blue=100)

    assert store.current == RouteStore(folder).current == Routes(fence=5, weights={"green": 100})


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def damage_noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def damage_meaning(path: Path) -> None:
    path.write_text('{"fence": 3, "weights": {"blue": 190}}')


def damage_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [damage_empty, damage_truncated, damage_noise, damage_meaning, damage_kind]


@pytest.mark.parametrize("damage", DAMAGES)
def test_s23_a_damaged_file_routes_nothing_and_says_why(folder: Path, damage: Any) -> None:
    """S23: after damage from outside, the gateway refuses to guess who was live."""
    put(RouteStore(folder), 3, blue=100)
    damage(folder / "routes.json")

    store = RouteStore(folder)

    assert store.current is None
    assert "routes.json" in store.damage


def test_s23_a_damaged_file_is_repaired_by_whoever_holds_the_last_known_fence(
    folder: Path,
) -> None:
    """S23: the lost fence is replaced by that of the last deployment, which a stale one misses."""
    write_json(folder / "desired.json", {"fence": 12, "slots": {"blue": {"anything": 1}}})
    damage_empty(folder / "routes.json")
    store = RouteStore(folder)

    with pytest.raises(StaleFence):
        put(store, 11, blue=100)
    made = put(store, 12, blue=100)

    assert store.current == RouteStore(folder).current == made
    assert store.damage == ""


def test_s23_without_any_fence_left_the_first_whole_map_repairs(folder: Path) -> None:
    damage_noise(folder / "routes.json")

    assert put(RouteStore(folder), 1, blue=100) == RouteStore(folder).current


def test_a_map_that_cannot_be_made_durable_is_not_true(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the old map in force, here and after a restart."""
    store = RouteStore(folder)
    old = put(store, 1, blue=100)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.gateway.routes.write_json", full)
    with pytest.raises(OSError, match="No space"):
        put(store, 1, green=100)

    assert store.current == RouteStore(folder).current == old


def test_after_a_write_that_failed_late_what_is_on_disk_is_true(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last sync may fail when the new map is already in place: no restart may surprise."""
    store = RouteStore(folder)
    put(store, 1, blue=100)

    def late(path: Path, value: object) -> None:
        write_json(path, value)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("serving.gateway.routes.write_json", late)
    with pytest.raises(OSError, match="Input/output"):
        put(store, 2, green=100)

    assert store.current == RouteStore(folder).current == Routes(fence=2, weights={"green": 100})


def test_what_the_check_refuses_is_not_written(folder: Path) -> None:
    store = RouteStore(folder)
    wanted = Routes(fence=1, weights={"blue": 100})

    with pytest.raises(BadInput, match=r"weights\.blue"):
        asyncio.run(store.replace(wanted, lambda routes: unready(routes, (), ())))

    assert not (folder / "routes.json").exists()


def test_leftovers_of_a_killed_write_are_swept_at_the_start(folder: Path) -> None:
    (folder / ".routes.json.abc").write_text("{")

    RouteStore(folder)

    assert list(folder.iterdir()) == []


def test_the_folder_of_the_environment_may_be_gone(folder: Path) -> None:
    """A gateway that outlives its environment says so, instead of writing it anew."""
    store = RouteStore(folder)
    shutil.rmtree(folder)

    with pytest.raises(OSError, match="No such file"):
        put(store, 1, blue=100)
