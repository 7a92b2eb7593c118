"""Keys: made once, kept to their owner, believed only in their role."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from release.errors import BadInput
from release.keys import (
    KEY_FILE,
    TRUST_FILE,
    Role,
    generate,
    pipeline_key,
    trust,
    trusted_keys,
    watcher_key,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_the_first_use_makes_a_key_that_only_its_owner_can_read(folder: Path) -> None:
    pipeline_key(folder)

    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_later_use_finds_the_same_key(folder: Path) -> None:
    assert pipeline_key(folder) == pipeline_key(folder)


def test_the_first_key_is_trusted_as_the_pipelines_and_as_nothing_else(folder: Path) -> None:
    key = pipeline_key(folder)

    trusted = trusted_keys(folder)

    assert trusted.trusts(key.keyid, Role.PIPELINE)
    assert not trusted.trusts(key.keyid, Role.APPROVER)


def test_a_kill_between_key_and_trust_file_is_mended_by_the_next_use(folder: Path) -> None:
    key = pipeline_key(folder)
    (folder / TRUST_FILE).unlink()

    assert pipeline_key(folder) == key
    assert trusted_keys(folder).trusts(key.keyid, Role.PIPELINE)


@pytest.mark.slow
def test_processes_that_start_at_once_end_up_with_one_key(folder: Path) -> None:
    script = "import pathlib, sys; from release.keys import pipeline_key; sys.stdin.read(1); "
    script += "print(pipeline_key(pathlib.Path(sys.argv[1])).keyid)"
    command = [sys.executable, "-c", script, str(folder)]
    starters = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    found = {starter.communicate("x")[0].strip() for starter in starters}

    assert found == {pipeline_key(folder).keyid}


def test_a_key_that_others_can_read_is_refused_with_the_remedy(folder: Path) -> None:
    pipeline_key(folder)
    (folder / KEY_FILE).chmod(0o640)

    with pytest.raises(BadInput, match=r"pipeline\.key.*found mode 0640.*chmod 600"):
        pipeline_key(folder)


def test_a_trust_file_that_others_can_write_is_refused(folder: Path) -> None:
    pipeline_key(folder)
    (folder / TRUST_FILE).chmod(0o666)

    with pytest.raises(BadInput, match=r"trusted\.json.*mode 0666.*chmod go-w"):
        trusted_keys(folder)


def test_a_damaged_key_is_refused_without_showing_any_of_it(folder: Path) -> None:
    pipeline_key(folder)
    secret = (folder / KEY_FILE).read_text().splitlines()[1]
    (folder / KEY_FILE).write_text("-----BEGIN PRIVATE KEY-----\n" + secret[:-4] + "\n")

    with pytest.raises(BadInput) as error:
        pipeline_key(folder)

    assert secret[8:24] not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_private_key_is_in_no_text_about_it(folder: Path) -> None:
    key = pipeline_key(folder)

    assert key._private.private_bytes_raw().hex() not in f"{key!r} {key}"
    assert "_private" not in repr(key)


def test_a_lost_key_is_not_silently_replaced(folder: Path) -> None:
    pipeline_key(folder)
    (folder / KEY_FILE).unlink()

    with pytest.raises(BadInput, match=r"pipeline\.key: expected the private key"):
        pipeline_key(folder)


def test_nobody_is_trusted_where_there_is_no_trust_file(folder: Path) -> None:
    assert trusted_keys(folder).keys == ()


def test_a_second_key_is_trusted_beside_the_first(folder: Path) -> None:
    first, second = pipeline_key(folder), generate()

    trust(folder, second.public, Role.APPROVER)

    assert trusted_keys(folder).trusts(first.keyid, Role.PIPELINE)
    assert trusted_keys(folder).trusts(second.keyid, Role.APPROVER)


def test_the_key_that_a_pipeline_signs_with_cannot_become_an_approvers(folder: Path) -> None:
    key = pipeline_key(folder)

    with pytest.raises(BadInput, match="pipeline or approver, never both"):
        trust(folder, key.public, Role.APPROVER)

    assert not trusted_keys(folder).trusts(key.keyid, Role.APPROVER)


def test_the_first_trust_file_knows_the_key_of_watchers_to_come(folder: Path) -> None:
    """So that no copy of it has to be made again when one begins to sign."""
    pipeline_key(folder)
    before = (folder / TRUST_FILE).read_bytes()

    key = watcher_key(folder)

    assert (folder / TRUST_FILE).read_bytes() == before
    assert trusted_keys(folder).trusts(key.keyid, Role.WATCHER)
    assert not trusted_keys(folder).trusts(key.keyid, Role.PIPELINE)


def test_the_key_of_watchers_is_not_the_pipelines_and_the_same_on_every_machine(
    folder: Path, tmp_path: Path
) -> None:
    pipeline, key = pipeline_key(folder), watcher_key(folder)
    shutil.copytree(folder, tmp_path / "copy")

    assert key.keyid != pipeline.keyid
    assert watcher_key(tmp_path / "copy") == key
    assert b"PRIVATE KEY" in key.pem()
    assert "PRIVATE" not in repr(key)


def test_a_trust_file_from_before_there_were_watchers_learns_of_their_key(folder: Path) -> None:
    pipeline = pipeline_key(folder)
    document = json.loads((folder / TRUST_FILE).read_text())
    document["keys"] = {pipeline.keyid: document["keys"][pipeline.keyid]}
    (folder / TRUST_FILE).write_text(json.dumps(document))

    key = watcher_key(folder)

    assert trusted_keys(folder).trusts(key.keyid, Role.WATCHER)


def change(**fields: Any) -> Any:
    def apply(document: Any) -> None:
        (key,) = (one for one in document["keys"].values() if one["roles"] == ["pipeline"])
        key.update(fields)

    return apply


UNSOUND = {
    "another version": (lambda d: d.update(version=2), "an object with version 1"),
    "no keys": (lambda d: d.pop("keys"), "an object of key ids"),
    "another algorithm": (change(algorithm="rsa"), "algorithm ed25519"),
    "a key under another's id": (change(public_key="00" * 32), "whose SHA-256 is its key id"),
    "a short key": (change(public_key="00"), "whose SHA-256 is its key id"),
    "no hexadecimal": (change(public_key="zz"), "whose SHA-256 is its key id"),
    "a key that is no text": (change(public_key=7), "whose SHA-256 is its key id"),
    "an unknown role": (change(roles=["admin"]), "some of pipeline, approver"),
    "a role that is no text": (change(roles=[["pipeline"]]), "some of pipeline, approver"),
    "no role": (change(roles=[]), "some of pipeline, approver"),
    "both roles": (change(roles=["pipeline", "approver"]), "never both"),
    "a watcher that approves": (change(roles=["watcher", "approver"]), "never both"),
}


@pytest.mark.parametrize(("edit", "expected"), UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_trust_file_is_refused(folder: Path, edit: Any, expected: str) -> None:
    pipeline_key(folder)
    document = json.loads((folder / TRUST_FILE).read_text())
    edit(document)
    (folder / TRUST_FILE).write_text(json.dumps(document))

    with pytest.raises(BadInput, match=rf"trusted\.json.*{expected}"):
        trusted_keys(folder)


def test_importing_all_of_this_does_not_import_cryptography_or_psutil() -> None:
    script = (
        "import sys, release.keys, release.evidence, release.ledger, release.lease\n"
        "print([name for name in ('cryptography', 'psutil', 'pydantic') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
