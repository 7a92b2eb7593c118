"""An interpreter whose llama.cpp answers at once: every process is real but the model."""

from __future__ import annotations

import shutil
import site
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STANDIN = Path(__file__).with_name("xllamacpp_standin.py")


def with_standin(folder: Path) -> str:
    """The path of an interpreter in ``folder`` that sees this one's packages, with a stand-in in
    xllamacpp's place. What it starts by ``sys.executable`` is the same interpreter again.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    packages = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    shutil.copyfile(STANDIN, packages / "xllamacpp.py")
    (packages / "ours.pth").write_text("\n".join([str(ROOT), *site.getsitepackages()]) + "\n")
    return str(folder / "bin/python")
