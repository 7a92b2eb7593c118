"""Who may sign what.

A signature counts only from a key that is trusted for the role it is used in. The key that a
pipeline signs with can therefore never sign an approval, and a trust file that gives one key
both roles is refused. A watcher that runs elsewhere has a key of its own, made of the pipeline's
by a function that nobody can turn round, so that the latter never leaves. `cryptography` is
imported where it is used: help must not wait for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from release.errors import BadInput, Problem
from release.files import create_only, locked, read_json, write_json
from release.integrity import sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE, TRUST_FILE = "pipeline.key", "trusted.json"
_PUBLIC_BYTES = _PRIVATE_BYTES = 32  # RFC 8032, section 5.1.5
_WATCHER = b"greenlight watcher 1"


class Role(StrEnum):
    """What a key may vouch for."""

    PIPELINE = "pipeline"
    """Ledger entries, evaluation and compliance evidence."""
    APPROVER = "approver"
    """Approvals, by a person."""
    WATCHER = "watcher"
    """Ledger entries, and no evidence: what it signs lets no release through a gate."""


WRITERS = (Role.PIPELINE, Role.WATCHER)
"""Whose entries a ledger takes."""


class Signer(Protocol):
    """Something that signs and can be recognised by its key id."""

    @property
    def keyid(self) -> str:
        """SHA-256 of the raw public key, 64 hexadecimal digits."""

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature of ``data``, 64 bytes (RFC 8032)."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key pair; its private half is in no text that this class can produce."""

    public: bytes
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @property
    def keyid(self) -> str:
        """SHA-256 of the raw public key."""
        return sha256(self.public)

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of ``data``."""
        return self._private.sign(data)

    def pem(self) -> bytes:
        """The private key, unencrypted, as a key file holds it: a secret."""
        from cryptography.hazmat.primitives import serialization as form

        return self._private.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )

    def derived(self, purpose: bytes) -> SigningKey:
        """A key for ``purpose``, always the same one; it says nothing of this one (RFC 5869)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        seed = HKDF(SHA256(), _PRIVATE_BYTES, salt=None, info=purpose)
        own = seed.derive(self._private.private_bytes_raw())
        return _signing(Ed25519PrivateKey.from_private_bytes(own))


@dataclass(frozen=True)
class TrustedKey:
    """A public key and what it may vouch for."""

    public: bytes
    roles: frozenset[Role]

    @property
    def keyid(self) -> str:
        """SHA-256 of the raw public key."""
        return sha256(self.public)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``data`` is by this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class TrustedKeys:
    """All keys that anything may be signed with, and where that is written."""

    keys: tuple[TrustedKey, ...] = ()
    where: str = ""

    def with_role(self, role: Role) -> tuple[TrustedKey, ...]:
        """The keys that may vouch for ``role``."""
        return tuple(key for key in self.keys if role in key.roles)

    def trusts(self, keyid: str, role: Role) -> bool:
        """Whether the key ``keyid`` may vouch for ``role``."""
        return any(key.keyid == keyid for key in self.with_role(role))


def generate() -> SigningKey:
    """A new key pair."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _signing(Ed25519PrivateKey.generate())


def pipeline_key(folder: Path) -> SigningKey:
    """The key that this application's pipelines sign with, made and trusted at first use.

    Of two processes that start at once one makes it, and both end up with that one. BadInput
    when it can be read by others, is no key, or is gone while its trust file is still there.
    """
    path, trust_file = folder / KEY_FILE, folder / TRUST_FILE
    had_trust = trust_file.exists()  # first: the key is always written before it is trusted
    if not path.exists():
        if had_trust:
            raise BadInput(_lost_key(path, trust_file))
        _create_key(path)
    key = _load_key(path)
    if not had_trust:
        _trust_first(trust_file, key)
    return key


def watcher_key(folder: Path) -> SigningKey:
    """The key that watchers of this application sign with, trusted from the pipeline's first use.

    It is the same wherever the pipeline's key is, so there is no second file to copy or lose.
    """
    key = pipeline_key(folder).derived(_WATCHER)
    if not trusted_keys(folder).trusts(key.keyid, Role.WATCHER):
        trust(folder, key.public, Role.WATCHER)
    return key


def approver_key(path: Path) -> SigningKey:
    """A person's key in ``path``, made there at first use. Being trusted is another question."""
    if not path.exists():
        _create_key(path)
    return _load_key(path)


def trusted_keys(folder: Path) -> TrustedKeys:
    """Whom to believe; nobody when there is no trust file. BadInput when it is not sound."""
    path = folder / TRUST_FILE
    if not path.exists():
        return TrustedKeys(where=str(path))
    _require_mode(path, 0o022, "writable by its owner only", "chmod go-w")
    document = read_json(path)
    if not isinstance(document, dict) or document.get("version") != 1:
        raise BadInput(_unsound(path, "", "an object with version 1"))
    listed = document.get("keys")
    if not isinstance(listed, dict):
        raise BadInput(_unsound(path, "keys", "an object of key ids"))
    return TrustedKeys(tuple(_trusted(path, *item) for item in sorted(listed.items())), str(path))


def trust(folder: Path, public: bytes, role: Role) -> TrustedKeys:
    """Trust the raw Ed25519 key ``public`` for ``role`` from now on, beside its other roles."""
    path = folder / TRUST_FILE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / ".trust.lock"):
        known = {key.public: key.roles for key in trusted_keys(folder).keys}
        known[public] = known.get(public, frozenset()) | {role}
        keys = tuple(TrustedKey(key, roles) for key, roles in known.items())
        for key in keys:
            _require_apart(path, key)
        write_json(path, _document(keys))
    return trusted_keys(folder)


def _create_key(path: Path) -> None:
    """Write a new private key; when another process was first, its key stands."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_only(path, generate().pem(), mode=0o600)
    except FileExistsError:
        return


def _load_key(path: Path) -> SigningKey:
    """The key in ``path``. Whatever is wrong with it, none of it gets into the error."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _require_mode(path, 0o077, "readable by its owner only", "chmod 600")
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInput(
            Problem(
                file=str(path),
                expected="an unencrypted Ed25519 private key (PEM, PKCS 8)",
                found="something else",
                remedy="Bring it back from a copy.",
            )
        )
    return _signing(private)


def _signing(private: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(private.public_key().public_bytes_raw(), private)


def _trust_first(path: Path, key: SigningKey) -> None:
    """Write the first trust file; another process that was first wrote the same.

    The watcher's key is in it from the start: a copy of the file that was made before the first
    watcher would otherwise make its entries look forged.
    """
    first = {key: Role.PIPELINE, key.derived(_WATCHER): Role.WATCHER}
    document = _document(
        tuple(TrustedKey(one.public, frozenset({role})) for one, role in first.items())
    )
    try:
        create_only(path, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())
    except FileExistsError:
        return


def _document(keys: tuple[TrustedKey, ...]) -> dict[str, Any]:
    return {
        "version": 1,
        "keys": {
            key.keyid: {
                "algorithm": "ed25519",
                "public_key": key.public.hex(),
                "roles": sorted(key.roles),
            }
            for key in keys
        },
    }


def _trusted(path: Path, keyid: str, value: Any) -> TrustedKey:
    """One member of the trust file, or BadInput."""
    place = f"keys.{keyid}"
    if not isinstance(value, dict) or value.get("algorithm") != "ed25519":
        raise BadInput(_unsound(path, place, "an object with algorithm ed25519"))
    public = _hexadecimal(value.get("public_key"))
    if len(public) != _PUBLIC_BYTES or sha256(public) != keyid:
        raise BadInput(_unsound(path, place, "a public key whose SHA-256 is its key id"))
    roles = value.get("roles")
    if not isinstance(roles, list) or not roles or any(role not in tuple(Role) for role in roles):
        raise BadInput(_unsound(path, f"{place}.roles", f"some of {', '.join(Role)}"))
    key = TrustedKey(public, frozenset(map(Role, roles)))
    _require_apart(path, key)
    return key


def _hexadecimal(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return b""


def _require_apart(path: Path, key: TrustedKey) -> None:
    if Role.APPROVER in key.roles and len(key.roles) > 1:
        raise BadInput(
            Problem(
                file=str(path),
                path=f"keys.{key.keyid}.roles",
                expected="pipeline or approver, never both, and a watcher's is the pipeline's",
                found=", ".join(sorted(key.roles)),
                remedy="Nobody approves what the same key has built: use a second key.",
            )
        )


def _require_mode(path: Path, forbidden: int, expected: str, remedy: str) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & forbidden:
        raise BadInput(
            Problem(
                file=str(path),
                expected=f"a file {expected}",
                found=f"mode {mode:04o}",
                remedy=f"Run `{remedy} {path}`; if others may have read or changed it, replace it.",
            )
        )


def _lost_key(path: Path, trust_file: Path) -> Problem:
    return Problem(
        file=str(path),
        expected=f"the private key that {trust_file.name} beside it trusts",
        found="no such file",
        remedy="Bring it back from a copy. What it has signed stays valid without it.",
    )


def _unsound(path: Path, place: str, expected: str) -> Problem:
    return Problem(
        file=str(path),
        path=place,
        expected=expected,
        found="something else",
        remedy="Mend the entry, or bring the file back from a copy.",
    )
