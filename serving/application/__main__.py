"""``python -m serving.application DIR SLOT``: serve the release in SLOT on run/SLOT.sock.

It also sees to it that the environment has a supervisor: applications are what is left
running when a supervisor is killed, and somebody has to look.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web

from release.errors import BAD_INPUT, DONE, FAILED, BadInput, GreenlightError, Problem
from release.files import read_json
from release.markers import markers
from serving import processes, supervisor
from serving.application.engine import Engine
from serving.application.markers import Neutraliser
from serving.application.prompt import load
from serving.application.server import Application
from serving.slots import SlotSpec, parse_slot

REVIVE_SECONDS = 1.0
FINISH_SECONDS = 4.0
"""For answers in flight after SIGTERM; below the supervisor's patience of 5."""


def read_spec(folder: Path, slot: str, fingerprint: str) -> SlotSpec:
    """The slot's specification. BadInput unless it is the one that this process was started for."""
    file = folder / "run" / f"{slot}.json"
    spec = parse_slot(read_json(file), str(file))
    if spec.fingerprint != fingerprint:
        problem = Problem(f"the specification {fingerprint}", spec.fingerprint, file=str(file))
        raise BadInput(problem)
    return spec


async def _revive(folder: Path) -> None:
    while True:
        await asyncio.sleep(REVIVE_SECONDS)
        try:
            if await asyncio.to_thread(supervisor.revive, folder):
                logging.warning("started a new supervisor")
        except (GreenlightError, OSError) as error:
            logging.error("cannot start a supervisor: %s", error)


async def _serve(folder: Path, slot: str, spec: SlotSpec) -> None:
    prompt = load(spec.bundle, spec.label, Neutraliser(markers(Path(spec.engine.model))))
    application = Application(prompt, Engine.on_socket(spec.engine.socket))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    runner = web.AppRunner(
        application.routes(),
        access_log=None,
        handler_cancellation=True,  # a caller who hangs up stops the engine's work
        shutdown_timeout=FINISH_SECONDS,
    )
    await runner.setup()
    await web.UnixSite(runner, f"run/{slot}.sock").start()
    reviver = asyncio.create_task(_revive(folder))
    await stopped.wait()
    reviver.cancel()
    await runner.cleanup()


def main() -> int:
    """Serve until SIGTERM. Exit code 2 when trying again cannot help."""
    parser = argparse.ArgumentParser(prog="serving.application", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("slot")
    parser.add_argument("--spec", required=True, help="fingerprint of run/SLOT.json")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    try:
        processes.hold(Path("run") / f"{options.slot}.sock.lock")
        spec = read_spec(options.folder, options.slot, options.spec)
        asyncio.run(_serve(options.folder, options.slot, spec))
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except (GreenlightError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
