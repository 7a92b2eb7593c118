"""What the environment's owner says of the gateway: ``gateway.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from serving.counting.answers import Answer, Phrases
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
        self._phrases = Phrases(())

    def held_by(self, answer: Answer) -> bool:
        """Whether ``answer`` holds one of the phrases, in whatever case."""
        return self._newest().held_by(answer)

    def _newest(self) -> Phrases:
        """While the file is damaged the last good phrases hold: none would read as no refusals."""
        settings = self._file.get()
        if settings is not None and settings is not self._read:
            self._read = settings
            self._phrases = Phrases(settings.refusal)
        return self._phrases
