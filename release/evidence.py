"""Evidence: a signed statement about one release.

It says what was found (``result``), and binds it to the release, to the set that the release
was evaluated on and to the policy that it was held against: none of the three can be swapped
afterwards, and all of it ends on a day. The form is an in-toto Statement v1
(https://github.com/in-toto/attestation, spec/v1/statement.md) in a DSSE envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from release import dsse
from release.errors import Problem, Refused
from release.integrity import Damaged, canonical, is_digest, parse_json
from release.keys import Role, Signer, TrustedKeys
from release.timestamps import epoch, rfc3339

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Kind(StrEnum):
    """What a statement is about; the value is its in-toto predicate type."""

    EVALUATION = "greenlight:evidence/evaluation/v1"
    COMPLIANCE = "greenlight:evidence/compliance/v1"
    APPROVAL = "greenlight:evidence/approval/v1"

    @property
    def role(self) -> Role:
        """Whose signature such a statement needs."""
        return Role.APPROVER if self is Kind.APPROVAL else Role.PIPELINE


class NotValid(Refused):
    """The evidence is genuine, and does not cover what it is shown for."""


class Expired(NotValid):
    """The evidence is genuine, and too old."""


@dataclass(frozen=True)
class Binding:
    """What a statement holds for: three SHA-256 digests, 64 hexadecimal digits each."""

    release: str
    evaluation_set: str
    policy: str


@dataclass(frozen=True)
class Statement:
    """A finding about one release. Times are seconds since 1970; it holds until ``expires``.

    ``name`` is the release's label, for people. ``result`` is JSON: the verdict, its figures
    and reasons, digests of reports.
    """

    kind: Kind
    name: str
    binding: Binding
    issued: float
    expires: float
    result: Mapping[str, Any]


def attest(statement: Statement, signer: Signer) -> bytes:
    """``statement`` as a signed envelope, ready for ``Blobs.put``; ValueError when it is unsound.

    Whether ``signer`` may say so is the verifier's question: see ``Kind.role``.
    """
    document = _document(statement)
    _statement(document)  # never sign what could not be read back
    return dsse.seal(PAYLOAD_TYPE, canonical(document), signer)


def verify(
    data: bytes, trusted: TrustedKeys, kind: Kind, binding: Binding, now: float, where: str = ""
) -> Statement:
    """The statement in ``data``, if it still says this about exactly these three.

    Raises BadSignature or Damaged when it is not genuine, NotValid when it is of another kind
    or binds something else, Expired when its time is over. ``where`` names it in errors.
    """
    statement = read(data, trusted, where)
    _require(statement.kind is kind, kind, statement.kind, where)
    for name, wanted in vars(binding).items():
        found = getattr(statement.binding, name)
        _require(found == wanted, f"{_spoken(name)} {wanted}", found, where)
    if now >= statement.expires:
        raise Expired(
            f"The {_spoken(kind.name)} evidence for {statement.name} has expired.",
            (str(_problem(f"a time before {rfc3339(statement.expires)}", rfc3339(now), where)),),
        )
    return statement


def read(data: bytes, trusted: TrustedKeys, where: str = "") -> Statement:
    """The statement in ``data``, its signature checked, its expiry not: for the record's sake.

    The statement's own kind says which role must have signed it.
    """
    claimed = _parse(dsse.decode(data, where).payload, where)
    envelope = dsse.unseal(data, PAYLOAD_TYPE, trusted, (claimed.kind.role,), where)
    return _parse(envelope.payload, where)


def is_envelope(data: bytes) -> bool:
    """Whether ``data`` claims to be evidence, so that a verifier has to look at its signature."""
    try:
        return dsse.decode(data, "").payload_type == PAYLOAD_TYPE
    except Damaged:
        return False


def _document(statement: Statement) -> dict[str, Any]:
    """``statement`` as in-toto has it; the digests in the predicate are resource descriptors."""
    binding = statement.binding
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": statement.name, "digest": {"sha256": binding.release}}],
        "predicateType": statement.kind.value,
        "predicate": {
            "issued": rfc3339(statement.issued),
            "expires": rfc3339(statement.expires),
            "evaluationSet": {"digest": {"sha256": binding.evaluation_set}},
            "policy": {"digest": {"sha256": binding.policy}},
            "result": dict(statement.result),
        },
    }


def _parse(payload: bytes, where: str) -> Statement:
    try:
        return _statement(parse_json(payload))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        expected = "an in-toto Statement v1 of a known kind, about one release"
        raise Damaged(_problem(expected, f"something else ({error})", where)) from error


def _statement(document: Any) -> Statement:
    """The reverse of ``_document``; fields that are not ours are ignored, as in-toto asks."""
    if document["_type"] != STATEMENT_TYPE:
        raise ValueError("_type")
    (subject,) = document["subject"]
    predicate = document["predicate"]
    binding = Binding(
        _sha256(subject), _sha256(predicate["evaluationSet"]), _sha256(predicate["policy"])
    )
    issued, expires = epoch(predicate["issued"]), epoch(predicate["expires"])
    if expires <= issued or not isinstance(predicate["result"], dict):
        raise ValueError("expires or result")
    kind = Kind(document["predicateType"])
    return Statement(kind, str(subject["name"]), binding, issued, expires, predicate["result"])


def _sha256(descriptor: Any) -> str:
    digest = descriptor["digest"]["sha256"]
    if not is_digest(digest):
        raise ValueError(f"digest {str(digest)[:80]!r}")
    return str(digest)


def _require(holds: bool, expected: str, found: str, where: str) -> None:
    if not holds:
        raise NotValid(
            "The evidence is genuine, but it is about something else.",
            (str(_problem(expected, found, where)),),
        )


def _problem(expected: str, found: str, where: str) -> Problem:
    return Problem(file=where, expected=expected, found=found, remedy="Evaluate the release again.")


def _spoken(name: str) -> str:
    return name.lower().replace("_", " ")
