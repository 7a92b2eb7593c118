"""Evidence: believed when the right key signed it, about these digests, and not too long ago."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release import dsse
from release.evidence import (
    PAYLOAD_TYPE,
    Binding,
    Expired,
    Kind,
    NotValid,
    Statement,
    attest,
    is_envelope,
    read,
    verify,
)
from release.integrity import BadSignature, Damaged, canonical
from release.keys import Role, generate
from tests.release.making import NOON, approver, pipeline, statement, trusted


def check(data: bytes, now: float = NOON, binding: Binding | None = None) -> Statement:
    binding = binding or statement().binding
    return verify(data, trusted(), Kind.EVALUATION, binding, now, "evidence/abc")


def payload(data: bytes) -> Any:
    return json.loads(dsse.decode(data, "").payload)


def resigned(document: Any) -> bytes:
    return dsse.seal(PAYLOAD_TYPE, canonical(document), pipeline())


def test_the_bytes_that_are_signed_are_those_of_the_specification() -> None:
    """protocol.md, "Test Vectors"."""
    assert (
        dsse.pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_the_lengths_that_are_signed_count_bytes() -> None:
    assert dsse.pae("ä", b"") == b"DSSEv1 2 \xc3\xa4 0 "


def test_an_envelope_in_url_safe_base64_without_key_ids_is_read() -> None:
    """The specification lets a signer leave key ids out and choose either alphabet."""
    sealed = json.loads(attest(statement(result={"text": "???>>>~~~"}), pipeline()))
    for one in sealed["signatures"]:
        del one["keyid"]
        one["sig"] = one["sig"].replace("+", "-").replace("/", "_")
    sealed["payload"] = base64.urlsafe_b64encode(base64.b64decode(sealed["payload"])).decode()

    found = read(json.dumps(sealed, indent=1).encode(), trusted())

    assert found.result == {"text": "???>>>~~~"}


def test_a_statement_has_the_shape_that_in_toto_fixes() -> None:
    document = payload(attest(statement(), pipeline()))

    assert document == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "support-bot@3f2a91c", "digest": {"sha256": "1" * 64}}],
        "predicateType": "greenlight:evidence/evaluation/v1",
        "predicate": {
            "issued": "2026-01-01T12:00:00.000000Z",
            "expires": "2026-01-01T13:00:00.000000Z",
            "evaluationSet": {"digest": {"sha256": "2" * 64}},
            "policy": {"digest": {"sha256": "3" * 64}},
            "result": {"verdict": "pass", "token_f1": 0.71},
        },
    }


@pytest.mark.parametrize("kind", [Kind.EVALUATION, Kind.COMPLIANCE])
def test_what_was_attested_is_what_verify_returns(kind: Kind) -> None:
    said = statement(kind)

    found = verify(attest(said, pipeline()), trusted(), kind, said.binding, NOON)

    assert found == said


def test_the_same_statement_by_the_same_key_has_the_same_bytes() -> None:
    assert attest(statement(), pipeline()) == attest(statement(), pipeline())


def test_s10_evidence_holds_until_the_moment_that_it_names_and_not_at_it() -> None:
    data = attest(statement(), pipeline())

    check(data, NOON + 3599.9)
    with pytest.raises(Expired, match=r"evidence/abc: expected a time before 2026-01-01T13:00:00"):
        check(data, NOON + 3600)


@pytest.mark.parametrize("name", ["release", "evaluation_set", "policy"])
def test_s10_evidence_about_something_else_is_refused(name: str) -> None:
    data = attest(statement(), pipeline())

    with pytest.raises(NotValid) as error:
        check(data, binding=replace(statement().binding, **{name: "f" * 64}))

    assert f"expected {name.replace('_', ' ')} {'f' * 64}, found " in str(error.value)


def test_s10_evidence_of_another_kind_is_refused() -> None:
    data = attest(statement(Kind.COMPLIANCE), pipeline())

    with pytest.raises(NotValid, match="evaluation/v1, found greenlight:evidence/compliance/v1"):
        check(data)


def test_evidence_by_a_stranger_is_refused_and_says_whom_it_expected() -> None:
    stranger = generate()

    with pytest.raises(BadSignature) as error:
        check(attest(statement(), stranger))

    assert pipeline().keyid[:16] in str(error.value)
    assert stranger.keyid[:16] in str(error.value)


def test_a_stranger_who_claims_a_trusted_key_id_is_refused() -> None:
    sealed = json.loads(attest(statement(), generate()))
    sealed["signatures"][0]["keyid"] = pipeline().keyid

    with pytest.raises(BadSignature):
        check(canonical(sealed))


def test_the_key_that_a_pipeline_signs_with_cannot_sign_an_approval() -> None:
    with pytest.raises(BadSignature, match="trusted as approver"):
        read(attest(statement(Kind.APPROVAL), pipeline()), trusted())


def test_an_approver_can_sign_an_approval_and_nothing_else() -> None:
    assert read(attest(statement(Kind.APPROVAL), approver()), trusted()).kind is Kind.APPROVAL
    with pytest.raises(BadSignature, match="trusted as pipeline"):
        read(attest(statement(), approver()), trusted())


def test_a_signature_over_another_type_of_payload_does_not_count() -> None:
    """The type is signed with the bytes, so that an entry cannot be shown as evidence."""
    body = dsse.decode(attest(statement(), pipeline()), "").payload
    other = dsse.decode(dsse.seal("application/x", body, pipeline()), "")
    moved = dsse.encode(dsse.Envelope(PAYLOAD_TYPE, body, other.signatures))

    with pytest.raises(BadSignature):
        check(moved)
    with pytest.raises(Damaged, match="application/x"):
        dsse.unseal(dsse.encode(other), PAYLOAD_TYPE, trusted(), (Role.PIPELINE,), "")


def test_only_the_first_signatures_of_an_endless_list_are_tried() -> None:
    sealed = json.loads(attest(statement(), pipeline()))
    stranger = json.loads(attest(statement(), generate()))["signatures"]
    sealed["signatures"] = stranger * dsse.MAX_SIGNATURES + sealed["signatures"]

    with pytest.raises(BadSignature):
        check(canonical(sealed))


def test_fields_of_later_minor_versions_are_ignored() -> None:
    document = payload(attest(statement(), pipeline()))
    document["predicate"]["new"] = document["new"] = 1

    assert check(resigned(document)) == statement()


def without(*path: str) -> Any:
    def edit(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return edit


def with_predicate(**fields: Any) -> Any:
    return lambda document: document["predicate"].update(fields)


MALFORMED = {
    "no type": without("_type"),
    "another type": lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"),
    "no subject": lambda d: d.update(subject=[]),
    "two subjects": lambda d: d.update(subject=d["subject"] * 2),
    "a digest of another algorithm": lambda d: d["subject"][0].update(digest={"sha1": "0"}),
    "a short digest": with_predicate(policy={"digest": {"sha256": "0"}}),
    "an unknown kind": lambda d: d.update(predicateType="greenlight:evidence/feeling/v1"),
    "no expiry": without("predicate", "expires"),
    "an expiry without a zone": with_predicate(expires="2027-01-01T00:00:00"),
    "an expiry before its issue": with_predicate(expires="2025-01-01T00:00:00.000000Z"),
    "no evaluation set": without("predicate", "evaluationSet"),
    "no policy": without("predicate", "policy"),
    "no result": without("predicate", "result"),
    "a predicate that is a list": lambda d: d.update(predicate=[]),
}


@pytest.mark.parametrize("edit", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_statement_is_refused_even_when_it_is_signed(edit: Any) -> None:
    document = payload(attest(statement(), pipeline()))
    edit(document)

    with pytest.raises(Damaged, match="evidence/abc: expected an in-toto Statement v1"):
        check(resigned(document))


NO_ENVELOPE = {
    "nothing": b"",
    "a list": b"[]",
    "an empty object": b"{}",
    "null": b"null",
    "no UTF-8": b"\xff",
    "endless nesting": b"[" * 100_000,
    "no base64": b'{"payload": "%%", "payloadType": "x", "signatures": []}',
    "signatures that are text": b'{"payload": "", "payloadType": "x", "signatures": "x"}',
    "a type that is no text": b'{"payload": "", "payloadType": 1, "signatures": []}',
}


@pytest.mark.parametrize("data", NO_ENVELOPE.values(), ids=NO_ENVELOPE)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged, match="a DSSE envelope"):
        check(data)
    assert not is_envelope(data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires": NOON}, "expires"),
        ({"result": {"score": float("nan")}}, "not JSON compliant"),
        ({"binding": Binding("1" * 64, "2" * 64, "")}, "digest ''"),
    ],
    ids=["expires when issued", "a score that is no number", "no policy"],
)
def test_an_unsound_statement_is_never_signed(changes: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        attest(statement(**changes), pipeline())


SEALED = attest(statement(), pipeline())


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_changed_byte_changes_what_is_believed(position: int, change: int) -> None:
    """A key id is only a hint (protocol.md), so a change there is harmless, never believed."""
    changed = bytearray(SEALED)
    changed[position] ^= change

    try:
        found = check(bytes(changed))
    except Damaged:
        return
    assert found == statement()
