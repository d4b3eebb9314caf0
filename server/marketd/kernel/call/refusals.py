"""The refusals: how a use case says no. A slice's `errors.py` names its own; the ones every slice needs stand here.

A refusal carries what a person or a program needs to go on: code, reason, a sentence, metadata, and where they apply
field violations, precondition violations and a delay. Only transport turns one into a status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from marketd.kernel.call.reasons import Code, Reason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field, by its path in the request, such as `items[2].quantity`."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """One thing in the way: its kind, whose it is (an id), and a sentence."""

    kind: str
    subject: str
    description: str


class Refusal(Exception):
    """A named no. Subclasses declare `code` and `reason` once and fill the rest in their constructor."""

    code: ClassVar[Code]
    reason: ClassVar[Reason]

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        fields: Sequence[FieldViolation] = (),
        preconditions: Sequence[PreconditionViolation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.fields = tuple(fields)
        self.preconditions = tuple(preconditions)
        self.retry_after_seconds = retry_after_seconds


def _name(resource: str) -> str:
    """What people read as `service account` is `service_account` for programs."""
    return resource.replace(" ", "_")


class NotFound(Refusal):
    """There is no such thing, or it is somebody else's: the two look the same."""

    code = Code.NOT_FOUND
    reason = Reason.NOT_FOUND

    def __init__(self, resource: str, identifier: object) -> None:
        super().__init__(
            f"Your account has no {resource}; apply for one first."
            if identifier == "me"
            else f"There is no {resource} '{identifier}', or it is not yours to see.",
            metadata={"resource": _name(resource), "id": str(identifier)},
        )


class AlreadyExists(Refusal):
    """A unique name is taken; `existing_id` is of what has it, where the caller may see that."""

    code = Code.ALREADY_EXISTS
    reason = Reason.ALREADY_EXISTS

    def __init__(self, resource: str, field: str, message: str = "", *, existing_id: UUID | None = None) -> None:
        known = {} if existing_id is None else {"id": str(existing_id)}
        super().__init__(
            message or f"Another {resource} already has this {field}; choose a different one.",
            metadata={"resource": _name(resource), "field": field, **known},
        )


class ValidationFailed(Refusal):
    """A rule that needs the database, or more than one field, was broken."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.VALIDATION_FAILED

    def __init__(self, *violations: FieldViolation) -> None:
        first = violations[0]
        where = f"{first.field}: " if first.field else ""  # a rule of the whole message has no field
        super().__init__(where + first.description, fields=violations)


class PageTokenInvalid(Refusal):
    """A page token that this server did not make, or made for another query or caller."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.PAGE_TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__(
            "The page token does not belong to this query; start again without one.",
            fields=(FieldViolation("page_token", "does not belong to this query"),),
        )


class EtagMismatch(Refusal):
    """The resource changed since the caller read it."""

    code = Code.ABORTED
    reason = Reason.ETAG_MISMATCH

    def __init__(self, current: str) -> None:
        super().__init__(
            "This has changed since you read it; read it again and repeat the change with its new etag.",
            metadata={"etag": current},
        )


class IllegalTransition(Refusal):
    """The resource's state does not allow this step; `message` says what to do where the states do not."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.ILLEGAL_TRANSITION

    def __init__(self, resource: str, current: str, allowed: Sequence[str], message: str = "") -> None:
        can = f"it can only become {' or '.join(allowed)} now" if allowed else "this cannot be done any more"
        super().__init__(
            message or f"The {resource} is {current}; {can}.",
            metadata={"current": current, "allowed": ",".join(allowed)},
            preconditions=(PreconditionViolation("STATE", resource, f"is {current}"),),
        )


class InUse(Refusal):
    """Something else still refers to the resource; `message` says what to do where that is not enough."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.IN_USE

    def __init__(self, resource: str, by: str, message: str = "") -> None:
        super().__init__(
            message or f"The {resource} is still used by {by}; move or remove what uses it first.",
            metadata={"resource": _name(resource), "usedBy": by},
            preconditions=(PreconditionViolation("IN_USE", resource, f"used by {by}"),),
        )


class RequestIdReused(Refusal):
    """The request id came before with another request."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.REQUEST_ID_REUSED

    def __init__(self) -> None:
        super().__init__(
            "This request_id was used for a different request; make a new one.",
            fields=(FieldViolation("request_id", "was used for a different request"),),
        )


class RequestInProgress(Refusal):
    """The first call with this request id is still running."""

    code = Code.ABORTED
    reason = Reason.REQUEST_IN_PROGRESS

    def __init__(self) -> None:
        super().__init__(
            "The first call with this request_id is still running; repeat with the same id.", retry_after_seconds=1.0
        )


class ConcurrentUpdate(Refusal):
    """Others kept changing the same rows until the retries ran out."""

    code = Code.ABORTED
    reason = Reason.CONCURRENT_UPDATE

    def __init__(self) -> None:
        super().__init__("Others are changing the same resource; repeat the call.", retry_after_seconds=0.2)


class DatabaseUnavailable(Refusal):
    """The database did not answer. With `outcome_unknown` the effect may or may not have happened."""

    code = Code.UNAVAILABLE
    reason = Reason.DATABASE_UNAVAILABLE

    def __init__(self, *, outcome_unknown: bool = False) -> None:
        super().__init__(
            "The database went away while the change was being saved; repeat with the same request_id to learn "
            "its outcome."
            if outcome_unknown
            else "The database does not answer; repeat the call.",
            metadata={"outcome": "unknown"} if outcome_unknown else None,
            retry_after_seconds=1.0,
        )


class Overloaded(Refusal):
    """No room for the call right now; nothing was done."""

    code = Code.UNAVAILABLE
    reason = Reason.OVERLOADED

    def __init__(self) -> None:
        super().__init__("The server is busy; repeat the call.", retry_after_seconds=0.5)


class Draining(Refusal):
    """This process is going down; another one takes the call."""

    code = Code.UNAVAILABLE
    reason = Reason.DRAINING

    def __init__(self) -> None:
        super().__init__("This server is shutting down; connect again.", retry_after_seconds=0.25)


class DeadlineExceeded(Refusal):
    """The call's time ran out; a change may or may not have been saved."""

    code = Code.DEADLINE_EXCEEDED
    reason = Reason.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__("The call ran out of time; repeat it with the same request_id or a longer deadline.")
