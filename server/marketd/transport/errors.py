"""The one funnel: whatever a handler or a link raises becomes a status here, or nowhere.

A Refusal becomes a rich status (google.rpc.Status with exactly one ErrorInfo). Everything else is a bug of ours and
goes out as INTERNAL with the correlation id; its text and trace go to the log only. Sizes are capped, because trailers
over 16 KiB would turn any error into another one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Iterator
from typing import Any, Final

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types

from marketd.kernel.call.reasons import Code
from marketd.kernel.call.refusals import DeadlineExceeded, Draining, Overloaded, Refusal
from marketd.transport.audit_trail import AuditTrail
from marketd.transport.last_words import error_message
from marketd.transport.passage import Passage
from marketd.transport.refusals import Internal
from marketd.transport.rules import Kind

_log = structlog.get_logger(__name__)

DOMAIN = "marketplace.dev"
MAX_MESSAGE_BYTES = 1024
MAX_DETAILS_BYTES = 4096
MAX_VIOLATIONS = 20
_MAX_TEXT_BYTES = 256
_MAX_METADATA = 16
_MORE_BYTES = 64
# The status waits behind what a reader has not read; the call counts as open no longer than this.
_STATUS_SECONDS = 1.0

STATUS_CODES = {code: grpc.StatusCode[code.value] for code in Code}


async def finish(passage: Passage, problem: BaseException, trail: AuditTrail | None = None) -> None:
    """End the rpc with the status that `problem` means; returns without AbortError when a reader does not take it.

    The `trail` of an audited method leaves its entry before the status goes out. Raises what grpcio must see itself:
    AbortError, and the CancelledError of a client that went away.
    """
    context = passage.context
    refusal = _refusal(passage, problem)
    passage.code, passage.reason = refusal.code.value, refusal.reason.value
    passage.ending = refusal  # from here on nobody ends it a second time
    if trail is not None:
        await trail.attest(passage)
    if context.done():  # the answer was already sent: there is nobody left to tell
        return
    message, details = _READY.get(type(refusal)) or _packed(refusal)
    metadata = passage.trailing()
    metadata.append(("grpc-status-details-bin", details))
    if refusal.retry_after_seconds is not None:
        # What HTTP clients know, in whole seconds; RetryInfo says it exactly.
        metadata.append(("retry-after", str(math.ceil(refusal.retry_after_seconds))))
    if passage.opening is not None:
        await passage.opening.settle()
    abort = context.abort(STATUS_CODES[refusal.code], message, tuple(metadata))
    if passage.rule.kind is Kind.UNARY:
        await abort
    if _is_told_in_stream(passage):
        abort = _tell_first(context, details, abort)
    status = asyncio.ensure_future(abort)
    status.add_done_callback(_seen)  # a client that goes away while we wait ends it with an error that nobody awaits
    await asyncio.wait([status], timeout=_STATUS_SECONDS)
    if status.done():
        status.result()
    # A reader that does not read: the status waits behind what lies before it. The call is over for us and counted as
    # such; `send_status` waits on, so that Unread knows what is still there.
    passage.status = status


def _is_told_in_stream(passage: Passage) -> bool:
    """Whether the error is the last line of a stream of JSON, whose reader sees no trailers.

    Before the headers it is the HTTP status instead, and what waits to be written lets nothing past.
    """
    if passage.opening is None or not passage.opening.has_begun or passage.writing_since:
        return False
    return passage.call.by_http


async def _tell_first(context: Any, details: bytes, abort: Awaitable[None]) -> None:
    try:
        await context.write(error_message(details))
    finally:
        await abort


def _seen(status: asyncio.Future[None]) -> None:
    if not status.cancelled():
        status.exception()


async def send_status(passage: Passage) -> None:
    """Wait for a status that `finish` could not send, if there is one; raises AbortError when it has gone out."""
    if passage.status is not None:
        passage.raw = passage.message = None  # it may be long, and may wait long
        await passage.status


def _refusal(passage: Passage, problem: BaseException) -> Refusal:
    """Why the rpc ends; raises what must pass through unchanged."""
    task = passage.task
    if isinstance(problem, grpc.aio.AbortError):
        passage.code = passage.context.code().name
        raise problem
    if passage.ending is not None:
        if task is not None:
            task.uncancel()
        return passage.ending
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, asyncio.CancelledError):
        if task is not None and task.cancelling():
            deadline = passage.call.deadline
            late = deadline is not None and time.monotonic() >= deadline
            passage.code = (Code.DEADLINE_EXCEEDED if late else Code.CANCELLED).value
            raise problem
        # Nobody cancelled this call: a future inside was. Without a status the client would wait forever.
    elif isinstance(problem, grpc.aio.InternalError):
        # A read or write failed because the client is gone, which grpcio hears of a moment later: it would log a
        # traceback for everybody who leaves in the middle of an answer.
        passage.code = Code.CANCELLED.value
        raise asyncio.CancelledError from problem
    elif isinstance(problem, BaseExceptionGroup):
        return _of_group(passage, problem)
    elif not isinstance(problem, Exception):
        raise problem  # KeyboardInterrupt, SystemExit, GeneratorExit
    return _bug(passage, problem)


def _of_group(passage: Passage, group: BaseExceptionGroup[BaseException]) -> Refusal:
    """The reason inside a TaskGroup's exception: a refusal speaks for it only when nothing else went wrong."""
    leaves = list(_leaves(group))
    for leaf in leaves:
        if isinstance(leaf, grpc.aio.AbortError):
            passage.code = passage.context.code().name
            raise leaf  # grpcio insists on the very exception that it made
    strange = [leaf for leaf in leaves if not isinstance(leaf, Refusal | grpc.aio.InternalError)]
    if strange:
        return _bug(passage, group)
    for leaf in leaves:
        if isinstance(leaf, Refusal):
            return leaf
    passage.code = Code.CANCELLED.value
    raise leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for problem in group.exceptions:
        if isinstance(problem, BaseExceptionGroup):
            yield from _leaves(problem)
        else:
            yield problem


def _bug(passage: Passage, problem: BaseException) -> Refusal:
    call = passage.call
    _log.error("rpc failed", method=call.method, request_id=call.correlation_id, exc_info=problem)
    return Internal(call.correlation_id)


def _packed(refusal: Refusal) -> tuple[str, bytes]:
    status = status_of(refusal)
    return status.message, status.SerializeToString()


def status_of(refusal: Refusal) -> status_pb2.Status:
    """The rich status of a refusal: at most 1 KiB of message and 4 KiB in all (one ErrorInfo always stays).

    Of many violations the first are named; the message tells how many more there are.
    """
    text = _cut(refusal.message, MAX_MESSAGE_BYTES - _MORE_BYTES)
    info = error_details_pb2.ErrorInfo(reason=refusal.reason.value, domain=DOMAIN)
    for key, value in list(refusal.metadata.items())[:_MAX_METADATA]:
        info.metadata[_cut(key, 64)] = _cut(value, _MAX_TEXT_BYTES)
    fields = [
        error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, _MAX_TEXT_BYTES), description=_cut(violation.description, _MAX_TEXT_BYTES)
        )
        for violation in refusal.fields[:MAX_VIOLATIONS]
    ]
    preconditions = [
        error_details_pb2.PreconditionFailure.Violation(
            type=_cut(violation.kind, 64),
            subject=_cut(violation.subject, _MAX_TEXT_BYTES),
            description=_cut(violation.description, _MAX_TEXT_BYTES),
        )
        for violation in refusal.preconditions[:MAX_VIOLATIONS]
    ]
    says_it_twice = True
    while True:
        left_out = len(refusal.fields) + len(refusal.preconditions) - len(fields) - len(preconditions)
        message = f"{text} ({left_out} more are not listed)" if left_out else text
        details: list[Message] = [info]
        if fields:
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        if preconditions:
            details.append(error_details_pb2.PreconditionFailure(violations=preconditions))
        if refusal.retry_after_seconds is not None:
            delay = Duration()
            delay.FromNanoseconds(int(refusal.retry_after_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=STATUS_CODES[refusal.code].value[0], message=message)
        if says_it_twice:
            details.append(error_details_pb2.LocalizedMessage(locale="en", message=message))
        for detail in details:
            status.details.add().Pack(detail)
        if status.ByteSize() <= MAX_DETAILS_BYTES:
            return status
        # Too much: the last violations go first, then the second copy of the message, then the metadata's values.
        if fields or preconditions:
            (fields if len(fields) >= len(preconditions) else preconditions).pop()
        elif says_it_twice:
            says_it_twice = False
        else:
            info.metadata.pop(max(info.metadata))


def _cut(text: Any, limit: int) -> str:
    """At most `limit` bytes of UTF-8, cut between characters."""
    whole = str(text)
    if len(whole) * 4 <= limit:
        return whole
    return whole.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


# Given by the thousand when there is least time, and always the same; making one costs more than all else of a refusal.
_READY: Final[dict[type[Refusal], tuple[str, bytes]]] = {
    type(refusal): _packed(refusal) for refusal in (Overloaded(), Draining(), DeadlineExceeded())
}
