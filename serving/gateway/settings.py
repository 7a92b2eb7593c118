"""What the environment's owner says of the gateway: ``gateway.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from serving.gateway.answers import Answer
from serving.gateway.watched import Watched

FILE = "gateway.json"
Text = Annotated[str, StringConstraints(min_length=1)]


class Settings(BaseModel):
    """As far as the gateway itself needs it: the socket is given to it."""

    model_config = ConfigDict(frozen=True)

    application: Text
    environment: str
    refusal: tuple[Text, ...] = ()


class Refusals:
    """Knows a refusal by the phrases of ``gateway.json``, at their newest."""

    def __init__(self, folder: Path) -> None:
        self._file = Watched(folder / FILE, Settings)
        self._read: Settings | None = None
        self._phrases: tuple[str, ...] = ()

    def held_by(self, answer: Answer) -> bool:
        """Whether ``answer`` holds one of the phrases, in whatever case."""
        phrases = self._newest()
        if not phrases:
            return False
        said = _plain(answer.text)
        return any(phrase in said for phrase in phrases)

    def _newest(self) -> tuple[str, ...]:
        """While the file is damaged the last good phrases hold: none would read as no refusals."""
        settings = self._file.get()
        if settings is not None and settings is not self._read:
            self._read = settings
            self._phrases = tuple(map(_plain, settings.refusal))
        return self._phrases


def _plain(text: str) -> str:
    """Models write both apostrophes."""
    return text.casefold().replace("\u2019", "'")
