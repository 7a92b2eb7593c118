"""`greenlight doctor`: what the launcher runs before anything is set up, reached the usual way.

The checks live in `tools`, which needs only the standard library; here they get their place
among the commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools import doctor

add_arguments = doctor.add_arguments


def run(args: argparse.Namespace) -> int:
    """0 when nothing is missing, else 1."""
    return doctor.report(Path(__file__).resolve().parent.parent, args, sys.stdout.write)
