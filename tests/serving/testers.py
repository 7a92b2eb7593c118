"""Keys of callers of pods, and the ConfigMap that lets them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manifests.model import Rendering
from pipelines.targets.kubernetes.callers import FILE, callers_config_map
from serving.keys import digest

KEYS = {role: f"the-key-of-one-{role}" for role in ("user", "tester", "operator")}
DIGESTS = {role: digest(key) for role, key in KEYS.items()}


def callers(r: Rendering) -> dict[str, Any]:
    """The ConfigMap of ``r`` that knows ``KEYS``."""
    return callers_config_map(r, DIGESTS)


def callers_file(r: Rendering) -> str:
    """Its one file."""
    return str(callers(r)["data"][FILE])


def as_(role: str, **headers: str) -> Mapping[str, str]:
    """``headers`` with the key of ``role``."""
    return {**headers, "Authorization": f"Bearer {KEYS[role]}"}
