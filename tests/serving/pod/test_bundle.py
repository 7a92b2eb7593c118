"""What a pod reads: the manifests' own file, or a refusal that names the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manifests.model import Slot
from release.errors import BAD_INPUT, BadInput
from serving.pod.__main__ import main
from serving.pod.bundle import read
from tests.manifests.making import release
from tests.serving.pod.making import written


@pytest.mark.parametrize("markers", [None, (), ("<|im_end|>",)])
def test_what_the_manifests_write_can_be_served(
    tmp_path: Path, markers: tuple[str, ...] | None
) -> None:
    """With and without the model's control tokens."""
    made = release()
    file = tmp_path / "bundle.json"
    file.write_text(Slot("blue", made, markers).bundle)

    found = read(file)

    assert (found.release, found.prompt.label) == (made.digest, made.label)
    assert found.refusal is None


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"markers": ...}, "markers"),
        ({"markers": "<s>"}, "markers"),
        ({"markers": [""]}, "markers"),
        ({"refusal": ...}, "refusal"),
        ({"refusal": [1]}, "refusal"),
        ({"release": ...}, "release"),
        ({"label": ""}, "label"),
        ({"prompt": ...}, "bundle"),
        ({"parameters": {"tools": []}}, "parameters"),
    ],
)
def test_what_is_missing_is_named_and_not_guessed(
    tmp_path: Path, changes: dict[str, Any], path: str
) -> None:
    """No list of control tokens would read as none."""
    with pytest.raises(BadInput, match=path):
        read(written(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_s06_a_file_that_is_no_bundle_ends_it_with_the_reason(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2: trying again cannot help."""
    file = tmp_path / "bundle.json"
    file.write_text(text)
    flags = (
        "--server=http://m",
        "--model=model",
        "--slot=blue",
        "--port=0",
        "--copies-port=0",
        "--drain=0",
    )

    assert main([f"--bundle={file}", *flags]) == BAD_INPUT
    assert "bundle.json" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"bundle\.json"):
        read(tmp_path / "bundle.json")
