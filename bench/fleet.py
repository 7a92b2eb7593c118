"""A thousand applications, and what other tools need to render the very same objects.

The chart and the overlays are made from one rendering of an application whose every value is a
mark. They know no conditions, no helpers and no defaults, and what is derived (names by digest,
the prompt's bundle) is given to them ready made: less work than Greenlight's templates have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render
from release.bundle import PromptText, Release, ServingEngine, Template, Weights
from release.integrity import canonical
from release.kubernetes_section import Kubernetes
from release.spec import Parameters

Source = Mapping[str, Any]
"""What an application is read from."""

MARK = {"number": 7919, "more": 104729, "name": "bot-zzzz", "environment": "zzstage"}
"""Values that are nowhere else in what is rendered. The name sorts as those of the fleet do, so that
the objects of both come in the same order."""


def source(number: int, more: int, name: str, environment: str = "production") -> Source:
    """One application: name, prompt, model, image and sizes are its own."""
    return {
        "application": name,
        "environment": environment,
        "settings": {
            "image": f"registry.example.com/{name}/serving@sha256:{number:064x}",
            "gateway": {"hostnames": [f"{name}.example.com"]},
            "scaling": {"min": number % 1000 + 1, "max": 1000},
            "application": {"cpu": f"{more}m", "memory": "512Mi"},
            "priority": "none",
        },
        "prompt": f"You answer for {name}. Question: {{{{ query }}}}",
        "sha256": f"{more:064x}",
    }


def fleet(count: int) -> list[bytes]:
    """So many applications, each as the bytes of its own file."""
    return [canonical(source(i, 100 + i, f"bot-{i:04}")) for i in range(1, count + 1)]


def read(data: bytes) -> Rendering:
    """The application that ``data`` says, checked as a spec's sections are."""
    found: Source = json.loads(data)
    release = Release(
        application=found["application"],
        weights=Weights(sha256=found["sha256"], size=100, format="gguf"),
        engine=ServingEngine(
            name="llama.cpp", version="1.0", context=4096, parallel=4, threads=2, isolation="shared"
        ),
        prompt=PromptText(
            inputs=("query",), messages=(Template(role="user", template=found["prompt"]),)
        ),
        parameters=Parameters(),
    )
    return Rendering(
        application=found["application"],
        environment=found["environment"],
        settings=Kubernetes.model_validate_json(json.dumps(found["settings"])),
        slots=(Slot("blue", release),),
        weights={"blue": 100},
    )


def values(rendering: Rendering) -> dict[str, Any]:
    """What differs between applications, by the name that the chart has for it."""
    (slot,), settings = rendering.slots, rendering.settings
    return {
        "bundle": slot.bundle,
        "digest": slot.release.digest,
        "image": settings.image,
        "weights": slot.release.file.sha256 if slot.release.file else "",
        "server": slot.server_name,
        "prompt": slot.prompt_name,
        "environment": rendering.environment,
        "name": rendering.application,
        "cpu": settings.application.cpu,
        "min": settings.scaling.min,
    }


def marked() -> Rendering:
    """The application that is all marks."""
    return read(canonical(source(**MARK)))  # type: ignore[arg-type]


def write_chart(folder: Path, applications: Iterable[Rendering], each: bool = False) -> None:
    """A Helm chart: a template an object, which goes over all applications in ``values.yaml``; or,
    for ``each``, renders the one application that the values are.
    """
    (folder / "templates").mkdir(parents=True)
    head = {"apiVersion": "v2", "name": "fleet", "version": "0.1.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(head))
    everything = {} if each else {"applications": [values(one) for one in applications]}
    (folder / "values.yaml").write_text(json.dumps(everything))
    mark = marked()
    for one in render(mark):
        text = _templated(one.text, mark, "$v")
        around = ("{{- $v := .Values }}\n", "") if each else (
            "{{- range $v := .Values.applications }}\n---\n", "{{- end }}\n")  # fmt: skip
        (folder / "templates" / one.file).write_text(text.join(around))


def _templated(text: str, mark: Rendering, variable: str) -> str:
    """``text`` with an action where a mark is; what is an action to Helm is text to us."""
    text = text.replace("{{", "\0")
    given = values(mark)
    bundle = json.dumps(given.pop("bundle"), ensure_ascii=False).replace("{{", "\0")
    text = text.replace(bundle, f"{{{{ {variable}.bundle | toJson }}}}")
    for name, one in given.items():
        number = f" {one}\n" if isinstance(one, int) else str(one)
        written = f"{{{{ {variable}.{name} }}}}"
        text = text.replace(number, f" {written}\n" if isinstance(one, int) else written)
    return text.replace("\0", '{{ "{{" }}')


def write_overlays(folder: Path, applications: Sequence[Rendering]) -> None:
    """Overlays for kustomize, one an application, over one base; and one over all of them."""
    base = render(marked())
    (folder / "base").mkdir(parents=True)
    for one in base:
        (folder / "base" / one.file).write_text(one.text)
    _kustomization(folder / "base", {"resources": [one.file for one in base]})
    for one in applications:
        own = folder / one.application
        own.mkdir()
        _kustomization(own, {"resources": ["../base"], "patches": [*_patches(base, render(one))]})
    (folder / "all").mkdir()
    names = [f"../{one.application}" for one in applications]
    _kustomization(folder / "all", {"resources": names})


def _kustomization(folder: Path, content: Mapping[str, Any]) -> None:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({**head, **content}, sort_keys=False))


def _patches(base: Sequence[Rendered], own: Sequence[Rendered]) -> Iterator[dict[str, Any]]:
    for one, other in zip(base, own, strict=True):
        operations = [*_differences(one.object, other.object, "")]
        yield {
            "target": {"kind": one.kind, "name": one.name},
            "patch": json.dumps(operations),
            "options": {"allowNameChange": True},
        }


def _differences(here: Any, there: Any, path: str) -> Iterator[dict[str, Any]]:
    """JSON patch (RFC 6902) from ``here`` to ``there``."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in there:
                yield {"op": "remove", "path": at}
            elif key not in here:
                yield {"op": "add", "path": at, "value": there[key]}
            else:
                yield from _differences(here[key], there[key], at)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, (one, other) in enumerate(zip(here, there, strict=True)):
            yield from _differences(one, other, f"{path}/{index}")
    elif here != there:
        yield {"op": "replace", "path": path, "value": there}
