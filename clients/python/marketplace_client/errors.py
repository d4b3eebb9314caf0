"""Refusals as one exception: the status code with everything that the server's rich error details say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types

_DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"

_ADVICE = "sign in again"
# What gRPC's core makes of an HTTP status without one of gRPC.
_BARE_429 = re.compile(r"http2 header with status: 429\b", re.IGNORECASE)
_LIMITED_SECONDS = 1.0


@dataclass(frozen=True)
class FieldViolation:
    """A field that breaks the contract; `field` is a path such as `items[2].quantity`."""

    field: str
    description: str


@dataclass(frozen=True)
class PreconditionViolation:
    """One thing that stands in the way, such as a line that is short of stock."""

    type: str
    subject: str
    description: str


class MarketplaceError(Exception):
    """A call that did not succeed.

    `reason` is an ErrorReason of marketplace.errors.v1 without its prefix, and empty when the status was not written by
    the server (a connection that broke, a deadline that passed here). `retry_after` is in seconds, None when the server
    asked for no pause. `correlation_id` finds the call in the server's log.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: Sequence[FieldViolation] = (),
        precondition_violations: Sequence[PreconditionViolation] = (),
        retry_after: float | None = None,
        correlation_id: str = "",
        method: str = "",
    ) -> None:
        super().__init__(code, reason, message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.field_violations = tuple(field_violations)
        self.precondition_violations = tuple(precondition_violations)
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.method = method

    def __str__(self) -> str:
        where = f"{self.method}: " if self.method else ""
        what = f"{self.code.name}/{self.reason}" if self.reason else self.code.name
        fields = "; ".join(f"{violation.field}: {violation.description}" for violation in self.field_violations)
        return f"{where}{what}: {self.message}" + (f" ({fields})" if fields else "")

    @property
    def from_server(self) -> bool:
        """Whether the marketplace itself wrote this status, rather than the connection or this side's deadline."""
        return bool(self.reason)

    @property
    def was_dropped(self) -> bool:
        """Whether the server takes no calls, cannot be reached, or went away under this one; a reason says which.

        A server that leaves may end a call that it has not taken up yet as CANCELLED, and gRPC writes no reason there.
        """
        if self.code is grpc.StatusCode.UNAVAILABLE:
            return True
        return self.code is grpc.StatusCode.CANCELLED and not self.from_server


class SignInRequired(MarketplaceError):
    """Nobody is signed in, or the session is over: sign in again with `login`.

    `reason` says what ended it (SESSION_REVOKED, REFRESH_TOKEN_REUSED, TOKEN_EXPIRED, TOKEN_INVALID, ACCOUNT_BLOCKED),
    or is UNAUTHENTICATED when there was no session. The client has dropped the tokens of a session that is over: what
    is open to everybody can still be called, everything else raises this at once until somebody signs in.
    """

    @classmethod
    def because(cls, error: MarketplaceError, method: str = "") -> SignInRequired:
        """The same refusal, of this call."""
        message = error.message if _ADVICE in error.message else f"{error.message} ({_ADVICE})"
        return cls(
            error.code,
            message,
            reason=error.reason,
            metadata=error.metadata,
            retry_after=error.retry_after,
            correlation_id=error.correlation_id,
            method=method or error.method,
        )


def from_rpc_error(error: grpc.aio.AioRpcError, method: str = "") -> MarketplaceError:
    """The exception for what grpc raised; details that are missing or do not parse leave their fields empty."""
    trailing = list(error.trailing_metadata() or ())
    correlation_id = next((str(value) for key, value in trailing if key == REQUEST_ID_KEY), "")
    packed = next((value for key, value in trailing if key == _DETAILS_KEY), b"")
    status = status_pb2.Status()
    try:
        status.ParseFromString(packed if isinstance(packed, bytes) else packed.encode("latin-1"))
    except DecodeError:
        status.Clear()
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    failure, retry = error_details_pb2.PreconditionFailure(), error_details_pb2.RetryInfo()
    if not status.details and _BARE_429.search(error.details() or ""):
        return _limited(error, correlation_id, method)
    asked_to_retry = False
    for detail in status.details:
        for target in (info, bad, failure):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
        if detail.Is(retry.DESCRIPTOR):
            asked_to_retry = detail.Unpack(retry)
    return MarketplaceError(
        error.code(),
        error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        field_violations=[FieldViolation(each.field, each.description) for each in bad.field_violations],
        precondition_violations=[
            PreconditionViolation(each.type, each.subject, each.description) for each in failure.violations
        ],
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if asked_to_retry else None,
        correlation_id=correlation_id,
        method=method,
    )


def _limited(error: grpc.aio.AioRpcError, correlation_id: str, method: str) -> MarketplaceError:
    """For the limiter of a proxy, which knows nothing of gRPC; read as UNAVAILABLE it would be asked again at once."""
    return MarketplaceError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        error.details() or "",
        reason="RATE_LIMITED",
        retry_after=_LIMITED_SECONDS,
        correlation_id=correlation_id,
        method=method,
    )


class UnconditionalUpdate(UserWarning):
    """An update without the resource's etag overwrites what somebody else changed since it was read."""
