"""After an edit only what was edited is rendered again."""

from __future__ import annotations

from bench.fleet import fleet, read
from manifests.model import Rendering
from manifests.remembered import Remembered
from manifests.render import render


class Counting:
    """Reads, and says what it read."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, data: bytes) -> Rendering:
        found = read(data)
        self.seen.append(found.application)
        return found


def test_only_an_application_that_changed_is_rendered_again() -> None:
    """What comes out is what rendering all of them anew gives."""
    reading = Counting()
    remembered = Remembered(reading)
    sources = {f"app-{number}": data for number, data in enumerate(fleet(3))}
    before = remembered.rendered(sources)
    edited = {**sources, "app-1": fleet(1, first=9)[0]}
    reading.seen.clear()

    after = remembered.rendered(edited)

    assert reading.seen == ["bot-0009"]
    assert after == {name: render(read(data)) for name, data in edited.items()}
    assert after["app-0"] is before["app-0"]


def test_what_is_gone_is_forgotten() -> None:
    """A memory of everything that ever was would only grow."""
    reading = Counting()
    remembered = Remembered(reading)
    (data,) = fleet(1)
    remembered.rendered({"app": data})
    remembered.rendered({})

    remembered.rendered({"app": data})

    assert reading.seen == ["bot-0001", "bot-0001"]
