"""Health checks, the listening socket, logs: each alone."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from release.errors import BadInput
from serving.supervisor import listener
from serving.supervisor.logs import rotate, tail
from serving.supervisor.plan import Answer
from serving.supervisor.probe import ask, parse_answer

ANSWERS = {
    b"HTTP/1.1 200 OK\r\n\r\n{}": Answer(True, True),
    b'HTTP/1.1 503 Busy\r\n\r\n{"reason": "loading"}': Answer(True, False, "loading"),
    b"HTTP/1.1 503 Busy\r\n\r\nnot JSON": Answer(True, False, "its health check answers 503"),
    b"HTTP/1.1 500\r\n\r\n[]": Answer(True, False, "its health check answers 500"),
    b"": Answer(False, False, "does not speak HTTP"),
    b"SSH-2.0-x\r\n": Answer(False, False, "does not speak HTTP"),
    b"HTTP/1.1 OK\r\n\r\n": Answer(False, False, "does not speak HTTP"),
}


@pytest.mark.parametrize("data", ANSWERS)
def test_an_answer_is_a_verdict_with_its_reason(data: bytes) -> None:
    """Only a 200 is healthy."""
    assert parse_answer(data) == ANSWERS[data]


def test_nobody_there_is_no_answer(short: Path) -> None:
    """Absence is told apart from a bad answer."""
    answer = asyncio.run(ask(str(short / "none.sock"), "/health"))

    assert (answer.answered, answer.healthy) == (False, False)
    assert "does not listen" in answer.reason


def environment(folder: Path, **changes: object) -> Path:
    names = {"application": "support-bot", "environment": "staging"}
    settings = {**names, "host": "127.0.0.1", "port": 0, **changes}
    (folder / "gateway.json").write_text(json.dumps(settings))
    return folder


def test_a_given_port_is_kept(tmp_path: Path) -> None:
    """The kernel chooses once; a restart asks for the same port."""
    folder = environment(tmp_path)
    with listener.bind(folder) as first:
        port = first.getsockname()[1]
    with listener.bind(folder) as second:
        assert second.getsockname()[1] == port

    assert listener.settled_address(folder) == f"127.0.0.1:{port}"


def test_a_fixed_port_wins_over_a_remembered_one(tmp_path: Path) -> None:
    """What the settings say is what holds."""
    with listener.bind(environment(tmp_path)):
        pass

    assert listener.settled_port(environment(tmp_path, port=65000)) == 65000


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    """The user learns which port, and who has it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(listener.PortTaken) as caught:
            listener.bind(environment(tmp_path, port=port))

    assert f"Port {port} is taken: process {os.getpid()}" in str(caught.value)
    assert not (tmp_path / listener.PORT).exists()


@pytest.mark.parametrize("port", [-1, 65536, "8080", None, True, 1.5])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: object) -> None:
    """The error names the file."""
    with pytest.raises(BadInput, match=r"gateway\.json"):
        listener.settled_port(environment(tmp_path, port=port))


def test_s22_a_half_written_port_is_refused(tmp_path: Path) -> None:
    """Another port would be another address: better none than a wrong one."""
    environment(tmp_path)
    (tmp_path / listener.PORT).write_text('{"po')

    with pytest.raises(BadInput, match=r"port\.json"):
        listener.bind(tmp_path)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [("127.0.0.1", 80, "127.0.0.1:80"), ("::1", 80, "[::1]:80")],
)
def test_an_address_is_written_as_in_a_url(host: str, port: int, expected: str) -> None:
    """IPv6 needs its brackets."""
    assert listener.host_port(host, port) == expected


def test_a_log_stays_small_and_keeps_its_end(tmp_path: Path) -> None:
    """The writer goes on in the same file."""
    log = tmp_path / "engine.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old" * 100 + b"end")
        rotate(tmp_path, limit=100)
        writer.write(b"new")

    assert log.read_bytes() == b"new"
    old = (tmp_path / "engine.log.1").read_bytes()
    assert len(old) == 100
    assert old.endswith(b"end")


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    """Nothing is cut before the limit."""
    (tmp_path / "engine.log").write_bytes(b"few")
    rotate(tmp_path, limit=100)

    assert [path.name for path in tmp_path.iterdir()] == ["engine.log"]


def test_last_words_are_those_of_this_life(tmp_path: Path) -> None:
    """What an earlier process has said explains nothing."""
    log = tmp_path / "engine.log"
    log.write_text("an older crash\n")
    since = log.stat().st_size
    assert tail(log, since) == ""

    with log.open("a") as writer:
        writer.write("one\n\ntwo\nthree\n" + "x" * 1000)

    assert tail(log, since) == "three | " + "x" * 300
    assert tail(tmp_path / "none.log") == ""


def test_the_supervisor_stays_small() -> None:
    """It imports none of the libraries that would double its memory."""
    code = (
        "import sys, serving.supervisor.run;"
        " print(*sorted({'pydantic', 'jinja2', 'aiohttp', 'yaml'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout.strip() == b""
