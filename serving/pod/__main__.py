"""``python -m serving.pod``: one pod of a slot. The manifests start it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from release.errors import BAD_INPUT, DONE, FAILED, BadInput
from serving.application.engine import Engine
from serving.log import cause, configure, log, log_stray
from serving.pod.app import Pod
from serving.pod.bundle import Bundle, read
from serving.pod.testers import Testers
from serving.processes import allow_descriptors


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Exit code 2 when trying again cannot help."""
    options = _options(arguments)
    configure()
    allow_descriptors()
    try:
        asyncio.run(_serve(options, read(options.bundle)))
    except BadInput as error:
        log.error("cannot start", extra={"why": str(error)})
        return BAD_INPUT
    except OSError as error:
        log.error("cannot listen", extra={"why": cause(error), "port": options.port})
        return FAILED
    return DONE


async def _serve(options: argparse.Namespace, bundle: Bundle) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(log_stray)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = Engine.on_network(options.server, options.model)
    pod = Pod(bundle, options.slot, engine, Testers(options.callers, options.cookie))
    await pod.start(options.host, options.port, options.copies_port)
    await stop.wait()
    await pod.drain(options.drain)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.pod", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="what it serves, as JSON")
    parser.add_argument("--server", required=True, help="the model server's URL")
    parser.add_argument("--model", required=True, help="what the server calls the model")
    parser.add_argument("--slot", required=True, help="the slot that it is in")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    parser.add_argument("--copies-port", type=int, required=True, help="TCP port for a mirror")
    parser.add_argument("--callers", type=Path, help="who is a tester, as JSON; none without it")
    parser.add_argument("--cookie", help="the cookie that pins; needs a tester's key as well")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104
    parser.add_argument("--drain", type=float, required=True, help="seconds for what is in flight")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
