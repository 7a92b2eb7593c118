"""What a file is. One that is not what it says is bad input, never a file to pass over."""

from __future__ import annotations

import pytest

from policies.scan.kinds import MAX_BYTES, Scannable, classify
from release.errors import BadInput

TEMPLATE = '{"$schema": "x", "contentVersion": "1.0.0.0", "resources": %s}'
POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: one\n"


def _bomb(step: str) -> str:
    """An object in which each of nine lines is nine of the one before."""
    lines = [step.format(number, ", ".join([f"*a{number - 1}"] * 9)) for number in range(1, 10)]
    return "\n".join([POD + "a0: &a0 {x: y}", *lines, ""])


BOMB, MERGES = _bomb("a{0}: &a{0} [{1}]"), _bomb("a{0}: &a{0} {{<<: [{1}]}}")

KNOWN = {
    "an object that is merged": (
        "a.yaml",
        "x: &x {apiVersion: v2, metadata: {name: z}}\n"
        "<<: [{apiVersion: v1, kind: Pod}, *x]\nmetadata: {name: a}\n",
        "kubernetes",
        ("Pod.default.a",),
    ),
    "an object with some aliases": (
        "a.yaml",
        POD + "a: &a [1]\nb: *a\n",
        "kubernetes",
        ("Pod.default.one",),
    ),
    "a template": ("a.json", TEMPLATE % '[{"type": "T/a", "name": "x"}]', "arm", ("T/a",)),
    "an object": ("a.yaml", POD, "kubernetes", ("Pod.default.one",)),
    "an object in JSON": (
        "a.json",
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}}',
        "kubernetes",
        ("Pod.b.a",),
    ),
    "a list": (
        "a.yml",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
        "kubernetes",
        ("Pod.default.a",),
    ),
    "a workflow": ("/r/.github/workflows/a.yml", "on: push\njobs: {}\n", "github_actions", ()),
}

NO_SCANNERS = {
    "another suffix": ("a.py", "x"),
    "other YAML": ("a.yaml", "config:\n  a: 1\n"),
    "llm.yaml": ("llm.yaml", "apiVersion: greenlight/v1\nname: a\n"),
    "nothing": ("a.yaml", ""),
    "other JSON": ("a.json", '{"a": 1}'),
    "a list": ("a.json", "[1]"),
    "parameters": ("a.json", '{"$schema": "x", "contentVersion": "1", "parameters": {}}'),
    "kustomize's build file": (
        "kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
    ),
    "YAML with tags of others": ("a.yaml", "a: !Ref b\n"),
}

BROKEN = {
    "a number that is none": (
        "a.json",
        (TEMPLATE % '[{"type": "T/a", "name": "x", "a": NaN}]').encode(),
        "NaN, which JSON does not have",
    ),
    "a key given twice": ("a.json", b'{"a": {"tls": 1, "tls": 2}}', "tls twice in an object"),
    "resources in another spelling": (
        "a.json",
        (TEMPLATE % "[]").replace("resources", "Resources").encode(),
        "expected `resources`, found `Resources`",
    ),
    "an output that shows a key": (
        "a.json",
        (
            TEMPLATE % '[],\n"outputs": {"key": {"value": "[listKeys(\'st\', \'1\').keys[0]]"}}'
        ).encode(),
        "a.json:2: expected outputs without keys",
    ),
    "one of a nested template": (
        "a.json",
        (
            TEMPLATE % '[{"type": "T/a", "name": "x", "properties": {"template": {"Outputs": '
            '{"key": {"value": "[concat(ListSecrets(1))]"}}}}}]'
        ).encode(),
        "`list...()` in key",
    ),
    "JSON cut off": ("a.json", b'{"a": 1', "a.json:1: expected JSON"),
    "YAML with a tab": ("a.yaml", b"a:\n\t- b", "a.yaml:2: expected YAML"),
    "a template for YAML": (
        "a.yaml",
        b"kind: {{ .Values.kind }}\napiVersion: v1\n",
        "render it first",
    ),
    "a workflow cut off": ("/r/.github/workflows/a.yml", b'on: "push', "expected YAML"),
    "no text": ("a.yaml", b"\xff\xfe\x00", "expected UTF-8"),
    "an object without a name": ("a.yaml", b"apiVersion: v1\nkind: Pod\n", "metadata.name of the"),
    "symbolic names": ("a.json", (TEMPLATE % "{}").encode(), "`resources` as a list"),
    "a resource without a type": ("a.json", (TEMPLATE % "[{}]").encode(), "type and name"),
    "far too long": ("a.yaml", POD.encode() + b"#" * MAX_BYTES, "at most 4 MB, found 4.0 MB"),
    "an object with a suffix in capitals": ("a.YAML", POD.encode(), "small letters, found .YAML"),
    "a template with one": ("a.JSON", (TEMPLATE % "[]").encode(), "small letters, found .JSON"),
    "a template with comments": (
        "a.jsonc",
        b'{ // mine\n"$schema": "https://x/deploymentTemplate.json#"}',
        "a template in .json",
    ),
    "a template in capitals": (
        "a.json",
        (TEMPLATE % "[]").replace("resources", "Resources").encode(),
        "found `Resources`",
    ),
    "a template whose head is in capitals": (
        "a.json",
        (TEMPLATE % "[]").replace("contentV", "ContentV").encode(),
        "expected `contentVersion`, found `ContentVersion`",
    ),
    "resources without a head": (
        "a.json",
        b'{"resources": [{"type": "Microsoft.X/y", "apiVersion": "1", "name": "z"}]}',
        "expected $schema and contentVersion",
    ),
    "a bomb of aliases": ("a.yaml", BOMB.encode(), "a.yaml:1: expected at most 100000 values"),
    "a bomb of merges": ("a.yaml", MERGES.encode(), "expected at most 100000 values"),
    "a bomb in a workflow": ("/r/.github/workflows/a.yml", BOMB.encode(), "at most 100000 values"),
    "an object that holds itself": ("a.yaml", b"&a\n" + POD.encode() + b"x: *a\n", "at most"),
    "far too deep": ("a.json", b"[" * 100_000, "expected JSON"),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_file_is_known_by_what_it_says(case: str) -> None:
    """With the resources that a scan of it has to have seen."""
    file, text, kind, holds = KNOWN[case]

    assert classify(file, text.encode()) == Scannable(file, kind, holds)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", NO_SCANNERS)
def test_what_no_scanner_takes_is_none(case: str) -> None:
    file, text = NO_SCANNERS[case]

    assert classify(file, text.encode()) is None


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_what_it_says_is_bad_input_by_file_and_line(case: str) -> None:
    file, data, said = BROKEN[case]

    with pytest.raises(BadInput) as caught:
        classify(file, data)
    assert file in str(caught.value)
    assert said in str(caught.value)
