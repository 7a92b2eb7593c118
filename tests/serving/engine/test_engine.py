"""The model server: weights verified first, one at a socket, nothing said about prompts."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from release.errors import BadInput
from release.markers import markers
from serving import engine, processes
from serving.application.markers import Neutraliser
from serving.slots import EngineSpec
from serving.supervisor.plan import Answer
from serving.supervisor.probe import ask
from serving.supervisor.units import llama_cpp
from tests.serving.making import engine_spec, eventually, real_model


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Something with a digest."""
    file = tmp_path / "m.gguf"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where digests are remembered."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_the_right_weights_pass(model: Path, cache: Path) -> None:
    """Nothing is said when all is well."""
    engine.verify(model, digest(b"weights"), cache)


def test_other_weights_are_refused(model: Path, cache: Path) -> None:
    """With what was expected, what was found and what to do."""
    with pytest.raises(BadInput) as caught:
        engine.verify(model, digest(b"other"), cache)

    (problem,) = caught.value.problems
    assert problem.file == str(model)
    assert digest(b"other") in problem.expected
    assert problem.found == digest(b"weights")
    assert problem.remedy


def test_weights_that_are_gone_are_named(tmp_path: Path, cache: Path) -> None:
    """Not a traceback."""
    with pytest.raises(BadInput, match=r"gone\.gguf"):
        engine.verify(tmp_path / "gone.gguf", digest(b""), cache)


def test_an_unchanged_file_is_hashed_once(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart does not pay for 40 GB again."""
    engine.verify(model, digest(b"weights"), cache)
    monkeypatch.setattr(hashlib, "file_digest", None)

    engine.verify(model, digest(b"weights"), cache)


def test_a_changed_file_is_hashed_again(model: Path, cache: Path) -> None:
    """Size, time or inode: any difference counts."""
    engine.verify(model, digest(b"weights"), cache)
    model.write_bytes(b"changed")

    with pytest.raises(BadInput):
        engine.verify(model, digest(b"weights"), cache)


@pytest.mark.parametrize("note", [b"", b'{"file', b"[]", b"{}", b'{"file": null}'])
def test_s22_a_half_written_note_is_written_again(model: Path, cache: Path, note: bytes) -> None:
    """It is a cache: what cannot be read is taken anew."""
    engine.verify(model, digest(b"weights"), cache)
    (file,) = cache.iterdir()
    file.write_bytes(note)

    engine.verify(model, digest(b"weights"), cache)
    assert json.loads(file.read_bytes())["sha256"] == digest(b"weights")


def test_in_a_pod_notes_are_in_the_one_folder_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same one after a restart, and nobody else's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notes = engine.temporary()

    assert notes.parent == tmp_path
    assert notes.stat().st_mode & 0o777 == 0o700
    assert engine.temporary() == notes


@pytest.mark.parametrize("planted", ["open", "link"])
def test_a_folder_that_somebody_else_could_have_prepared_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """A note in it would say that any weights are the right ones."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"greenlight-{os.getuid()}"
    if planted == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        (tmp_path / "theirs").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "theirs")

    assert engine.temporary() not in (place, tmp_path / "theirs")


Start = Callable[[EngineSpec], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(short: Path) -> Iterator[Start]:
    """Start an engine in the folder ``short``; ended at the end."""
    started: list[subprocess.Popen[bytes]] = []
    (short / "run").mkdir()

    def run(spec: EngineSpec) -> subprocess.Popen[bytes]:
        started.append(processes.spawn(llama_cpp(spec), short, short / "log"))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def well(folder: Path) -> bool:
    answer = asyncio.run(ask(str(folder / engine_spec().socket), "/health"))
    return answer == Answer(answered=True, healthy=True)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("engine")
        self.path = path

    def connect(self) -> None:
        """To the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def request(folder: Path, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    connection = UnixConnection(folder / engine_spec().socket)
    try:
        method, data = ("POST", json.dumps(body)) if body else ("GET", None)
        connection.request(method, path, data)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.slow
def test_it_answers_and_keeps_what_it_was_asked_to_itself(short: Path, start: Start) -> None:
    """Neither its log nor any of its endpoints repeats a prompt."""
    start(engine_spec())
    eventually(lambda: well(short), "the engine is well")

    secret = "xylophone"
    message = {"role": "user", "content": f"{secret} " * 3}
    body = {"messages": [message], "max_tokens": 1}
    assert request(short, "/v1/chat/completions", body)[0] == 200
    assert request(short, "/v1/chat/completions", {"messages": 5})[0] >= 400

    for path in ("/slots", "/props", "/metrics", "/"):
        assert secret not in request(short, path)[1]
    assert request(short, "/slots")[0] == 501
    assert request(short, "/metrics")[0] == 200
    assert secret not in (short / "log").read_text()


@pytest.mark.slow
def test_it_starts_where_a_killed_one_left_its_socket(short: Path, start: Start) -> None:
    """And says goodbye on SIGTERM with exit code 0."""
    first = start(engine_spec())
    eventually(lambda: well(short), "the first is well")
    first.kill()
    first.wait()
    assert (short / engine_spec().socket).exists()

    second = start(engine_spec())
    eventually(lambda: well(short), "the second is well")
    second.terminate()

    assert second.wait() == 0


@pytest.mark.slow
def test_a_second_one_at_the_same_socket_gives_way(short: Path, start: Start) -> None:
    """The first keeps serving."""
    start(engine_spec())
    eventually(lambda: well(short), "the first is well")

    assert start(engine_spec()).wait() == 1
    assert well(short)
    assert "held by another process" in (short / "log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "code", "said"),
    [(None, 2, "expected sha256"), (b"GGUF but not really", 1, "Failed to init server")],
)
def test_s06_weights_that_cannot_be_served_say_why(
    short: Path, start: Start, data: bytes | None, code: int, said: str
) -> None:
    """Wrong ones end with exit code 2: trying again cannot help."""
    file = short / "m.gguf"
    file.write_bytes(data or b"other")
    expected = digest(data) if data else digest(b"weights")

    process = start(engine_spec(model=str(file), model_sha256=expected))

    assert process.wait() == code
    assert said in (short / "log").read_text()


@pytest.mark.slow
def test_markers_that_were_taken_apart_are_ordinary_text_to_the_model(
    short: Path, start: Start
) -> None:
    """Each one alone is a control token; with its space it is none, nor are all in a row."""
    start(engine_spec())
    eventually(lambda: well(short), "the engine is well")
    found = sorted(markers(real_model()))

    def tokens(text: str) -> list[int]:
        body = {"content": text, "parse_special": True}
        return list(json.loads(request(short, "/tokenize", body)[1])["tokens"])

    control = {tokens(marker)[0] for marker in found}
    assert all(len(tokens(marker)) == 1 for marker in found)
    assert len(control) == len(found)
    assert not control & set(tokens(Neutraliser(found)("".join(found))))
