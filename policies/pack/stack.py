"""What the engine tells of the stack that is planned, before it asks the pack for anything.

Pulumi's SDK keeps the stack's tags and drops its settings, so what it does with that call is done
together with what is needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from release.errors import BadInput

ANALYZER, TOLD = "_PolicyAnalyzerServicer", "ConfigureStack"
"""Where the SDK takes the engine's call; pulumi_policy 1.21 keeps it in ``policy``."""


def when_told(sdk: ModuleType, act: Callable[[Mapping[str, str]], None]) -> None:
    """Let ``act`` have the stack's settings when the engine tells them: texts, JSON among them.

    BadInput that it raises ends the preview, with its words. RuntimeError when the SDK has no such
    place.
    """
    analyzer = getattr(sdk.policy, ANALYZER, None)
    keeps = getattr(analyzer, TOLD, None)
    if not callable(keeps):
        raise RuntimeError(f"this pulumi_policy has no {TOLD}: a stack's settings would be lost")

    def told(self: Any, request: Any, context: Any) -> Any:
        import grpc

        try:
            act(request.config)
        except BadInput as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return keeps(self, request, context)

    setattr(analyzer, TOLD, told)
