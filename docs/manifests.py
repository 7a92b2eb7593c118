"""Write docs/kubernetes: ``python -m docs.manifests``. A test compares them.

Each variant of the rendering is a file, so that a change of what is rendered is seen in review.
"""

from __future__ import annotations

import re
from pathlib import Path

from manifests.render import render
from tests.manifests.variants import VARIANTS

FOLDER = Path(__file__).parent / "kubernetes"
PLAIN = "plain"
PAGE = Path(__file__).parent / "kubernetes.md"

HEAD = """# Kubernetes

`greenlight render APP --env ENV --out DIR` writes what an environment is in a cluster: one file an
object, in the order in which they are applied, the same bytes for the same input. Nothing is asked
of a cluster and nothing is applied; this version ships to `local` alone. What the pods start is not
part of this version either: the application's server over TCP with `/alive` and `/metrics`, the
port of llama.cpp's server, and an image with both. Until then these files show what will run, and
running them needs an image of one's own. vLLM's flags were not tried on vLLM.

In the cluster, an application is a small pod that knows the prompt (two of them by default) in
front of a model server. A release that changes the prompt alone doubles the former and shares the
latter. The Gateway API's HTTPRoute holds the weights; a request with the header
`x-greenlight-slot` goes to the slot that it names.

What nobody has to ask for: pods after the restricted Pod Security Standard, without a token, a root
or a file system to write to; images by digest; memory limited and the processor asked for; network
policies that let in the gateway and the metrics' reader, and out the name service; a disruption
budget, spread over zones and nodes; alerts and a dashboard over what the pods expose. vLLM reads
safetensors alone, and no code of a model's is run. What has no field in
[llm.yaml](llm-yaml.md#kubernetes) is set by a patch (RFC 7396) in `patches`.

The first file below is whole, each other holds what differs from it. A real API server takes every
object of each, and refuses a field that it does not know.

This page and the files are written by `python -m docs.manifests`; a test keeps them current.

| variant | objects |
|---|---|
"""


def pages() -> dict[Path, str]:
    """Every file, and what is in it."""
    files = {FOLDER / f"{_slug(name)}.yaml": _documents(name) for name in VARIANTS}
    rows = [
        f"| [{name}](kubernetes/{_slug(name)}.yaml) | {len(render(one))} |"
        for name, one in VARIANTS.items()
    ]
    return {**files, PAGE: HEAD + "\n".join(rows) + "\n"}


def _documents(name: str) -> str:
    """All of the plain variant; of another what is different there, or not there at all."""
    plain = () if name == PLAIN else render(VARIANTS[PLAIN])
    own = [one for one in render(VARIANTS[name]) if one not in plain]
    gone = {one.file for one in plain} - {one.file for one in render(VARIANTS[name])}
    said = [f"# {len(own)} objects that plain.yaml does not have, or has otherwise\n"] * bool(plain)
    said += [f"# not there: {file}\n" for file in sorted(gone)]
    return "".join(said) + "---\n".join(one.text for one in own)


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9 ]", "", name.lower()).replace(" ", "-")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.yaml"):
        old.unlink()
    for file, text in pages().items():
        file.write_text(text)
