"""docs/kubernetes shows what is rendered now."""

from __future__ import annotations

from docs.manifests import FOLDER, pages


def test_every_variant_is_shown_as_it_is_rendered() -> None:
    """``python -m docs.manifests`` writes them anew."""
    shown = pages()

    assert {file: file.read_text() for file in shown} == shown
    assert set(FOLDER.glob("*.yaml")) == {file for file in shown if file.parent == FOLDER}
