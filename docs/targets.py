"""Write docs/targets.md from the conformance suite: ``python -m docs.targets``. A test compares
them."""

from __future__ import annotations

from pathlib import Path

from tests.targets.conformance import Conformance
from tests.targets.kubernetes.test_kubernetes import TestKubernetes
from tests.targets.test_local import TestLocal
from tests.targets.test_memory import TestMemory

FILE = Path(__file__).parent / "targets.md"
TARGETS: dict[str, type[Conformance]] = {
    "local": TestLocal,
    "kubernetes": TestKubernetes,
    "memory": TestMemory,
}

HEAD = """# Targets

A target is where an environment runs. Each is one adapter in `pipelines/targets`, and each passes
the same tests, `tests/targets/conformance.py`: plain tests over the protocol alone. `local` runs
them with real gateway, supervisor and applications, and a stand-in for llama.cpp. `kubernetes` runs
them on a real API server, where pods, gateway and Prometheus are real processes
([testing.md](testing.md)). `memory` is what the tests of the verbs run on; it passes the same
suite, so that they prove something.

A new target adds one file to `tests/targets`: how it makes releases, asks through its front door
and kills what holds its weights (`bed.py` lists it). A behaviour that it does not have is
overridden there and says why; the table shows it as no.

This page is written by `python -m docs.targets`; a test keeps it current.

"""


def behaviours() -> dict[str, str]:
    """What each test of the suite says, by its name."""
    tests = {name: test for name, test in vars(Conformance).items() if name.startswith("test_")}
    return {name: " ".join((test.__doc__ or "").split()) for name, test in tests.items()}


def page() -> str:
    """The whole page."""
    columns = "".join(f" {name} |" for name in TARGETS)
    rows = [f"| behaviour | in detail |{columns}\n", f"|---|---|{'---|' * len(TARGETS)}\n"]
    for name, detail in behaviours().items():
        held = "".join(" no |" if name in vars(target) else " yes |" for target in TARGETS.values())
        rows.append(f"| {_words(name)} | {detail} |{held}\n")
    return HEAD + "".join(rows)


def _words(name: str) -> str:
    words = name.removeprefix("test_").split("_")
    scenario = words.pop(0).upper() if words[0][1:].isdigit() else ""
    text = " ".join(words)
    return f"{text} ({scenario})" if scenario else text


if __name__ == "__main__":
    FILE.write_text(page())
