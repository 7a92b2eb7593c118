"""In the place of ``vllm serve``: its HTTP as documented, without a GPU or a model.

What it knows of vLLM: it answers to the names that it was given and to no other, says no in its
own words, and shows figures under ``vllm:``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from tests.targets.xllamacpp_standin import WORKING, Answers, Ports

LONGEST = 2_000
"""Characters of a message; a real one counts tokens."""


class VllmAnswers(Answers):
    """vLLM's answers. ``names`` are those of its model and of its adapters."""

    names: frozenset[str] = frozenset()

    def figures(self) -> str:
        """Only what this stand-in knows."""
        labels = '{model_name="model"}'
        return "".join(
            f"vllm:{name}{labels} {value}\n"
            for name, value in (
                ("num_requests_running", len(WORKING)),
                ("num_requests_waiting", 0),
                ("kv_cache_usage_perc", 0.0),
            )
        )

    def answer(self, body: Any) -> None:
        """As llama.cpp, and more particular about the question."""
        if body.get("model") not in self.names:
            self._refuse(404, "NotFoundError", "The model does not exist.")
        elif len(body["messages"][-1]["content"]) > LONGEST:
            message = "This model's maximum context length is 2000 tokens."
            self._refuse(400, "BadRequestError", message)
        else:
            super().answer(body)

    def _refuse(self, code: int, kind: str, message: str) -> None:
        self.begin("application/json", code)
        error = {"message": message, "type": kind, "param": None, "code": code}
        self.wfile.write(json.dumps({"error": error}).encode())


def main(arguments: list[str]) -> None:
    """``serve MODEL --flags``, as far as they say where to listen and under which names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--served-model-name")
    parser.add_argument("--lora-modules", default="")
    options, _ = parser.parse_known_args(arguments)
    adapters = re.findall(r"([^=\s]+)=", options.lora_modules)
    VllmAnswers.names = frozenset([options.served_model_name, *adapters])
    with Ports(("127.0.0.1", options.port), VllmAnswers) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
