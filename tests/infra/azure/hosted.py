"""A language host in this process: the engine attaches to it, and the program runs here.

So the SDK is imported once and not once a stack, and a test can give the engine any program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

from infra.__main__ import main
from tests.infra.azure.recorded import uncollected


@contextmanager
def hosted(program: Callable[[], None] = main) -> Iterator[str]:
    """The engine's argument that makes it run ``program`` here."""

    loops: list[asyncio.AbstractEventLoop] = []

    def run() -> None:
        loops.append(asyncio.get_running_loop())
        with uncollected():
            program()

    add = partial(language_pb2_grpc.add_LanguageRuntimeServicer_to_server, LanguageServer(run))
    try:
        with served(add) as address:
            yield f"--client={address}"
    finally:
        for loop in loops:  # the SDK leaves one open where what it cancels at the end fails
            loop.close()


@contextmanager
def served(add: Callable[[grpc.Server], None]) -> Iterator[str]:
    """The address of a server here; when the block has ended, so have its threads."""
    threads = futures.ThreadPoolExecutor(2)
    server = grpc.server(threads)
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
        threads.shutdown()
