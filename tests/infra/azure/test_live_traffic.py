"""``pulumi up`` beside live traffic: the real engine, the real program, an Azure that remembers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.azure.live_traffic import (
    LiveTrafficError,
    RolloutUnderWayError,
    refuse_in_mid_rollout,
    refuse_with_traffic,
)
from pipelines.engine import executable
from pipelines.recorder import recording
from tests.infra.azure.full_put import FullPut

ROOT = Path(__file__).resolve().parents[3]
SPLIT = {"blue": 70.0, "green": 30.0}
KIND = re.compile(r"/onlineEndpoints/[^/]+$")


@dataclass
class Stack:
    """The staging stack, on a backend of its own."""

    folder: Path
    port: int
    azure: FullPut
    settings: dict[str, Any] = field(default_factory=dict)

    def pulumi(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the engine."""
        here = [str(Path(executable()).parent), str(Path(sys.executable).parent)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}
        environment = kept | {
            "PATH": os.pathsep.join([*here, os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": self.folder.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "x",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_DEBUG_PROVIDERS": f"azure-native:{self.port}",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_STACK": "staging",
        }
        return subprocess.run(
            [executable(), *words, "--non-interactive"], cwd=ROOT, env=environment, text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip

    def up(self) -> subprocess.CompletedProcess[str]:
        """``pulumi up`` as anybody types it: no flag about refreshing."""
        file = self.folder / "Pulumi.staging.yaml"
        file.write_text(yaml.safe_dump({"config": self.settings}))
        return self.pulumi("up", "--yes", "--skip-preview", "--config-file", str(file))

    @property
    def endpoint(self) -> dict[str, Any]:
        """The one online endpoint, as Azure has it; what hangs on it is another provider's."""
        (where,) = (one for one in self.azure.there if KIND.search(one))
        return self.azure.there[where]


@pytest.fixture
def stack(tmp_path: Path, engine: str) -> Iterator[Stack]:
    """Provisioned once, without traffic: deployments are the pipeline's."""
    file = ROOT / "infra/stacks/Pulumi.staging.yaml"
    azure = FullPut()
    with recording(azure) as port:
        made = Stack(tmp_path, port, azure, yaml.safe_load(file.read_text())["config"])
        project = tmp_path / "project"
        project.mkdir()
        (project / "Pulumi.yaml").write_text("name: greenlight\nruntime: python\n")
        assert made.pulumi("stack", "init", "staging", "-C", str(project)).returncode == 0
        first = made.up()
        assert first.returncode == 0, first.stdout + first.stderr
        yield made


@pytest.mark.slow
def test_a_tag_that_changes_at_70_30_leaves_70_30(stack: Stack) -> None:
    """Refused in mid-rollout; told to keep the traffic, the update sends back what it has read."""
    assert "traffic" not in stack.endpoint["properties"]
    stack.endpoint["properties"]["traffic"] = dict(SPLIT)
    stack.settings["greenlight:azure"]["costCentre"] = "cc-2002"

    refused = stack.up()
    assert refused.returncode != 0
    assert "a rollout is under way (blue 70 %, green 30 %)" in refused.stdout + refused.stderr
    assert stack.endpoint["properties"]["traffic"] == SPLIT
    assert stack.endpoint["tags"]["cost-centre"] == "cc-1001"

    stack.settings["greenlight:duringRollout"] = "keep"
    done = stack.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.endpoint["tags"]["cost-centre"] == "cc-2002"
    assert stack.endpoint["properties"]["traffic"] == SPLIT


@pytest.mark.slow
def test_an_endpoint_with_traffic_is_not_deleted(stack: Stack) -> None:
    """Not by a destroy, nor where its application is gone from the settings; told that it is
    meant, the delete goes on."""
    stack.endpoint["properties"]["traffic"] = {"blue": 100.0}
    file = str(stack.folder / "Pulumi.staging.yaml")

    destroyed = stack.pulumi("destroy", "--yes", "--skip-preview", "--config-file", file)
    assert "You must run with the `--run-program` flag" in destroyed.stdout + destroyed.stderr
    assert stack.endpoint["properties"]["traffic"] == {"blue": 100.0}
    stack.settings["greenlight:azure"]["applications"] = []

    refused = stack.up()
    assert refused.returncode != 0
    assert "it has live traffic (blue 100 %)" in refused.stdout + refused.stderr
    assert stack.endpoint["properties"]["traffic"] == {"blue": 100.0}

    stack.settings["greenlight:duringRollout"] = "keep"
    done = stack.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [one for one in stack.azure.there if KIND.search(one)]


def args(
    traffic: Mapping[str, float], mirror: Mapping[str, float] | None = None
) -> pulumi.ResourceHookArgs:
    """A step with an endpoint that has this traffic."""
    outputs = {"properties": {"traffic": traffic, "mirrorTraffic": mirror}}
    return pulumi.ResourceHookArgs("urn", "id", "support-bot", "t", old_outputs=outputs)


@pytest.mark.parametrize("traffic", [{}, {"blue": 100.0}, {"blue": 0.0, "green": 100.0}])
def test_an_endpoint_whose_traffic_rests_may_be_updated(traffic: dict[str, float]) -> None:
    refuse_in_mid_rollout(args(traffic))


def test_one_whose_traffic_is_split_may_not() -> None:
    """The reason names what would end the waiting."""
    with pytest.raises(RolloutUnderWayError, match=r"blue 95 %, green 5 %.*greenlight rollback"):
        refuse_in_mid_rollout(args({"green": 5.0, "blue": 95.0}))


def test_one_whose_traffic_is_mirrored_may_not() -> None:
    """A mirror step is a rollout too: one slot answers, the other one gets a copy."""
    with pytest.raises(RolloutUnderWayError, match=r"blue 100 %, a copy to green 10 %"):
        refuse_in_mid_rollout(args({"blue": 100.0}, mirror={"green": 10.0}))


@pytest.mark.parametrize("traffic", [{"blue": 100.0}, {"blue": 50.0, "green": 50.0}])
def test_one_with_traffic_may_not_be_deleted(traffic: dict[str, float]) -> None:
    with pytest.raises(LiveTrafficError, match=r"support-bot: it has live traffic \(blue"):
        refuse_with_traffic(args(traffic))


@pytest.mark.parametrize("traffic", [{}, {"blue": 0.0}])
def test_one_without_may(traffic: dict[str, float]) -> None:
    refuse_with_traffic(args(traffic))
