"""Where an application keeps what Greenlight knows of it: ``APP/.greenlight``.

What stays after ``destroy`` is ledger, evidence and keys; everything else can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StateFolder:
    """The paths below ``APP/.greenlight``. Nothing is created by asking for one."""

    app: Path

    @property
    def root(self) -> Path:
        """All of it."""
        return self.app / ".greenlight"

    @property
    def ledger(self) -> Path:
        """One folder an application; kept by ``destroy``."""
        return self.root / "ledger"

    @property
    def evidence(self) -> Path:
        """Evidence and every blob that it or the ledger refers to; kept by ``destroy``."""
        return self.root / "evidence"

    @property
    def keys(self) -> Path:
        """Signing keys, trusted keys, callers' keys, the engine's passphrase; kept."""
        return self.root / "keys"

    @property
    def pulumi(self) -> Path:
        """The Pulumi engine's file backend and the stack settings that it was given."""
        return self.root / "pulumi"

    @property
    def work(self) -> Path:
        """Work under way that can be made again: answers, hashes, locks."""
        return self.root / "work"

    @property
    def environments(self) -> Path:
        """The folders of the local environments."""
        return self.root / "environments"

    def environment(self, name: str) -> Path:
        """The folder of one local environment."""
        return self.environments / name
