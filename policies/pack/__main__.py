"""Started by the engine; whatever goes wrong before the pack listens ends the preview."""

from __future__ import annotations

from policies.pack.pack import serve

serve()
