"""What goes into a cluster with a watcher, and what its pod makes of it."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.targets.kubernetes.watcher_pod import (
    Ending,
    Pulse,
    longest_turn,
    prepare,
    telling_health,
    watch_when_leading,
)
from pipelines.targets.kubernetes.watching import packed, watcher_objects, watcher_secret
from pipelines.workspace import open_running
from release.documents import parse_document
from release.errors import BadInput
from release.evidence import Kind, attest, verify
from release.integrity import Damaged
from release.keys import KEY_FILE, TRUST_FILE, Role, pipeline_key, trusted_keys
from release.ledger import history, local_records, open_ledger
from release.spec import Spec, parse_spec
from release.state import StateFolder
from tests.manifests.making import release, rendering, settings, spec
from tests.manifests.variants import VARIANTS
from tests.release.making import NOON, statement

HERE = rendering(release())


def in_pod(folder: Path, state: StateFolder, of: Spec | None = None) -> StateFolder:
    """What the pod has after it began, from what was put into the cluster; its own state."""
    mounted = folder / "mounted"
    mounted.mkdir(parents=True)
    (config,) = (
        one.object for one in watcher_objects(HERE, of or spec()) if one.kind == "ConfigMap"
    )
    (mounted / "llm.yaml").write_text(config["data"]["llm.yaml"])
    for name, data in watcher_secret(HERE, state)["data"].items():
        (mounted / name).write_bytes(base64.b64decode(data))
        (mounted / name).chmod(0o440)  # as the kubelet does for a group
    prepare(folder / "application", mounted / "llm.yaml", mounted)
    return StateFolder(folder / "application")


@pytest.fixture
def machine(tmp_path: Path) -> StateFolder:
    """The state of the machine that ships, with a ledger."""
    state = StateFolder(tmp_path / "machine")
    open_ledger(state, "assist").append("built")
    return state


HOSTILE = 'x"\n---\nkind: Secret\n{{ 7 * 7 }} {% raw %} \u2028 \x85 é'


def test_the_pod_opens_the_application_with_no_file_but_the_spec(
    machine: StateFolder, tmp_path: Path
) -> None:
    """No prompt, no evaluation data, no model card, and no candidate that has to be built."""
    asked = spec(
        settings(
            context="somebodys",
            prometheus="https://metrics.example.com",
            gateway={"hostnames": ["assist.example.com"]},
        ),
        prompt={
            "messages": [{"role": "system", "content": HOSTILE}, {"role": "user", "file": "q"}]
        },
    )

    opened = open_running(in_pod(tmp_path / "pod", machine, asked).app)

    assert opened.fault is None
    there = opened.spec.environments["production"].kubernetes
    wanted = asked.environments["production"].kubernetes
    assert there is not None
    assert wanted is not None
    assert there == wanted.model_copy(update={"context": None})
    assert opened.environments == ("production",)
    for name in Spec.model_fields.keys() - {"environments"}:
        assert getattr(opened.spec, name) == getattr(asked, name)


@pytest.mark.parametrize(
    ("near", "asked"), [("http://prometheus.monitoring", "near"), (None, "far")]
)
def test_the_pod_asks_the_prometheus_that_the_cluster_asks(near: str | None, asked: str) -> None:
    """The other address may be one that is seen from outside alone."""
    far = "https://metrics.example.com"
    given_ = spec(settings(prometheus=far, scaling={"prometheus": near}))

    read = parse_spec(parse_document(packed(given_, "production").encode(), "llm.yaml"))

    there = read.environments["production"].kubernetes
    assert there is not None
    assert there.measured_at == {"near": near, "far": far}[asked]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_watcher_reads_the_settings_that_it_was_given(name: str) -> None:
    """A null is a choice: without it the default would be back, such as a gateway's timeout."""
    given_ = VARIANTS[name].settings
    read = parse_spec(parse_document(packed(spec(given_), "production").encode(), "llm.yaml"))
    there = read.environments["production"].kubernetes
    near = given_.scaling.prometheus or given_.prometheus

    assert there == given_.model_copy(update={"context": None, "prometheus": near})


@hypothesis_settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_whatever_a_spec_says_is_read_as_it_was_written(text: str) -> None:
    """A text cannot begin a key, a document, an alias or a line."""
    given_ = spec(prompt={"messages": [{"role": "user", "content": text}]}, description=text)

    read = parse_spec(parse_document(packed(given_, "production").encode(), "llm.yaml"))

    assert read.prompt == given_.prompt
    assert read.description == text


def test_what_was_packed_and_read_is_packed_the_same(machine: StateFolder, tmp_path: Path) -> None:
    """So the watcher finds by name what it was started with."""
    opened = open_running(in_pod(tmp_path / "pod", machine).app)

    assert packed(opened.spec, "production") == packed(spec(), "production")


def test_the_files_of_a_secret_become_files_that_keys_may_be_in(
    machine: StateFolder, tmp_path: Path
) -> None:
    own = in_pod(tmp_path / "pod", machine)
    again = in_pod(tmp_path / "again", machine)

    assert (own.keys / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert own.keys.stat().st_mode & 0o777 == 0o700
    assert pipeline_key(again.keys) == pipeline_key(own.keys)


def test_a_container_that_starts_again_finds_its_folder_and_goes_on(
    machine: StateFolder, tmp_path: Path
) -> None:
    own, mounted = in_pod(tmp_path / "pod", machine), tmp_path / "pod" / "mounted"
    before = pipeline_key(own.keys)

    prepare(own.app, mounted / "llm.yaml", mounted)

    assert pipeline_key(own.keys) == before


@pytest.mark.parametrize("name", ["llm.yaml", KEY_FILE, TRUST_FILE])
def test_what_is_not_mounted_is_named(machine: StateFolder, tmp_path: Path, name: str) -> None:
    in_pod(tmp_path / "pod", machine)
    mounted = tmp_path / "pod" / "mounted"
    (mounted / name).unlink()

    with pytest.raises(BadInput, match=rf"{re.escape(name)}.*No such file.*greenlight ship"):
        prepare(tmp_path / "new", mounted / "llm.yaml", mounted)


def test_the_pipelines_key_does_not_go_along(machine: StateFolder, tmp_path: Path) -> None:
    private = (machine.keys / KEY_FILE).read_bytes()
    secret = watcher_secret(HERE, machine)
    held = [base64.b64decode(data) for data in secret["data"].values()]

    assert secret["metadata"]["name"] == "assist-watcher-keys"
    assert secret["metadata"]["namespace"] == "assist-production"
    assert all(private not in one and private.splitlines()[1] not in one for one in held)
    assert pipeline_key(in_pod(tmp_path / "pod", machine).keys) != pipeline_key(machine.keys)


def test_what_the_watcher_writes_is_believed_by_whoever_ships(
    machine: StateFolder, tmp_path: Path
) -> None:
    """Even with a trust file that was copied before there was a watcher."""
    own = in_pod(tmp_path / "pod", machine)
    (own.root / "ledger").symlink_to(machine.ledger)  # both see one ledger, as on a store
    (own.root / "evidence").symlink_to(machine.evidence)
    (own.keys / "heads").symlink_to(machine.keys / "heads")

    open_ledger(own, "assist").append("step-done")
    open_ledger(machine, "assist").append("step-done")

    kinds = [one.kind for one in history(local_records(machine, "assist"))]
    assert kinds == ["built", "step-done", "step-done"]


@pytest.mark.parametrize("kind", list(Kind))
def test_the_watchers_key_vouches_for_no_evidence(
    machine: StateFolder, tmp_path: Path, kind: Kind
) -> None:
    """Whoever reads the Secret can write entries, and lets no release through a gate."""
    key, said = pipeline_key(in_pod(tmp_path / "pod", machine).keys), statement(kind)

    with pytest.raises(Damaged, match=f"trusted as {kind.role}"):
        verify(attest(said, key), trusted_keys(machine.keys), kind, said.binding, NOON)
    assert not trusted_keys(machine.keys).trusts(key.keyid, Role.PIPELINE)


def asked(port: int, path: str = "/alive") -> int:
    """The status of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_watcher_that_hangs_is_not_alive() -> None:
    """Longer than its longest turn; then the kubelet starts it again."""
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    limit = longest_turn(spec(), "production")
    with telling_health(0, pulse, limit, str) as port:
        young = asked(port)
        now[0] = limit
        old = asked(port)
        pulse.beat()
        again = asked(port)
        elsewhere = asked(port, "/metrics")

    assert (young, old, again, elsewhere) == (200, 503, 200, 404)
    assert limit > spec().rollout.progress_deadline + spec().rollout.drain_seconds


def test_whoever_waits_is_alive() -> None:
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    now[0] = 1000.0

    Ending(pulse).wait(0)

    assert pulse.age() == 0


def test_who_does_not_lead_watches_nothing() -> None:
    """And begins as soon as it does."""
    answers, ending, watched = [False, False, True, True], Ending(Pulse()), list[int]()

    class Election:
        def leads(self) -> bool:
            return answers.pop(0)

    def watch() -> None:
        watched.append(len(answers))
        if not answers:
            ending.set()

    ending.wait = lambda timeout=None: ending.is_set()  # type: ignore[method-assign]
    stand_in: Any = Election()
    watch_when_leading(stand_in, ending, watch)

    assert watched == [1, 0]


def test_nothing_of_the_keys_is_in_what_is_rendered(machine: StateFolder) -> None:
    secrets = [base64.b64decode(d).decode() for d in watcher_secret(HERE, machine)["data"].values()]
    lines = {line for text in secrets for line in text.splitlines() if len(line) > 20}
    rendered = "".join(one.text for one in watcher_objects(HERE, spec()))

    assert lines
    assert not [line for line in lines if line in rendered]
    assert json.dumps(secrets[0]) not in rendered
