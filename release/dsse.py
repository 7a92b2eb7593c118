"""Signed envelopes, as the DSSE specification has them.

The signature covers the payload's type together with its bytes (the pre-authentication
encoding), so a ledger entry can never be passed off as evidence, and nothing has to be
serialised again to be checked. https://github.com/secure-systems-lab/dsse, protocol.md and
envelope.md, version 1.0.2.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from release.errors import Problem
from release.integrity import BadSignature, Damaged, canonical, parse_json
from release.keys import Role, Signer, TrustedKeys

MAX_SIGNATURES = 16  # an envelope cannot make a reader try keys without end


@dataclass(frozen=True)
class Signature:
    """A signature with the id of the key that it claims; the claim itself proves nothing."""

    keyid: str
    signature: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload, its type, and who vouches for both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: ``DSSEv1 LEN(type) type LEN(payload) payload`` (protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """``payload`` in an envelope with one signature, as canonical JSON."""
    signature = Signature(signer.keyid, signer.sign(pae(payload_type, payload)))
    return encode(Envelope(payload_type, payload, (signature,)))


def encode(envelope: Envelope) -> bytes:
    """``envelope`` as canonical JSON, base64 in its standard alphabet (envelope.md)."""
    return canonical(
        {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.signature).decode()}
                for one in envelope.signatures
            ],
        }
    )


def decode(data: bytes, where: str) -> Envelope:
    """The envelope in ``data``, nothing of it checked yet; Damaged when it is none."""
    try:
        document = parse_json(data)
        signatures = tuple(_signature(one) for one in document["signatures"][:MAX_SIGNATURES])
        payload_type = document["payloadType"]
        if not isinstance(payload_type, str):
            raise TypeError("payloadType")
        return Envelope(payload_type, _base64(document["payload"]), signatures)
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(
            Problem("a DSSE envelope", f"{len(data)} bytes that are none", file=where)
        ) from error


def unseal(
    data: bytes, payload_type: str, trusted: TrustedKeys, roles: tuple[Role, ...], where: str
) -> Envelope:
    """The envelope in ``data`` with those signatures only that count, each under its key's id.

    A signature counts when a key that is trusted for the first of ``roles`` made it; the next is
    asked when none did. BadSignature when none counts, Damaged when the envelope is of another
    type or none at all.
    """
    envelope = decode(data, where)
    if envelope.payload_type != payload_type:
        raise Damaged(Problem(payload_type, repr(envelope.payload_type[:80]), file=where))
    each = (tuple(_accepted(envelope, trusted, role)) for role in roles)
    accepted = next(filter(None, each), ())
    if not accepted:
        raise BadSignature(_unsigned(envelope, trusted, roles, where))
    return Envelope(payload_type, envelope.payload, accepted)


def _accepted(envelope: Envelope, trusted: TrustedKeys, role: Role) -> list[Signature]:
    """Each signature that verifies, once. Key ids are hints: every key of the role is tried."""
    signed = pae(envelope.payload_type, envelope.payload)
    return [
        Signature(key.keyid, one.signature)
        for key in trusted.with_role(role)
        for one in envelope.signatures
        if key.signed(signed, one.signature)
    ]


def _signature(value: Any) -> Signature:
    keyid = value.get("keyid", "") if isinstance(value, dict) else None
    if not isinstance(keyid, str):
        raise TypeError("keyid")
    return Signature(keyid, _base64(value["sig"]))


def _base64(text: Any) -> bytes:
    """Standard or URL-safe base64, as the specification wants of verifiers."""
    if not isinstance(text, str):
        raise TypeError("base64")
    standard = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
    return base64.b64decode(standard, validate=True)


def _unsigned(
    envelope: Envelope, trusted: TrustedKeys, roles: tuple[Role, ...], where: str
) -> Problem:
    claimed = ", ".join(one.keyid[:16] or "no key id" for one in envelope.signatures)
    known = ", ".join(key.keyid[:16] for role in roles for key in trusted.with_role(role))
    return Problem(
        file=where,
        expected=f"a signature by a key that is trusted as {' or '.join(roles)} "
        f"({known or 'there is none'})",
        found=f"none that holds; it claims {claimed or 'no key'}",
        remedy=f"It was changed, or signed by somebody else. {trusted.where} says who is trusted.",
    )
