"""What happens around every call: token, correlation id, deadline, request id, retries, and errors made readable."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from marketplace_client.errors import REQUEST_ID_KEY, MarketplaceError, from_rpc_error
from marketplace_client.methods import METHODS, MethodFacts, Repetition
from marketplace_client.tokens import TokenSource

_Q = TypeVar("_Q")
_R = TypeVar("_R")

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

# Refused at the door: the server says that nothing was begun, so even an unsafe call may come again.
_NOT_BEGUN = frozenset({"OVERLOADED", "DRAINING"})
_STALE_TOKEN = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})

# These make tokens. The server refuses a bad token even where none is needed, so an old one must not come along.
_WITHOUT_TOKEN = frozenset(
    f"/marketplace.auth.v1.AuthService/{name}" for name in ("Register", "Login", "RefreshTokens")
)


def path_of(method: str | bytes) -> str:
    """The path of a method; grpc hands it to interceptors as bytes."""
    return method.decode() if isinstance(method, bytes) else method


def may_repeat(error: MarketplaceError, repetition: Repetition) -> bool:
    """Whether a call that ended so may be sent again without risking a second effect."""
    if error.was_dropped:
        # Reads are repeated by grpc already (the service config); repeating them here too would multiply the attempts.
        return repetition is Repetition.KEYED or error.reason in _NOT_BEGUN
    if error.code is grpc.StatusCode.ABORTED and error.retry_after is not None:
        return repetition is not Repetition.UNSAFE
    return False


def pause_before(attempt: int, error: MarketplaceError) -> float:
    """How long to wait before attempt number `attempt` (2, 3, …): what the server asks, else doubling with jitter."""
    wanted = error.retry_after or 0.0
    own = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 2))
    return max(wanted, own * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def with_request_id(request: Any) -> Any:
    """The request with a `request_id`: its own, or a new one in a copy."""
    if not isinstance(request, Message) or getattr(request, "request_id", None):
        return request
    copy: Any = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())
    return copy


class _Link:
    """What all four kinds of interceptors share."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def _details(
        self, details: grpc.aio.ClientCallDetails, timeout: float | None
    ) -> tuple[grpc.aio.ClientCallDetails, str | None]:
        """The call's details with token and correlation id added, and the token that was added."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if metadata.get(REQUEST_ID_KEY) is None:
            metadata.add(REQUEST_ID_KEY, str(uuid.uuid4()))
        token: str | None = None
        if metadata.get("authorization") is None and path_of(details.method) not in _WITHOUT_TOKEN:
            token = await self._tokens.access_token()
            if token is not None:
                metadata.add("authorization", f"Bearer {token}")
        changed = grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )
        return changed, token

    async def _stream(
        self, details: grpc.aio.ClientCallDetails, begin: Callable[[grpc.aio.ClientCallDetails], Awaitable[Any]]
    ) -> AsyncIterator[Any]:
        """Open a stream and translate how it ends. It is not repeated here: only its reader knows from where."""
        facts = METHODS.get(path_of(details.method))
        timeout = details.timeout if details.timeout is not None or facts is None else facts.timeout_seconds
        changed, _ = await self._details(details, timeout)
        call = await begin(changed)
        return _translated(call, path_of(details.method))


async def _translated(call: Any, path: str) -> AsyncIterator[Any]:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, path) from None
    finally:
        call.cancel()


class UnaryLink(_Link, grpc.aio.UnaryUnaryClientInterceptor):
    """Unary calls: default deadline, one request id for all attempts, a fresh token when the old one was refused."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, _Q], Awaitable[grpc.aio.UnaryUnaryCall[_Q, _R]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: _Q,
    ) -> _R | grpc.aio.UnaryUnaryCall[_Q, _R]:
        """Send the call until it is answered, refused for good, or out of time. Raises MarketplaceError."""
        path = path_of(client_call_details.method)
        facts = METHODS.get(path) or MethodFacts(path, "", "", Repetition.UNSAFE, None)
        timeout = client_call_details.timeout if client_call_details.timeout is not None else facts.timeout_seconds
        end = None if timeout is None else time.monotonic() + timeout
        if facts.repetition is Repetition.KEYED:
            request = with_request_id(request)
        refreshed = False
        attempt = 1
        while True:
            left = None if end is None else max(0.001, end - time.monotonic())
            details, token = await self._details(client_call_details, left)
            try:
                call = await continuation(details, request)
                await call
            except grpc.aio.AioRpcError as raised:
                error = from_rpc_error(raised, path)
            else:
                return call
            if error.reason in _STALE_TOKEN and token is not None and self._tokens.can_refresh and not refreshed:
                # Judged before anything else, so the call has had no effect.
                refreshed = True
                await self._tokens.refresh(token)
                continue
            attempt += 1
            pause = pause_before(attempt, error)
            in_time = end is None or time.monotonic() + pause < end
            if attempt > _ATTEMPTS or not in_time or not may_repeat(error, facts.repetition):
                raise error
            await asyncio.sleep(pause)


class ServerStreamLink(_Link, grpc.aio.UnaryStreamClientInterceptor):
    """Calls that answer with a stream."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, _Q], Awaitable[grpc.aio.UnaryStreamCall[_Q, _R]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: _Q,
    ) -> AsyncIterator[_R] | grpc.aio.UnaryStreamCall[_Q, _R]:
        """Open the stream; reading it raises MarketplaceError."""
        return await self._stream(client_call_details, lambda details: continuation(details, request))


class BidiLink(_Link, grpc.aio.StreamStreamClientInterceptor):
    """Calls that stream both ways."""

    async def intercept_stream_stream(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, AsyncIterable[_Q] | Iterable[_Q]],
            Awaitable[grpc.aio.StreamStreamCall[_Q, _R]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[_Q] | Iterable[_Q],
    ) -> AsyncIterator[_R] | grpc.aio.StreamStreamCall[_Q, _R]:
        """Open the stream; reading it raises MarketplaceError."""
        return await self._stream(client_call_details, lambda details: continuation(details, request_iterator))


def links(tokens: TokenSource) -> list[grpc.aio.ClientInterceptor]:
    """The interceptors of a channel whose calls carry these tokens."""
    return [UnaryLink(tokens), ServerStreamLink(tokens), BidiLink(tokens)]
