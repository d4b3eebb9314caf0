"""Connections to a server that may be hurt meanwhile: calls are sent once, or until it is known what became of them."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import grpc
from google.protobuf.message import Message
from marketd import app as composition
from marketd.transport.access import AccessTable
from marketd.transport.rules import Rule
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace_client.errors import MarketplaceError, from_rpc_error

from tests.worlds.things import PASSWORD

CALL_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 30.0

RULES: Final[dict[type[Message], Rule]] = {rule.request: rule for rule in AccessTable.from_names(composition.SERVICES)}
"""The rpc of each request message; the contract gives every rpc its own."""

# The caller cannot know whether it happened, or it certainly did not: the same request is sent again.
_UNSETTLED_REASONS: Final = frozenset({"REQUEST_IN_PROGRESS", "CONCURRENT_UPDATE"})

_INSIDES: Final = re.compile(r"Traceback|asyncpg|SELECT |postgres://|postgresql://|/usr/")


@dataclass(frozen=True)
class Account:
    """Somebody who may call."""

    user_id: str
    email: str
    token: str


@dataclass(frozen=True)
class Answer:
    """A call's answer as it came over the wire. `is_first`: no try before it may have had the effect, too."""

    payload: bytes
    replayed: bool
    is_first: bool = True


class Lines:
    """Connections to one server, each of its own, used in turn; the kernel spreads them over the workers."""

    def __init__(self, port: int, count: int = 4) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            # Despite its name the time that one attempt to connect may take.
            ("grpc.min_reconnect_backoff_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 250),
            ("grpc.enable_retries", 0),
        ]
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(count)]
        self._next = itertools.cycle(self.channels)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self.channels:
            await channel.close()

    def next(self) -> grpc.aio.Channel:
        """One of the connections."""
        return next(self._next)

    async def raw(
        self,
        account: Account | None,
        request: Message,
        *,
        seconds: float | None = CALL_SECONDS,
        wait_for_ready: bool = False,
        channel: grpc.aio.Channel | None = None,
    ) -> Answer:
        """Send it once. Raises MarketplaceError."""
        rule = RULES[type(request)]
        send: grpc.aio.UnaryUnaryMultiCallable[Message, bytes] = (channel or self.next()).unary_unary(
            rule.method, request_serializer=type(request).SerializeToString, response_deserializer=None
        )
        metadata = (("authorization", f"Bearer {account.token}"),) if account is not None else ()
        call = send(request, timeout=seconds, metadata=metadata, wait_for_ready=wait_for_ready)
        try:
            payload = await call
        except grpc.aio.AioRpcError as raised:
            error = from_rpc_error(raised, rule.method)
            assert_decent(error)
            raise error from None
        trailing = dict(await call.trailing_metadata() or ())
        return Answer(bytes(payload), trailing.get("replayed") == "true")

    def watch(
        self, account: Account, request: Message, *, channel: grpc.aio.Channel | None = None
    ) -> grpc.aio.UnaryStreamCall[Any, Any]:
        """Open a server stream; the caller ends it."""
        rule = RULES[type(request)]
        begin = (channel or self.next()).unary_stream(
            rule.method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=rule.response.FromString,
        )
        return begin(request, metadata=(("authorization", f"Bearer {account.token}"),))

    async def call(self, account: Account | None, request: Message, *, seconds: float = CALL_SECONDS) -> Any:
        """Send it once; the response message. Raises MarketplaceError."""
        answer = await self.raw(account, request, seconds=seconds)
        return RULES[type(request)].response.FromString(answer.payload)

    async def settle(
        self,
        account: Account | None,
        request: Message,
        *,
        seconds: float = SETTLE_SECONDS,
        channel: grpc.aio.Channel | None = None,
    ) -> Answer:
        """Send the same request until it is known what became of it, as a client with a request id may."""
        end = time.monotonic() + seconds
        is_first = True
        while True:
            try:
                answer = await self.raw(account, request, wait_for_ready=True, seconds=5, channel=channel)
                return replace(answer, is_first=is_first)
            except MarketplaceError as error:
                unknown = error.was_dropped or error.code is grpc.StatusCode.DEADLINE_EXCEEDED
                is_first = is_first and not unknown
                if not (unknown or error.reason in _UNSETTLED_REASONS) or time.monotonic() > end:
                    raise
                await asyncio.sleep(error.retry_after or 0.05)

    async def settled(self, account: Account | None, request: Message, channel: grpc.aio.Channel | None = None) -> Any:
        """`settle`, and the response message."""
        answer = await self.settle(account, request, channel=channel)
        return RULES[type(request)].response.FromString(answer.payload)


def assert_decent(error: MarketplaceError) -> None:
    """However badly things stand, a refusal says nothing of our insides (I7), and "not now" says when."""
    assert error.code not in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}, error
    assert not _INSIDES.search(error.message), error
    if error.from_server and error.code is grpc.StatusCode.UNAVAILABLE:
        assert error.retry_after is not None, error


async def open_guest_cart(lines: Lines) -> Account:
    """Somebody with the token of a guest's cart and nothing else."""
    answer = await lines.call(None, cart_service_pb2.CreateGuestCartRequest())
    return Account("", "", answer.guest_token)


async def register(lines: Lines) -> Account:
    """A new account."""
    email = f"{secrets.token_hex(8)}@example.com"
    request = auth_service_pb2.RegisterRequest(email=email, password=PASSWORD, full_name="Ada Lovelace")
    answer = await lines.call(None, request)
    return Account(answer.user.user_id, email, answer.tokens.access_token)


async def as_role(lines: Lines, account: Account, request: Message, channel: grpc.aio.Channel | None = None) -> Any:
    """A call that needs a role which was given just now: every worker knows of it within two seconds."""
    end = time.monotonic() + 5
    while True:
        try:
            return await lines.settled(account, request, channel)
        except MarketplaceError as error:
            if error.reason != "ROLE_REQUIRED" or time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)
