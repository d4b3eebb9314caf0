"""The probe service, served through the real chain on a real socket, and a client of it.

Tests script its methods: `probe.on["Watch"] = …`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.transport.collector import Collector
from marketd.transport.edge.rates import Rates
from marketd.transport.refusals import BearerTokenInvalid
from marketd.transport.server import BuiltServer, ServerOptions, build_server

from tests.worlds.probe_service import METHODS, SERVICE, Answer, Question, Servicer, add_probe

GUESTS = GuestTokens(b"0123456789abcdef")


class Tokens:
    """An authenticator over a dict; `verified` are the tokens that `cached` knows, `revoked` are service accounts."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}
        self.verified: set[str] = set()
        self.revoked: set[UUID] = set()

    def issue(self, *roles: Role, expires: float | None = None) -> str:
        token = f"token-{len(self.callers)}"
        if roles == (Role.GUEST,):
            return GUESTS.issue(uuid4())
        self.callers[token] = Caller(uuid4(), uuid4(), frozenset(roles), "", expires)
        return token

    def cached(self, token: str) -> Caller | None:
        return self.callers[token] if token in self.verified else None

    async def authenticate(self, token: str) -> Caller:
        await asyncio.sleep(0)
        caller = self.callers.get(token)
        if caller is None:
            raise BearerTokenInvalid
        self.verified.add(token)
        return caller

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        return None

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        await asyncio.sleep(0)
        if service_account_id in self.revoked:
            raise BearerTokenInvalid
        return Caller(service_account_id, service_account_id, frozenset({Role.SERVICE}))


_TRIES = 10


def _lost_by_the_client(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc.aio's client made an error of its own of a status that came while it still wrote its requests.

    The server's INTERNAL always has details.
    """
    return error.code() is grpc.StatusCode.INTERNAL and "grpc-status-details-bin" not in dict(
        error.trailing_metadata() or ()
    )


@dataclass(frozen=True)
class Refused:
    """A non-OK status, taken apart; building one checks what the contract promises of every status."""

    code: str
    reason: str
    message: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None
    details_bytes: int
    trailing: dict[str, Any]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Refused:
        trailing = dict(error.trailing_metadata())
        raw = trailing["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(raw)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        found: dict[str, list[Any]] = {}
        for packed in status.details:
            kind = packed.type_url.rpartition(".")[2]
            detail = getattr(error_details_pb2, kind)()
            packed.Unpack(detail)
            found.setdefault(kind, []).append(detail)
        (info,) = found["ErrorInfo"]
        assert info.domain == "marketplace.dev"
        assert trailing["x-request-id"]
        violations = [v for bad in found.get("BadRequest", ()) for v in bad.field_violations]
        retry = [info.retry_delay.ToNanoseconds() / 1e9 for info in found.get("RetryInfo", ())]
        return cls(
            error.code().name,
            info.reason,
            error.details() or "",
            dict(info.metadata),
            {violation.field: violation.description for violation in violations},
            retry[0] if retry else None,
            len(raw),
            trailing,
        )

    @property
    def why(self) -> tuple[str, str]:
        return self.code, self.reason


class Probe:
    """The served probe and a client of it that sends bytes, so that it can send bad ones."""

    question, answer = Question, Answer
    # Here too, so that a test about statuses needs no grpc of its own.
    code, error = grpc.StatusCode, grpc.aio.AioRpcError

    def __init__(self, servicer: Servicer, tokens: Tokens, server: BuiltServer, lines: list[str]) -> None:
        self.on = servicer.on
        self.tokens = tokens
        self.server = server
        self._lines = lines
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )

    async def log(self) -> list[dict[str, Any]]:
        """The access log, once every call is over (a client may have its status before the handler returns)."""
        assert await self.server.calls.idle(5)
        self.server.accounting.flush()
        return self.lines()

    def lines(self) -> list[dict[str, Any]]:
        """What the access log has now."""
        return [json.loads(line) for text in self._lines for line in text.splitlines()]

    def call(
        self,
        method: str,
        *requests: Any,
        token: str | None = None,
        metadata: Iterable[tuple[str, str]] = (),
        timeout: float | None = 10.0,
        path: str = "",
    ) -> Any:
        """Start the rpc with these requests (messages or bytes); a stream of requests is closed after them, if any."""
        _, _, _, up, down = METHODS.get(method, ("", 0, 0, False, False))
        kind = f"{'stream' if up else 'unary'}_{'stream' if down else 'unary'}"
        stub = getattr(self.channel, kind)(path or f"/{SERVICE}/{method}", response_deserializer=Answer.FromString)
        pairs = [*metadata, *([("authorization", f"Bearer {token}")] if token else [])]
        raw = [r if isinstance(r, bytes) else r.SerializeToString() for r in requests]
        if not up:
            return stub(raw[0] if raw else b"", metadata=pairs, timeout=timeout)
        return stub(_each(raw) if raw else None, metadata=pairs, timeout=timeout)

    async def result(self, method: str, *requests: Any, **options: Any) -> list[str]:
        """The texts of all answers."""
        call = self.call(method, *requests, **options)
        if METHODS[method][4]:
            return [answer.text async for answer in call]
        return [(await call).text]

    async def trailing(self, method: str, *requests: Any, **options: Any) -> dict[str, Any]:
        """The trailing metadata of an rpc that succeeds."""
        call = self.call(method, *requests, **options)
        if METHODS[method][4]:
            assert [answer async for answer in call]
        else:
            await call
        return dict(await call.trailing_metadata())

    async def failed(self, method: str, *requests: Any, **options: Any) -> grpc.aio.AioRpcError:
        """The error with which the rpc must fail."""
        for _ in range(_TRIES):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await self.result(method, *requests, **options) if method in METHODS else await self.call(
                    method, *requests, **options
                )
            if not _lost_by_the_client(caught.value):
                break
        return caught.value

    async def refused(self, method: str, *requests: Any, **options: Any) -> Refused:
        """The status with which the rpc must fail."""
        return Refused.of(await self.failed(method, *requests, **options))

    @staticmethod
    def taken_apart(error: grpc.aio.AioRpcError) -> Refused:
        return Refused.of(error)


async def _each(items: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


async def start_probe(*, rates: Rates | None = None, **options: Any) -> Probe:
    """A probe that serves with these ServerOptions; whoever starts it closes its channel and stops its server."""
    servicer, tokens, collector = Servicer(), Tokens(), Collector()
    lines: list[str] = []
    collector.add(add_probe, servicer)
    server = build_server(
        collector,
        replace(ServerOptions(), **options),
        authenticator=tokens,
        fingerprint_secret=b"0123456789abcdef",
        guest_cart=GUESTS.read,
        rates=rates,
        access_log=lines.append,
    )
    await server.start()
    return Probe(servicer, tokens, server, lines)
