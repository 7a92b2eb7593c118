"""A rollout under way while something around it breaks: users are served, and it ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Application, within
from tests.e2e.test_faults import production, wait_for
from tests.e2e.test_rollout import change, kinds
from tests.targets import asking

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("live"),
]


def mount(folder: Path) -> bool:
    """A small file system of its own in ``folder``; False where nobody may do that."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "greenlight-test", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    return False


@pytest.fixture(scope="module")
def application(application: Application) -> Iterator[Application]:
    """Its state is on a small file system, where that can be."""
    mounted = mount(application.state)
    yield application
    if mounted:
        application.remove()
        subprocess.run(["umount", "-l", str(application.state)], check=True)


def ask(application: Application) -> str:
    """The label of the release that answers a user in production."""
    address = application.status()["environments"]["production"]["address"]
    key = (application.state / "keys/production.user.key").read_text().strip()
    return asking.label(address, {"Authorization": f"Bearer {key}"})


class Killer(threading.Thread):
    """Ends what answers for a slot of production, again and again."""

    def __init__(self, application: Application, slot: str) -> None:
        super().__init__(daemon=True)
        self.application, self.slot = application, slot
        self.struck, self.over = threading.Event(), threading.Event()

    def run(self) -> None:
        """Until it is over."""
        while not self.over.wait(0.3):
            for one in self.application.processes("serving.application", f"production {self.slot}"):
                with contextlib.suppress(psutil.Error):
                    one.kill()
                    self.struck.set()


def test_a_blue_that_dies_during_the_rollout_is_not_returned_to_S07(
    application: Application,
) -> None:
    """Users get green's answers; the rollout ends or waits, and never goes back to blue."""
    (blue,) = production(application)["slots"]
    blue_label = ask(application)
    with application.start("ship", *change(application, 21)) as process:
        wait_for(process, "• analyse production/")
        killer = Killer(application, blue)
        killer.start()
        assert killer.struck.wait(60)
        answers = {ask(application) for _ in range(3)}
        _, err = process.communicate(timeout=300)
        last = ask(application)
        killer.over.set()
        killer.join()

    assert blue_label not in {*answers, last}, err
    assert process.returncode in (0, 4), err
    assert "return-begun" not in kinds(application)
    settled = application.run("ship", *change(application, 21))
    assert settled.code == 0, settled.err


def test_a_gateway_that_is_killed_during_the_rollout_keeps_address_and_weights_S23(
    application: Application,
) -> None:
    """It is back at once, and the rollout goes on or returns; it never hangs."""
    with application.start("ship", *change(application, 22)) as process:
        wait_for(process, "• analyse production/")
        address = application.address
        gateways = application.processes("serving.gateway", "production")
        before = application.gateway("routes")["weights"]  # at once: the rollout goes on
        for one in gateways:
            one.kill()
        after = application.gateway("routes")["weights"]
        answered = ask(application)
        _, err = process.communicate(timeout=300)

    assert gateways
    assert answered
    assert address == application.address
    assert before == after
    assert process.returncode in (0, 4, 5), err
    now = production(application)["slots"]
    assert sum(now.values()) == 100
    assert process.returncode == 4 or sorted(now.values()) == [100]


def fill(folder: Path) -> Path:
    """Take all that is left on the file system of ``folder``."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def test_a_full_disk_moves_no_traffic_and_ends_well_when_there_is_room(
    application: Application,
) -> None:
    """No intent, no act: the error says what is full, and the next ship goes to the end."""
    if not os.path.ismount(application.state):
        pytest.skip("a small file system cannot be mounted here: that takes root")
    words = change(application, 23)
    with application.start("ship", *words) as process:
        wait_for(process, "• analyse production/")
        before = production(application)["slots"]
        filler = fill(application.state)
        _, err = process.communicate(timeout=300)
        during = production(application)["slots"]
    filler.unlink()

    assert before == during
    assert process.returncode == 1, err
    assert "No space left" in err or "room" in err
    assert "Traceback" not in err
    assert within(240, lambda: application.run("ship", *words).code == 0)
    assert sorted(production(application)["slots"].values()) == [100]
    assert application.run("verify").code == 0
