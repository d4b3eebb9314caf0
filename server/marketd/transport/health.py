"""grpc.health.v1: whether this server, and each of its services, takes calls. "" is the readiness of the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from marketd.kernel.call.refusals import NotFound

_Response = health_pb2.HealthCheckResponse
# Asked of the descriptor, because the published types are older than the package.
_ListResponse: Any = GetMessageClass(Default().FindMessageTypeByName("grpc.health.v1.HealthListResponse"))


class Health:
    """The states, and those who watch them. Everything is NOT_SERVING until `set_serving`."""

    def __init__(self, services: Iterable[str]) -> None:
        self._serving = dict.fromkeys(("", *services), False)
        self._watchers: set[asyncio.Event] = set()
        self._draining = False

    def set_serving(self, service: str | None = None) -> None:
        """Say that the service takes calls, or with None that all do; without effect once the server drains."""
        if not self._draining:
            self._set(service, serving=True)

    def set_not_serving(self, service: str | None = None) -> None:
        """Say that the service takes no calls, or with None that none does."""
        self._set(service, serving=False)

    def drain(self) -> None:
        """Say NOT_SERVING for good; those who watch are told, and their streams end."""
        self._draining = True
        self._set(None, serving=False)

    def state(self, service: str) -> bool | None:
        """Whether the service takes calls; None when there is no such service."""
        return self._serving.get(service)

    def states(self) -> dict[str, bool]:
        """Every service's state, the whole server's under ""."""
        return dict(self._serving)

    async def watch(self, service: str) -> AsyncIterator[bool | None]:
        """The state now and whenever it changes; ends after the last one when the server drains."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            told: object = self  # nothing was told yet
            while True:
                changed.clear()
                state = self._serving.get(service)
                if state is not told:
                    told = state
                    yield state  # while it is written things go on, the drain too: what is the case now is asked again
                elif self._draining:
                    return
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _set(self, service: str | None, *, serving: bool) -> None:
        if service is not None and service not in self._serving:
            raise KeyError(service)
        for name in self._serving if service is None else (service,):
            self._serving[name] = serving
        for changed in self._watchers:
            changed.set()


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The wire's side of Health. It differs from grpcio's own in that its refusals are ours."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        state = self._health.state(request.service)
        if state is None:
            raise NotFound("service", request.service[:200])
        return _Response(status=_status(state))

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        states = self._health.states().items()
        return _ListResponse(statuses={name: _Response(status=_status(s)) for name, s in states})

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        async for state in self._health.watch(request.service):
            yield _Response(status=_status(state))


def _status(state: bool | None) -> Any:
    if state is None:
        return _Response.SERVICE_UNKNOWN
    return _Response.SERVING if state else _Response.NOT_SERVING
