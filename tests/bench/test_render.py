"""The instruments of ``bench.render``: objects that differ are seen, and the inputs are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from bench.fleet import fleet, read, source, write_chart, write_overlays
from bench.render import differing, objects
from manifests.render import render
from release.integrity import canonical


def printed(file: Path, *sources: bytes) -> Path:
    """The objects of ``sources``, as a contender prints them."""
    texts = [one.text for data in sources for one in render(read(data))]
    file.write_text("---\n".join(texts))
    return file


def test_applications_of_the_fleet_share_no_object() -> None:
    """Names, prompts, models and sizes are each one's own."""
    texts = [[one.text for one in render(read(data))] for data in fleet(2)]

    assert not set(texts[0]) & set(texts[1])


def test_equal_objects_are_taken_for_equal_also_of_fewer_applications(tmp_path: Path) -> None:
    """Whatever order and style they are printed in."""
    first, second = fleet(2)
    ours, theirs = printed(tmp_path / "a", first, second), printed(tmp_path / "b", second)
    documents = list(yaml.safe_load_all(theirs.read_text()))
    theirs.write_text("\n---\n".join(json.dumps(one) for one in reversed(documents)))

    assert differing({"greenlight": ours, "helm": theirs}) == []


def test_one_value_that_differs_is_seen(tmp_path: Path) -> None:
    """So is an object that is missing, and an output without any."""
    (data,) = fleet(1)
    ours, other = printed(tmp_path / "a", data), tmp_path / "b"
    other.write_text(ours.read_text().replace("maxReplicas: 1000", "maxReplicas: 999"))
    less, nothing = tmp_path / "c", tmp_path / "d"
    less.write_text(ours.read_text().partition("---\n")[2])
    nothing.write_text("")

    wrong = differing({"greenlight": ours, "changed": other, "less": less, "nothing": nothing})

    assert wrong == ["changed", "less", "nothing"]


def test_no_mark_is_left_in_the_chart(tmp_path: Path) -> None:
    """What differs between applications is an action of Helm's, or derived by one."""
    write_chart(tmp_path / "chart", fleet(1))
    mark = read(canonical(source(7919, 104729, "bot-zzzz", "zzstage")))
    (slot,) = mark.slots
    text = "".join(one.read_text() for one in (tmp_path / "chart" / "templates").iterdir())

    marks = ("bot-zzzz", "zzstage", "104729", f"{7919:064x}", slot.release.digest,
             slot.server_name, slot.prompt_name)  # fmt: skip
    assert [one for one in marks if one in text] == []


def test_an_overlay_leads_from_the_base_to_the_application(tmp_path: Path) -> None:
    """Its patches, done by hand, give the objects that Greenlight renders."""
    (data,) = fleet(1)
    write_overlays(tmp_path, [read(data)])
    overlay = yaml.safe_load((tmp_path / "bot-0001" / "kustomization.yaml").read_text())
    base = objects_of(tmp_path / "base")

    made = [patched(base[one["target"]["name"], one["target"]["kind"]], json.loads(one["patch"]))
            for one in overlay["patches"]]  # fmt: skip

    assert made == [one.object for one in render(read(data))]


def objects_of(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = [one for file in folder.glob("[0-9]*.yaml") for one in objects(file).values()]
    return {(one["metadata"]["name"], one["kind"]): one for one in found}


def patched(one: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """``one`` after a JSON patch."""
    for operation in operations:
        keys = [key.replace("~1", "/").replace("~0", "~")
                for key in str(operation["path"]).split("/")[1:]]  # fmt: skip
        there: Any = one
        for key in keys[:-1]:
            there = there[int(key) if isinstance(there, list) else key]
        last: Any = int(keys[-1]) if isinstance(there, list) else keys[-1]
        if operation["op"] == "remove":
            del there[last]
        else:
            there[last] = operation["value"]
    return one
