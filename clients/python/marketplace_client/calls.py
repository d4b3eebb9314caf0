"""What happens around every call: token, correlation id, deadline, request id, retries, and errors made readable."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from marketplace_client.errors import (
    REQUEST_ID_KEY,
    MarketplaceError,
    SignInRequired,
    UnconditionalUpdate,
    from_rpc_error,
)
from marketplace_client.methods import METHODS, MethodFacts, Repetition, TokenUse
from marketplace_client.tokens import OF_TOKENS, STALE, TokenSource, ends_session

_Q = TypeVar("_Q")
_R = TypeVar("_R")

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

# Refused at the door: the server says that nothing was begun, so even an unsafe call may come again.
_NOT_BEGUN = frozenset({"OVERLOADED", "DRAINING"})
# No token came with the call, and it needs one.
_NOBODY = "UNAUTHENTICATED"
# What gRPC makes of `compression=`, which its stubs take for each call.
_COMPRESSION_KEY = "grpc-internal-encoding-request"


def path_of(method: str | bytes) -> str:
    """The path of a method; grpc hands it to interceptors as bytes."""
    return method.decode() if isinstance(method, bytes) else method


def facts_of(details: grpc.aio.ClientCallDetails) -> MethodFacts:
    """What the contract says of the method; of one that it does not know, what is safest."""
    path = path_of(details.method)
    return METHODS.get(path) or MethodFacts(path, "", "", Repetition.UNSAFE, None)


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


def warn_of_lost_update(facts: MethodFacts, request: Any) -> None:
    """Warn, once a method, when an update does not say which state of the resource it was made for."""
    if facts.updates and not getattr(request, facts.updates).etag:
        text = (
            f"{facts.name} without {facts.updates}.etag: it overwrites whatever changed since {facts.updates} was read"
        )
        warnings.warn(text, UnconditionalUpdate, stacklevel=2)


def with_request_id(request: Any) -> Any:
    """The request with a `request_id`: its own, or a new one in a copy."""
    if not isinstance(request, Message) or getattr(request, "request_id", None):
        return request
    copy: Any = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())
    return copy


class _Link:
    """What all kinds of interceptors share.

    The server refuses a bad token even where none is needed, so what is open to everybody goes without one, or again
    without one: a session that ended elsewhere keeps nobody from browsing, or from asking for a new password.
    """

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def _details(
        self, details: grpc.aio.ClientCallDetails, timeout: float | None, token_use: TokenUse
    ) -> tuple[grpc.aio.ClientCallDetails, str | None]:
        """The call's details with token and correlation id added, and the token that was added.

        A token that the caller put into the metadata is the caller's own affair. Raises SignInRequired.
        """
        # A server that inflates nothing for strangers would refuse a compressed call, in words of gRPC.
        metadata = grpc.aio.Metadata(*(pair for pair in details.metadata or () if pair[0] != _COMPRESSION_KEY))
        if metadata.get(REQUEST_ID_KEY) is None:
            metadata.add(REQUEST_ID_KEY, str(uuid.uuid4()))
        token: str | None = None
        if metadata.get("authorization") is None:
            token = await self._token(token_use, path_of(details.method))
            if token is not None:
                metadata.add("authorization", f"Bearer {token}")
        changed = grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )
        return changed, token

    async def _token(self, token_use: TokenUse, path: str) -> str | None:
        if token_use is TokenUse.NEVER:
            return None
        if token_use is TokenUse.WHERE_LIVE:
            return await self._tokens.access_token_if_any()
        token = await self._tokens.access_token()
        if token is None and self._tokens.ended is not None:
            raise SignInRequired.because(self._tokens.ended, path)
        return token

    def _judged(self, error: MarketplaceError, token: str | None, token_use: TokenUse) -> MarketplaceError:
        """The error as the caller gets it; drops the token when the error says that its session is over.

        It is no SignInRequired when other tokens have come since: nobody needs to sign in then.
        """
        if self._tokens.has_other(token):
            return error
        if token is None:
            is_over = error.reason == _NOBODY
        else:
            is_over = ends_session(error, can_refresh=self._tokens.can_refresh)
            if is_over:
                self._tokens.drop(token, error)
            elif error.reason in STALE:
                self._tokens.distrust(token)
        return SignInRequired.because(error) if is_over and token_use is TokenUse.NEEDED else error

    def _is_outdated(
        self, error: MarketplaceError, sent: grpc.aio.ClientCallDetails, token: str | None, token_use: TokenUse
    ) -> bool:
        """Whether the call was refused for a token, or for having none, in whose place there is another by now.

        Not when that is another account's: what one person began is not to be done by the next.
        """
        if token is not None:
            is_of_token = error.reason in OF_TOKENS and not self._tokens.is_somebody_elses(token)
        else:
            had_none = sent.metadata is not None and sent.metadata.get("authorization") is None
            is_of_token = had_none and token_use is TokenUse.NEEDED and error.reason == _NOBODY
        return is_of_token and self._tokens.has_other(token)

    async def _stream(
        self, details: grpc.aio.ClientCallDetails, begin: Callable[[grpc.aio.ClientCallDetails], Awaitable[Any]]
    ) -> AsyncIterator[Any]:
        """Open a stream and translate how it ends. It is not repeated here: only its reader knows from where."""
        facts = facts_of(details)
        timeout = details.timeout if details.timeout is not None else facts.timeout_seconds
        changed, token = await self._details(details, timeout, facts.token_use)
        call = await begin(changed)
        return self._translated(call, facts, token)

    async def _translated(self, call: Any, facts: MethodFacts, token: str | None) -> AsyncIterator[Any]:
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._judged(from_rpc_error(error, facts.path), token, facts.token_use) from None
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
        facts = facts_of(client_call_details)
        timeout = client_call_details.timeout if client_call_details.timeout is not None else facts.timeout_seconds
        end = None if timeout is None else time.monotonic() + timeout
        warn_of_lost_update(facts, request)
        if facts.repetition is Repetition.KEYED:
            request = with_request_id(request)
        token_use, refreshed = facts.token_use, False
        attempt = 1
        first_token: str | None = None
        refused: MarketplaceError | None = None
        while True:
            left = None if end is None else max(0.001, end - time.monotonic())
            details, token = await self._details(client_call_details, left, token_use)
            if refused and token and first_token and self._tokens.are_of_two(first_token, token):
                # What one person began is not to be done by the next, who may have signed in during a pause as well.
                raise refused
            first_token = first_token or token
            try:
                call = await continuation(details, request)
                await call
            except grpc.aio.AioRpcError as raised:
                refused = error = from_rpc_error(raised, facts.path)
            else:
                return call
            # A token is judged before anything else, so a call that is refused for it has had no effect.
            if error.reason in STALE and token is not None and self._tokens.can_refresh and not refreshed:
                refreshed = True
                if await self._refresh(token, token_use) and not self._tokens.is_somebody_elses(token):
                    continue
            if self._is_outdated(error, details, token, token_use) and attempt < _ATTEMPTS:
                attempt += 1
                continue
            refused = self._judged(error, token, token_use)
            if token is not None and error.reason in OF_TOKENS and token_use is TokenUse.WHERE_LIVE:
                token_use = TokenUse.NEVER
                continue
            attempt += 1
            pause = pause_before(attempt, error)
            in_time = end is None or time.monotonic() + pause < end
            if attempt > _ATTEMPTS or not in_time or not may_repeat(error, facts.repetition):
                raise refused
            await asyncio.sleep(pause)

    async def _refresh(self, token: str, token_use: TokenUse) -> bool:
        """Exchange the token; whether there is one now. A call that needs none goes on without one."""
        try:
            await self._tokens.refresh(token)
        except MarketplaceError:
            if token_use is TokenUse.NEEDED:
                raise
            return False
        return True


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


class ClientStreamLink(_Link, grpc.aio.StreamUnaryClientInterceptor):
    """Calls that send a stream. They are not repeated here: what was sent of the stream is gone."""

    async def intercept_stream_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, AsyncIterable[_Q] | Iterable[_Q]],
            Awaitable[grpc.aio.StreamUnaryCall[_Q, _R]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[_Q] | Iterable[_Q],
    ) -> _R | grpc.aio.StreamUnaryCall[_Q, _R]:
        """Send the stream and wait for the answer. Raises MarketplaceError."""
        facts = facts_of(client_call_details)
        timeout = client_call_details.timeout if client_call_details.timeout is not None else facts.timeout_seconds
        details, token = await self._details(client_call_details, timeout, facts.token_use)
        call = await continuation(details, request_iterator)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            raise self._judged(from_rpc_error(error, facts.path), token, facts.token_use) from None
        return call


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
    return [UnaryLink(tokens), ServerStreamLink(tokens), ClientStreamLink(tokens), BidiLink(tokens)]
