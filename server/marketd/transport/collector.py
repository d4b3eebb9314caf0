"""Takes the handlers out of the generated `add_XServicer_to_server`, so that one dict can serve them all.

Registered methods would cost every call of the server (grpcio waits over one pending task for each of them), so nothing
is ever registered with it: the chain looks methods up in a dict.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from marketd.transport.rules import Kind
from marketd.transport.start_errors import HandlersUnfit

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Collected:
    """One servicer method: an async function, or an async generator function when `generates`."""

    behaviour: Callable[[Any, Any], Any]
    kind: Kind
    generates: bool


def generated_base(servicer: type) -> type:
    """The class that the stubs have for its service, such as OrderServiceServicer."""
    return next(base for base in servicer.__mro__ if base.__module__.endswith("_pb2_grpc"))


def service_of(servicer: type) -> str:
    """The full name of its service, such as `marketplace.order.v1.OrderService`."""
    base = generated_base(servicer)
    return f"{base.__module__.rpartition('.')[0]}.{base.__name__.removesuffix('Servicer')}"


class Collector:
    """Stands where the generated code expects a server, and keeps what it is given."""

    def __init__(self) -> None:
        self.methods: dict[str, Collected] = {}
        self.services: list[str] = []

    def add(self, adder: Callable[[S, Any], None], servicer: S) -> None:
        """Collect a servicer: `collector.add(add_OrderServiceServicer_to_server, OrderServicer(…))`."""
        adder(servicer, self)

    def add_servicer(self, servicer: object) -> None:
        """The same, where the servicer says by its generated base whose it is."""
        base = generated_base(type(servicer))
        self.add(getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server"), servicer)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Ignored: generated code hands over the same methods a second time, by name."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Keep each method's function and kind. Raises HandlersUnfit for one that is not async or was there before."""
        problems: list[str] = []
        self.services.append(service_name)
        for name, handler in method_handlers.items():
            path = f"/{service_name}/{name}"
            behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
            kind = Kind.of(client_streams=handler.request_streaming, server_streams=handler.response_streaming)
            generates = inspect.isasyncgenfunction(behaviour)
            if path in self.methods:
                problems.append(f"{path}: added twice")
            elif not generates and not inspect.iscoroutinefunction(behaviour):
                problems.append(f"{path}: not written, or not `async def`")
            elif generates and not handler.response_streaming:
                problems.append(f"{path}: yields, but has one answer")
            self.methods[path] = Collected(behaviour, kind, generates)
        if problems:
            raise HandlersUnfit(problems)
