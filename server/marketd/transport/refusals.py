"""The refusals that only the edge gives: tokens, roles, limits, bytes that are no request, readers that do not read."""

from __future__ import annotations

import math
from collections.abc import Iterable

from marketd.kernel.call.caller import Role
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import Refusal

# Streams that were left behind have ended by then: theirs is the keepalive's time.
_STREAMS_RETRY_SECONDS = 15.0

NO_BEARER = "What 'authorization' says is no bearer token: send 'authorization: Bearer <access token>'."


class Unauthenticated(Refusal):
    """The method needs a token and the call carries none."""

    code = Code.UNAUTHENTICATED
    reason = Reason.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__("This method needs a token: send 'authorization: Bearer <access token>'.")


class BearerTokenInvalid(Refusal):
    """The `authorization` metadata holds no bearer token, or one that this marketplace did not make."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_INVALID

    def __init__(self, text: str = "The token is not valid; refresh it, or sign in again.") -> None:
        super().__init__(text)


class BearerTokenExpired(Refusal):
    """The token's time is over; an open stream ends with it."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_EXPIRED

    def __init__(self) -> None:
        super().__init__("The token has expired; refresh it, or sign in again.")


class RoleRequired(Refusal):
    """The caller holds none of the roles that the method is open to."""

    code = Code.PERMISSION_DENIED
    reason = Reason.ROLE_REQUIRED

    def __init__(self, roles: Iterable[Role], *, withheld: bool = False) -> None:
        """withheld: whether the account has such a role, which counts only in sessions with a second factor."""
        names = ",".join(sorted(roles))
        what_to_do = (
            "your account's role counts only in sessions that were opened with a second factor: set one up with "
            "EnrollTotp and ConfirmTotp where there is none, then sign in with its code."
            if withheld
            else "sign in with an account that has such a role."
        )
        super().__init__(
            f"This method is open to {names.replace(',', ', ')} only; {what_to_do}", metadata={"requiredRoles": names}
        )


class RateLimited(Refusal):
    """The caller, or its address, calls more often than the class of the method allows."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.RATE_LIMITED

    def __init__(self, rate_class: str, retry_after_seconds: float) -> None:
        super().__init__(
            f"Too many calls; wait {math.ceil(retry_after_seconds)} seconds before the next one.",
            metadata={"rateClass": rate_class},
            retry_after_seconds=retry_after_seconds,
        )


class TooManyStreams(Refusal):
    """The account has as many streams open on this server as one account may."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.RATE_LIMITED

    def __init__(self, rate_class: str, most: int) -> None:
        super().__init__(
            f"This account already has {most} streams open; close one before you open another.",
            metadata={"rateClass": rate_class},
            retry_after_seconds=_STREAMS_RETRY_SECONDS,
        )


class MalformedRequest(Refusal):
    """The bytes are no message of this method, or there are none: an empty message is five bytes long in gRPC."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MALFORMED_REQUEST

    def __init__(self) -> None:
        super().__init__("The request is not a message of this method; send one as its .proto says.")


class HeaderRepeated(Refusal):
    """A header that has one value came more than once."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MALFORMED_REQUEST

    def __init__(self, name: str) -> None:
        super().__init__(f"The metadata '{name}' was sent more than once; send it once.")


class RequestTooLarge(Refusal):
    """The message is larger than this method takes."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.VALIDATION_FAILED

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The request is larger than the {limit_bytes} bytes that this method takes; send less at a time."
        )


class MethodUnknown(Refusal):
    """No service of this server has such a method."""

    code = Code.UNIMPLEMENTED
    reason = Reason.METHOD_UNKNOWN

    def __init__(self, method: str) -> None:
        super().__init__(
            "This server has no such method; reflection tells which ones it has.", metadata={"method": method[:200]}
        )


class SlowConsumer(Refusal):
    """The reader of a stream let a write wait too long."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.SLOW_CONSUMER

    def __init__(self) -> None:
        super().__init__("The stream was not read for too long; open it again.", retry_after_seconds=1.0)


class Internal(Refusal):
    """A bug of ours: nothing of it but the correlation id goes out."""

    code = Code.INTERNAL
    reason = Reason.INTERNAL

    def __init__(self, correlation_id: str) -> None:
        super().__init__(
            "Something went wrong on our side; the correlation id finds it in our logs.",
            metadata={"correlationId": correlation_id},
        )
