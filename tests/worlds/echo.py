"""A server that knows every method of the contract and does nothing: it notes what it was asked, and answers by script.

It stands behind a gateway whose own work is under test: what arrives of a request, and what is made of an answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from marketd.transport.rules import Kind, Rule

Pairs = tuple[tuple[str, str | bytes], ...]
INFO = error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="marketplace.dev", metadata={"kind": "order"})


class Echo(grpc.GenericRpcHandler):
    """The handlers; `on` has the scripts by method, which return an answer or yield several."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.method: rule for rule in rules}
        self.on: dict[str, Callable[[Any, Any], Any]] = {}
        self.seen: list[tuple[str, Message, dict[str, Any]]] = []
        """(method, request, metadata) of every call."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the call."""
        rule = self._rules.get(handler_call_details.method)
        if rule is None:
            return None
        script, metadata = self.on.get(rule.method), dict(handler_call_details.invocation_metadata)

        async def answer(request: Message, context: Any) -> Message:
            self.seen.append((rule.method, request, metadata))
            made: Message = await script(request, context) if script is not None else rule.response()
            return made

        async def answers(request: Message, context: Any) -> AsyncIterator[Message | bytes]:
            self.seen.append((rule.method, request, metadata))
            if script is None:
                yield rule.response()
                return
            async for each in script(request, context):
                yield each

        parse = rule.request.FromString
        if rule.kind is Kind.UNARY:
            return grpc.unary_unary_rpc_method_handler(answer, parse, _raw)
        return grpc.unary_stream_rpc_method_handler(answers, parse, _raw)


def _raw(answer: Message | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def rich(code: int, message: str, *details: Message) -> status_pb2.Status:
    """A status with these details."""
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


async def fail(context: Any, status: status_pb2.Status, *more: tuple[str, str | bytes]) -> None:
    """End the call with this status."""
    code = next(one for one in grpc.StatusCode if one.value[0] == status.code)
    pairs = (("grpc-status-details-bin", status.SerializeToString()), *more)
    await context.abort(code, status.message, pairs)


@asynccontextmanager
async def serving(echo: Echo) -> AsyncIterator[int]:
    """The port at which it serves until the block ends, healthy."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo,))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)
