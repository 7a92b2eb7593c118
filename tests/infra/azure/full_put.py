"""An Azure that remembers: a provider that takes resources whole and answers with what is there.

azure-native updates by a full PUT, and reads back what others have written. Both are what a test
of live traffic is about, so both are here; the rest is the recording provider's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import provider_pb2

from pipelines.recorder import Recorder, answered


def _struct(value: dict[str, Any]) -> Any:
    return ParseDict(value, struct_pb2.Struct())


@dataclass
class FullPut(Recorder):
    """``there`` is what Azure holds, by id; ``puts`` are the ids that were written, in order."""

    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)

    def Create(self, request: Any, context: Any) -> Any:
        """Written, and there from now on."""
        made = super().Create(request, context)
        self._put(made.id, MessageToDict(made.properties))
        return made

    def Read(self, request: Any, context: Any) -> Any:
        """What is there now, as properties and as inputs: others may have written it."""
        found = self.there.get(request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        inputs = {**MessageToDict(request.inputs)}
        if "properties" in inputs:
            inputs["properties"] = found["properties"]
        return provider_pb2.ReadResponse(
            id=request.id, properties=_struct(found), inputs=_struct(inputs)
        )

    def Update(self, request: Any, context: Any) -> Any:
        """Whole: what is not sent is gone."""
        found = {**answered(MessageToDict(request.news)), "name": request.id.rsplit("/", 1)[-1]}
        self._put(request.id, found)
        return provider_pb2.UpdateResponse(properties=_struct(found))

    def Delete(self, request: Any, context: Any) -> Any:
        """Gone."""
        self.there.pop(request.id, None)
        return empty_pb2.Empty()

    def _put(self, where: str, what: dict[str, Any]) -> None:
        self.there[where] = what
        self.puts.append(where)
