"""Who may call, and what each may do."""

from __future__ import annotations

import hashlib

import pytest

from release.errors import BadInput
from serving.gateway.callers import Callers
from serving.gateway.watched import parse
from tests.serving.gateway.world import KEYS


def entry(name: str, key: str, role: str = "user") -> dict[str, str]:
    return {"name": name, "role": role, "sha256": hashlib.sha256(key.encode()).hexdigest()}


def callers(*entries: dict[str, str]) -> Callers:
    return parse(Callers, {"callers": entries}, "callers.json")


ALL = callers(*(entry(role, key, role) for role, key in KEYS.items()))


@pytest.mark.parametrize("role", KEYS)
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_caller_is_found_by_key_in_any_spelling_of_the_scheme(role: str, scheme: str) -> None:
    found = ALL.find(scheme + KEYS[role])

    assert found is not None
    assert found.name == role


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic " + KEYS["user"],
        KEYS["user"],
        "Bearer \udcff",
    ],
)
def test_nobody_is_found_by_a_wrong_absent_or_broken_key(header: str) -> None:
    assert ALL.find(header) is None


def test_a_hash_is_no_key() -> None:
    """Who reads callers.json cannot call with what is in it."""
    assert ALL.find("Bearer " + ALL.callers[0].sha256) is None


@pytest.mark.parametrize(
    ("role", "may_pin", "may_operate"),
    [("user", False, False), ("tester", True, False), ("operator", True, True)],
)
def test_a_role_decides_what_its_holder_may_do(role: str, may_pin: bool, may_operate: bool) -> None:
    [caller] = callers(entry("somebody", "key", role)).callers

    assert (caller.may_pin, caller.may_operate) == (may_pin, may_operate)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a", "one"), entry("a", "two")],
        [entry("a", "one"), entry("b", "one")],
        [entry("a", "one", "admin")],
        [entry("a", "one") | {"sha256": "one"}],
        [{"name": "a"}],
    ],
)
def test_a_list_that_is_not_one_role_and_hash_for_each_name_is_refused(
    entries: list[dict[str, str]],
) -> None:
    with pytest.raises(BadInput):
        callers(*entries)


def test_a_refusal_of_the_list_does_not_show_what_may_be_a_key() -> None:
    """Somebody who wrote the key itself into the file must not find it in the log too."""
    with pytest.raises(BadInput) as refused:
        callers(entry("a", "one") | {"sha256": "sk-the-key-itself"})

    assert "sk-the-key-itself" not in str(refused.value)
