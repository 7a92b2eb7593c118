"""Where a shared ledger may be, and what is said when it cannot be used; nothing here is sent."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.documents import read_document
from release.errors import BadInput
from release.ledger import open_ledger
from release.locations import Location, parse_location
from release.object_store import ObjectStore, explain
from release.spec import load_spec, require_shared
from release.state import StateFolder
from tests import tiny

SECRET = "c2VjcmV0-secret"

LOCATIONS = {
    "s3://ledgers": Location("s3", "ledgers"),
    "s3://ledgers/": Location("s3", "ledgers"),
    "s3://my.ledgers/team-a/support-bot/": Location("s3", "my.ledgers", "team-a/support-bot"),
    "gs://led_gers/support-bot": Location("gs", "led_gers", "support-bot"),
    "az://ledgers/support-bot": Location("az", "ledgers", "support-bot"),
    "abfss://ledgers@stgl.dfs.core.windows.net/support-bot": Location(
        "abfss", "ledgers", "support-bot", "stgl", "core.windows.net"
    ),
    "abfss://ledgers@stgl.dfs.core.chinacloudapi.cn": Location(
        "abfss", "ledgers", "", "stgl", "core.chinacloudapi.cn"
    ),
}


@pytest.mark.parametrize(("url", "location"), LOCATIONS.items(), ids=LOCATIONS)
def test_a_location_is_read_and_spelt_in_one_way(url: str, location: Location) -> None:
    assert parse_location(url) == location
    assert parse_location(location.url) == location
    assert location.url == url.rstrip("/")


def test_an_account_in_the_url_is_asked_at_its_own_address_only() -> None:
    at = parse_location("abfss://ledgers@stgl.dfs.core.windows.net/x")

    assert at.endpoint == "https://stgl.blob.core.windows.net"
    assert parse_location("az://ledgers/x").endpoint == ""


REFUSED = {
    "a folder": "/srv/ledger",
    "a web address": "https://stgl.blob.core.windows.net/ledgers",
    "a key": f"s3://AKIA:{SECRET}@ledgers/x",
    "a user": f"s3://{SECRET}@ledgers/x",
    "a token": f"az://ledgers/x?sig={SECRET}",
    "a fragment": f"az://ledgers/x#{SECRET}",
    "a password beside the container": f"abfss://ledgers:{SECRET}@stgl.dfs.core.windows.net/x",
    "a host of somebody's own": "abfss://ledgers@stgl.dfs.core.windows.net.example.org/x",
    "a way out of the prefix": "s3://ledgers/x/../y",
    "an escape": "s3://ledgers/%2e%2e",
    "two lines": "s3://ledgers/x\n",
    "no container": "s3:///x",
    "a prefix without end": "s3://ledgers/" + "x" * 201,
    "nothing": "",
    "a number": 5,
    "a mapping": {"url": f"s3://AKIA:{SECRET}@ledgers"},
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_any_other_location_is_refused_in_llm_yaml_and_nothing_of_it_is_shown(
    value: object, app: Path
) -> None:
    tiny.edit(app / "llm.yaml", "environments:", f"ledger: {value!r}\nenvironments:")

    with pytest.raises(BadInput) as error:
        load_spec(app)

    assert str(error.value).startswith(f"{app / 'llm.yaml'}:")
    assert "ledger: expected a URL like abfss://CONTAINER@ACCOUNT" in str(error.value)
    assert SECRET not in str(error.value)


@given(st.sampled_from([*LOCATIONS]), st.integers(0, 60), st.text(max_size=3))
def test_what_is_read_as_a_location_is_what_stands_there(url: str, at: int, more: str) -> None:
    """Whatever slips into it: nothing is mended, dropped or decoded."""
    text = url[:at] + more + url[at:]

    with contextlib.suppress(ValueError):
        assert parse_location(text).url == text.removesuffix("/")


def test_the_ledger_is_in_the_applications_folder_unless_llm_yaml_says_otherwise(app: Path) -> None:
    assert load_spec(app).location is None

    tiny.edit(app / "llm.yaml", "environments:", "ledger: s3://ledgers/tiny/\nenvironments:")

    assert load_spec(app).location == Location("s3", "ledgers", "tiny")


# An environment that is not on this machine


def test_an_environment_elsewhere_needs_a_shared_ledger_and_the_line_is_named(app: Path) -> None:
    spec = load_spec(app)
    away = {
        name: one.model_copy(update={"target": "kubernetes"})
        for name, one in spec.environments.items()
    }
    spec = spec.model_copy(update={"environments": away})

    with pytest.raises(BadInput) as error:
        require_shared(spec, app)

    first = error.value.problems[0]
    line = read_document(app / "llm.yaml").place(("environments", "staging", "target"))[1]
    assert error.value.exit_code == 2
    assert (first.file, first.line) == (str(app / "llm.yaml"), line)
    assert first.path == "environments.staging.target"
    assert "because staging runs on kubernetes" in first.expected
    assert "Add `ledger: URL` to llm.yaml" in first.remedy
    assert len(error.value.problems) == len(away)
    require_shared(spec.model_copy(update={"ledger": "s3://ledgers"}), app)


def test_an_environment_on_this_machine_needs_none(app: Path) -> None:
    require_shared(load_spec(app), app)


# What is said


def test_of_an_error_only_a_status_and_the_stores_word_for_it_are_passed_on() -> None:
    text = (
        f"Generic S3 error: Error performing GET http://x/?sig={SECRET} in 1s - Server returned "
        f"non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied</Code>{SECRET}</Error>"
    )

    failure = explain(RuntimeError(text))

    assert (failure.reason, failure.passing) == ("it answered 403 AccessDenied", False)
    assert SECRET not in repr(failure)


# text: (may pass, for want of an identity)
FAILURES = {
    "Error performing GET http://x in 5s - HTTP error: error sending request": (True, False),
    "returned non-2xx status code: 503 Service Unavailable: ": (True, False),
    "returned non-2xx status code: 429 Too Many Requests: ": (True, False),
    "returned non-2xx status code: 400 Bad Request: ": (False, False),
    "Error performing token request: Error performing GET http://169.254.169.254/metadata in "
    "1s - HTTP error: error sending request": (True, True),
    "performing PUT http://169.254.169.254/latest/api/token - status code: 403 Forbidden": (
        False, True,
    ),
    "Generic MicrosoftAzure error: Account must be specified": (False, True),
    "Generic MicrosoftAzure error: Invalid Access Key: Invalid symbol 32, offset 3.": (
        False, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), FAILURES.items())
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(
    text: str, kind: tuple[bool, bool]
) -> None:
    failure = explain(RuntimeError(text))

    assert (failure.passing, failure.identity) == kind


def test_without_an_account_the_command_ends_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)

    with pytest.raises(BadInput, match=r"az://ledgers/x: expected an identity .*docs/ledger\.md"):
        ObjectStore(parse_location("az://ledgers"), "x").names()


def test_plain_http_needs_to_be_allowed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a token would cross the network in the clear."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    store = ObjectStore(parse_location("s3://ledgers"), "x")

    assert store._options()["allow_http"] is False
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert store._options()["allow_http"] is True
    assert SECRET not in repr(store)


def test_a_ledger_elsewhere_costs_a_local_one_nothing(tmp_path: Path) -> None:
    """obstore is loaded by whoever asks a store for something."""
    open_ledger(StateFolder(tmp_path), "tiny").append("built")
    code = (
        "import pathlib, sys; from release.ledger import open_ledger, records_at\n"
        "from release.locations import parse_location; from release.state import StateFolder\n"
        "state = StateFolder(pathlib.Path(sys.argv[1]))\n"
        "open_ledger(state, 'tiny'); records_at(parse_location('s3://ledgers'), state, 'tiny')\n"
        "print('obstore' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
