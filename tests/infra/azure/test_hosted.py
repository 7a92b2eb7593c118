"""The language host in this process leaves nothing behind."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import (
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from tests.infra.azure.hosted import hosted, served


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """An engine that takes whatever is declared."""

    def SupportsFeature(self, *_: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=False)

    def RegisterResource(self, *_: Any) -> Any:
        return resource_pb2.RegisterResourceResponse(urn="urn:pulumi:s::p::pulumi:pulumi:Stack::s")

    def RegisterResourceOutputs(self, *_: Any) -> Any:
        return Empty()


def test_a_programs_loop_is_closed_though_a_task_fails_when_it_is_cancelled() -> None:
    """The SDK cancels what is under way at the end, and does not close the loop where that fails:
    some other test of this process would find it much later.
    """
    loops, kept = [], []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("not like this") from None

    def program() -> None:
        loops.append(asyncio.get_running_loop())
        kept.append(asyncio.ensure_future(stubborn()))

    add = partial(resource_pb2_grpc.add_ResourceMonitorServicer_to_server, Monitor())
    with served(add) as engine, hosted(program) as argument:
        address = argument.removeprefix("--client=")
        request = language_pb2.RunRequest(
            project="p", stack="s", parallel=1, dryRun=True, monitor_address=engine
        )
        with (
            grpc.insecure_channel(address) as channel,
            pytest.raises(grpc.RpcError, match="not like"),
        ):
            language_pb2_grpc.LanguageRuntimeStub(channel).Run(request, timeout=60)

    assert [one.is_closed() for one in loops] == [True]
