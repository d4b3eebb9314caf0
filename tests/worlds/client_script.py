"""A server for the tests of the typed client whose answers each test writes; it keeps what came and when."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from grpc_status import rpc_status
from marketplace_client import MarketplaceClient
from marketplace_client.services import SERVICES

_M = TypeVar("_M", bound=Message)
Context: TypeAlias = Any
Answer: TypeAlias = Callable[["Came"], AsyncIterator[Message]]
"""The messages of an answer, one for a unary call; it may refuse, before or after some."""


class Came(NamedTuple):
    """A call as it came; `number` counts those of its method from 1, `left` is what it has of its deadline."""

    number: int
    at: float
    left: float | None
    metadata: list[tuple[str, str]]
    messages: AsyncIterator[Any]
    context: Context

    async def message(self) -> Any:
        """The next message of the call; the first is the request of one that sends no more."""
        return await anext(self.messages)

    async def refuse(
        self,
        code: grpc.StatusCode,
        reason: str = "",
        *details: Message,
        retry_after: float | None = None,
        correlation_id: str = "",
    ) -> None:
        """End the call: as the server's error funnel does, without a reason as a connection does that breaks."""
        if not reason:
            await self.context.abort(code, "broken")
        info = error_details_pb2.ErrorInfo(reason=reason, domain="marketplace.dev", metadata={"current": "PAID"})
        status = status_pb2.Status(code=code.value[0], message="no")
        status.details.add().Pack(info)
        for detail in details:
            status.details.add().Pack(detail)
        if retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(retry_after * 1e9))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        made: Any = rpc_status.to_status(status)
        if correlation_id:
            made = made._replace(trailing_metadata=(*made.trailing_metadata, ("x-request-id", correlation_id)))
        await self.context.abort_with_status(made)


class Script(grpc.GenericRpcHandler):
    """Answers by the name of the method; what has none is UNIMPLEMENTED."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.came: defaultdict[str, list[Came]] = defaultdict(list)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = _METHODS[details.method]
        answer = self.answers.get(method.name)
        if answer is None:
            return None

        async def told(request: Any, context: Context) -> AsyncIterator[Message]:
            messages = request if method.client_streaming else _only(request)
            number = len(self.came[method.name]) + 1
            metadata = [(str(key), str(value)) for key, value in context.invocation_metadata()]
            call = Came(number, time.monotonic(), context.time_remaining(), metadata, messages, context)
            self.came[method.name].append(call)
            async for message in answer(call):
                yield message

        async def one(request: Any, context: Context) -> Message:
            return await anext(told(request, context))

        kinds: dict[tuple[bool, bool], Any] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        made = kinds[method.client_streaming, method.server_streaming](
            told if method.server_streaming else one,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return cast("grpc.RpcMethodHandler[Any, Any]", made)


async def _only(request: _M) -> AsyncIterator[_M]:
    yield request


_METHODS: dict[str, Any] = {
    f"/{service.descriptor.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.descriptor.methods
}


@asynccontextmanager
async def asking(script: Script, **options: Any) -> AsyncIterator[MarketplaceClient]:
    """A client of the script, on a free port."""
    server = grpc.aio.server(handlers=[script])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with MarketplaceClient(f"127.0.0.1:{port}", **options) as client:
            yield client
    finally:
        await server.stop(None)
