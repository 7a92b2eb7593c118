"""What tests do with a cluster: kubectl, told where it is and to touch nothing of the user's."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a call of kubectl ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cluster:
    """A cluster that tests may fill and change. ``real_pods``: whether a process is in them;
    where there is none, its nodes are kwok's and a test may add some."""

    program: str
    kubeconfig: Path
    cache: Path
    real_pods: bool = False

    def ask(self, *words: str, given: str = "") -> Done:
        """Run kubectl, with ``given`` on standard input."""
        done = subprocess.run(
            [self.program, f"--cache-dir={self.cache}", *words],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBERC": "off"},
            input=given,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str, given: str = "") -> str:
        """What kubectl prints; AssertionError with its complaint where it fails."""
        done = self.ask(*words, given=given)
        assert done.code == 0, f"kubectl {' '.join(words)}: {done.err or done.out}"
        return done.out

    def read(self, *words: str) -> Any:
        """What ``kubectl get`` answers, as a document."""
        return json.loads(self.must("get", *words, "--output=json"))

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> Done:
        """Server-side apply, so that every unknown field is an error."""
        how = ("--server-side", "--validate=strict", f"--namespace={namespace}")
        return self.ask("apply", *how, "--filename=-", given=as_text(*objects))

    @contextmanager
    def namespace(self, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace of a new name, removed with all that is in it."""
        name = f"greenlight-test-{uuid.uuid4().hex[:8]}"
        meta = {"name": name, "labels": dict(labels or {})}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        self.must("create", "--filename=-", given=as_text(made))
        try:
            yield name
        finally:
            self.must("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    @contextmanager
    def nodes(self, *nodes: Mapping[str, Any]) -> Iterator[None]:
        """Nodes of a test's own, ready when the block begins; only where kwok plays them."""
        assert not self.real_pods, "a cluster with real pods has the nodes that it has"
        names = [f"node/{node['metadata']['name']}" for node in nodes]
        self.must("create", "--filename=-", given=as_text(*nodes))
        try:
            self.must("wait", "--for=condition=Ready", "--timeout=60s", *names)
            yield
        finally:
            self.must("delete", "--wait=false", *names)


def as_text(*objects: Mapping[str, Any]) -> str:
    """Objects as documents that kubectl reads. One List of them it would check by itself, from a
    description of the whole API that the server needs seconds for, and not ask the server. The
    first mark tells older ones that it is YAML, and more than one."""
    return "".join(f"---\n{json.dumps(each)}\n" for each in objects)
