"""``python -m serving.gateway DIR --fd N``: serve the environment in DIR on the socket N."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from release.errors import BAD_INPUT, DONE, BadInput
from serving.gateway.app import Gateway
from serving.gateway.limits import Limits
from serving.log import configure, log, log_stray
from serving.processes import allow_descriptors


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 2 when the environment's settings are bad."""
    parser = argparse.ArgumentParser(prog="python -m serving.gateway", description=__doc__)
    parser.add_argument("directory", type=Path, help="the environment's folder")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket, inherited")
    options = parser.parse_args(arguments)
    configure()
    os.chdir(options.directory)  # a Unix socket's path has to be short
    allow_descriptors()
    try:
        asyncio.run(_serve(socket.socket(fileno=options.fd)))
    except BadInput as error:
        log.error("cannot start", extra={"why": str(error)})
        return BAD_INPUT
    return DONE


async def _serve(listener: socket.socket) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(log_stray)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(Path(), Limits())
    await gateway.start(listener)
    await stop.wait()
    await gateway.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
