"""The page about steps is what the code says."""

from __future__ import annotations

import pytest

from docs.steps import FILE, page
from pipelines.steps import KINDS, Step


def test_the_page_is_current() -> None:
    """Write it again with ``python docs/steps.py``."""
    assert page() == FILE.read_text()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_step_says_how_it_is_repeated_and_undone(kind: type[Step]) -> None:
    """A step of which that is not known cannot be resumed."""
    assert kind.changes
    assert kind.again
    assert kind.undone
