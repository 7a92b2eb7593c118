"""A whole environment of a test's own: its folder, its slots, its callers."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serving import local
from serving.local import EnvironmentFacts, EnvironmentSettings
from serving.slots import SlotSpec
from tests.serving.making import eventually, slot_spec


@dataclass(frozen=True)
class World:
    """An environment of its own for each test."""

    folder: Path
    settings: EnvironmentSettings

    def create(self, **changes: Any) -> EnvironmentFacts:
        return local.create(self.folder, replace(self.settings, **changes))

    def declare(self, **slots: SlotSpec) -> None:
        local.declare(self.folder, slots, fence=1)

    def seen(self) -> dict[str, Any]:
        return local.observed(self.folder)

    def slot(self, name: str = "green") -> dict[str, Any]:
        return dict(self.seen().get("slots", {}).get(name, {}))

    def becomes(self, state: str, name: str = "green") -> dict[str, Any]:
        def now() -> dict[str, Any] | None:
            slot = self.slot(name)
            return slot if slot.get("state") == state else None

        return dict(eventually(now, f"{name} is {state}"))

    def running(self) -> dict[str, int]:
        """Every process of the environment by what it is."""
        return self._pids(self.seen())

    def _pids(self, seen: dict[str, Any]) -> dict[str, int]:
        found = {"supervisor": seen["supervisor"]["pid"], "gateway": seen["gateway"]["pid"]}
        found |= {name: slot["pid"] for name, slot in seen["slots"].items()}
        return found | {f"engine {key}": one["pid"] for key, one in seen["engines"].items()}

    def well(self) -> dict[str, int]:
        """Every process, when gateway and all slots are ready; else nothing."""
        seen = self.seen()
        slots = seen.get("slots", {}).values()
        ready = slots and all(one["state"] == "ready" for one in (*slots, seen["gateway"]))
        return self._pids(seen) if ready else {}

    def call(self, method: str, path: str, body: Any = None, role: str = "operator") -> Any:
        """Ask the gateway; the JSON of a 200, else the status."""
        facts = local.read(self.folder)
        assert facts is not None
        key = local.key_file(self.settings.keys_folder, "staging", role).read_text().strip()
        connection = http.client.HTTPConnection(facts.address.removeprefix("http://"), timeout=120)
        try:
            headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            data = response.read()
            return json.loads(data) if response.status == 200 else response.status
        finally:
            connection.close()

    def ask(self) -> Any:
        """The text of an answer through the gateway, else the status."""
        body = {
            "model": "support-bot",
            "messages": [{"role": "user", "content": "What is the capital?"}],
            "inputs": {"context": "Paris is the capital."},
            "max_tokens": 2,
        }
        answer = self.call("POST", "/v1/chat/completions", body, role="user")
        return answer if isinstance(answer, int) else answer["choices"][0]["message"]["content"]

    def answers(self) -> None:
        """A loaded machine may need longer than the gateway's patience."""
        eventually(lambda: isinstance(self.ask(), str), "a question is answered")

    def serve(self, name: str = "green") -> None:
        """Bring up one slot and give it all traffic."""
        self.create()
        self.declare(**{name: slot_spec()})
        self.becomes("ready", name)
        routes = {"fence": 1, "weights": {name: 100}}
        eventually(lambda: self.call("PUT", "/-/routes", routes) != 422, "the gateway knows it")
