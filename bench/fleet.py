"""A thousand applications, and what other tools need to render the very same objects.

The chart and the overlays are made from one rendering of an application whose every value is a
mark. The chart derives what Greenlight derives (names by digest, the prompt's bundle, labels by a
helper) and knows no option, condition or default; the overlays hold ready-made patches. Both have
less to do than Greenlight's templates.
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
"""Values that are nowhere else in what is rendered. The name sorts as the fleet's do, so that
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


def fleet(count: int, first: int = 1) -> list[bytes]:
    """So many applications, each as the bytes of its own file."""
    return [canonical(source(i, 100 + i, f"bot-{i:04}")) for i in range(first, first + count)]


def values_of(one: bytes) -> str:
    """Helm's values for a release that is this application alone."""
    return json.dumps({"applications": [json.loads(one)]})


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


def marked() -> Rendering:
    """The application that is all marks."""
    return read(canonical(source(**MARK)))  # type: ignore[arg-type]


def values(rendering: Rendering) -> dict[str, Any]:
    """What differs between applications and nothing derives, by its path in a source."""
    (slot,), settings = rendering.slots, rendering.settings
    return {
        ".settings.image": settings.image,
        ".sha256": slot.release.file.sha256 if slot.release.file else "",
        ".environment": rendering.environment,
        ".application": rendering.application,
        ".settings.application.cpu": settings.application.cpu,
        ".settings.scaling.min": settings.scaling.min,
    }


def derived(rendering: Rendering) -> dict[str, Any]:
    """What Greenlight makes of that: names by digest, and what the pods are given."""
    (slot,) = rendering.slots
    return {
        "bundle": slot.bundle,
        "digest": slot.release.digest,
        "version": slot.version,
        "server": slot.server_name,
        "prompt": slot.prompt_name,
    }


HELPERS = {
    "digest": 'include "release" $v | sha256sum',
    "version": 'include "release" $v | sha256sum | trunc 7',
    "server": 'include "engine" $v | sha256sum | trunc 12 | printf "model-%s"',
    "prompt": 'include "bundle" $v | sha256sum | trunc 12 | printf "prompt-%s"',
    "bundle": 'include "bundle" $v',
}
"""How a chart derives the same."""


def write_chart(folder: Path, sources: Iterable[bytes] = ()) -> None:
    """A Helm chart: a template an object, each of which goes over all applications in
    ``values.yaml``.
    """
    (folder / "templates").mkdir(parents=True)
    head = {"apiVersion": "v2", "name": "fleet", "version": "0.1.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(head))
    everything = [json.loads(one) for one in sources]
    (folder / "values.yaml").write_text(json.dumps({"applications": everything}))
    mark = marked()
    (folder / "templates" / "_helpers.tpl").write_text(_helpers(mark))
    for one in render(mark):
        text = _over_all(_templated(one.text, mark))
        (folder / "templates" / one.file).write_text(text)


def _over_all(text: str) -> str:
    used = [name for name in HELPERS if f"{{{{ ${name}" in text]
    heads = "".join(f"{{{{- ${name} := {HELPERS[name]} }}}}\n" for name in used)
    return f"{{{{- range $v := .Values.applications }}}}\n{heads}---\n{text}{{{{- end }}}}\n"


def _templated(text: str, mark: Rendering) -> str:
    """``text`` with an action where a mark is; what is an action to Helm is text to us."""
    text = text.replace("{{", "\0")
    given = derived(mark)
    bundle = json.dumps(given.pop("bundle"), ensure_ascii=False).replace("{{", "\0")
    text = text.replace(bundle, "{{ $bundle | toJson }}")
    for name, one in given.items():
        text = text.replace(one, f"{{{{ ${name} }}}}")
    text = _with_labels(text, mark)
    return _substituted(text, mark, "$v").replace("\0", '{{ "{{" }}')


def _with_labels(text: str, mark: Rendering) -> str:
    """The labels that every object has, from a helper, as charts have them."""
    lines = [f"{key}: {value}" for key, value in mark.labels.items()]
    for indent in range(2, 12, 2):
        block = "".join(f"{' ' * indent}{line}\n" for line in lines)
        text = text.replace(f"\n{block}", f'\n{{{{ include "labels" $v | indent {indent} }}}}\n')
    return text


def _substituted(text: str, mark: Rendering, variable: str) -> str:
    for path, one in values(mark).items():
        number = isinstance(one, int)
        action = f"{{{{ {variable}{path} }}}}"
        text = text.replace(f" {one}\n" if number else one, f" {action}\n" if number else action)
    return text


def _helpers(mark: Rendering) -> str:
    """The texts that digests are taken of, and the labels."""
    (slot,) = mark.slots
    release = slot.release
    shared = {"weights": release.weights.model_dump(), "engine": release.engine.model_dump()}
    labels = "\n".join(f"{key}: {value}" for key, value in mark.labels.items())
    texts = {
        "release": release.content.decode(),
        "engine": canonical(shared).decode(),
        "bundle": slot.bundle,
        "labels": labels,
    }
    prompt = json.dumps(release.prompt.messages[0].template)
    digest = '{{- $digest := include "release" . | sha256sum -}}'
    made = ""
    for name, text in texts.items():
        text = text.replace(prompt, "\0").replace(release.digest, "{{ $digest }}")
        text = text.replace(f"@{release.digest[:7]}", "@{{ $digest | trunc 7 }}")
        text = _substituted(text, mark, "").replace("\0", "{{ .prompt | toJson }}")
        first = digest if name == "bundle" else ""
        made += f'{{{{- define "{name}" -}}}}{first}{text}{{{{- end }}}}\n'
    return made


def write_overlays(folder: Path, applications: Sequence[Rendering]) -> None:
    """Overlays for kustomize, one an application, over one base; and one over all of them."""
    base = render(marked())
    (folder / "base").mkdir(parents=True)
    for one in base:
        (folder / "base" / one.file).write_text(one.text)
    _kustomization(folder / "base", {"resources": [one.file for one in base]})
    for each in applications:
        own = folder / each.application
        own.mkdir()
        _kustomization(own, {"resources": ["../base"], "patches": [*_patches(base, render(each))]})
    (folder / "all").mkdir()
    names = [f"../{each.application}" for each in applications]
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
