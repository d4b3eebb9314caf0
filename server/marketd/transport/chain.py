"""The chain: ONE interceptor with one table, in which every method stands wrapped once, at start-up.

One coroutine a call runs the links in order (links.LINKS) and then the servicer's method. A stack of interceptors, or
wrappers made at each call, would cost a third to a half of the call; one hook that looks the method up costs nothing
that can be measured. grpcio hands over and takes bytes: parsing inside
the chain is what makes malformed bytes a refusal like any other, judged after authentication. All methods are served as
streams of requests, also those that take one: grpcio would read that one before it calls us, so a call that sends none
would be open for as long as its connection, seen by nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty

from marketd.transport.access import AccessTable
from marketd.transport.audit_trail import AuditTrail
from marketd.transport.collector import Collected
from marketd.transport.edge.arriving import Waiting
from marketd.transport.errors import finish, send_status
from marketd.transport.last_words import STREAM_ERRORS
from marketd.transport.links.beginning import audit_trail_of, log_and_metrics, request_id
from marketd.transport.links.common import Edge, keeps_answers, takes_stream
from marketd.transport.links.order import steps_of
from marketd.transport.links.request import refuse_none
from marketd.transport.opening import Opening
from marketd.transport.passage import DETAILS, Passage
from marketd.transport.refusals import MethodUnknown
from marketd.transport.rules import Idempotency, Kind, Open, RateClass, Rule
from marketd.transport.start_errors import HandlersUnfit
from marketd.transport.streams import EOF, Requests, StreamContext
from marketd.transport.validation import Parse

# A label for metrics and the log, which must not take whatever paths strangers invent.
_UNKNOWN = "unknown"


class Chain(grpc.aio.ServerInterceptor):
    """Serves every collected method through the links, and every other path as METHOD_UNKNOWN.

    Nothing is registered behind it: it answers each call from its own table and asks nobody further.
    """

    def __init__(self, edge: Edge, table: AccessTable, methods: Mapping[str, Collected]) -> None:
        """Raises HandlersUnfit for a method that the table does not know, or knows as another kind."""
        unfit = [
            f"{path}: the contract says {rule.kind}" if (rule := table.get(path)) else f"{path}: not in the contract"
            for path, method in methods.items()
            if (rule := table.get(path)) is None or rule.kind is not method.kind
        ]
        if unfit:
            raise HandlersUnfit(unfit)
        self._handlers = {
            rule.method: _handler(edge, rule, methods[rule.method]) for rule in table if rule.method in methods
        }
        self._unknown = _unknown(edge)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of the call. It runs in the task that asks here, so it finds the details decoded."""
        DETAILS.set(handler_call_details)
        return self._handlers.get(handler_call_details.method, self._unknown)


def _handler(edge: Edge, rule: Rule, method: Collected) -> Any:
    parse = edge.validation.parser(rule) if takes_stream(rule) else None
    match rule.kind:
        case Kind.UNARY:
            return grpc.stream_unary_rpc_method_handler(_unary(edge, rule, method))
        case Kind.CLIENT_STREAM if parse is not None:
            return grpc.stream_unary_rpc_method_handler(_client_stream(edge, rule, method, parse))
        case Kind.SERVER_STREAM:
            return grpc.stream_stream_rpc_method_handler(_answer_stream(edge, rule, method, None))
        case _:
            return grpc.stream_stream_rpc_method_handler(_answer_stream(edge, rule, method, parse))


def _leave(edge: Edge, trail: AuditTrail | None = None) -> Callable[[Passage], None]:
    close, done = edge.calls.close, edge.accounting.done

    def leave(passage: Passage) -> None:
        close(passage)
        done(passage)

    if trail is None:
        return leave
    note = trail.note

    def leave_noted(passage: Passage) -> None:
        leave(passage)
        note(passage)  # where the client went away and the funnel had nobody to answer

    return leave_noted


def _plain_read(edge: Edge, rule: Rule, method: Collected) -> Callable[[Any, Any], Awaitable[bytes | None]]:
    """How the reads are served whose answers may be kept.

    Here the wait for the message stands before everything, with a place among those that wait and nothing more: what
    is made before a wait has grown cold after it, and whatever these calls cost is paid for by buyers who look around.
    """
    steps = steps_of(edge, rule)
    # A kept answer ends the way through the links after "answers"; those behind it never wait.
    place = [name for name, _ in steps].index("answers") + 1
    before, after = [step for _, step in steps[:place]], [step for _, step in steps[place:]]
    keep, leave, behaviour, path = edge.answers.keep, _leave(edge), method.behaviour, rule.method
    arriving, seconds, hops = edge.calls.arriving, edge.message_seconds, edge.trusted_proxy_hops

    async def serve(_iterator: Any, context: Any) -> bytes | None:
        waiting = Waiting(context, seconds, hops)
        arriving.add(waiting)
        untimely: BaseException | None = None
        try:
            raw = await context.read()
        except BaseException as problem:  # noqa: BLE001 - the funnel sorts it, as soon as there is a passage
            raw, untimely = EOF, problem
        arriving.discard(waiting)
        passage = Passage(rule, context)
        passage.started, passage.ending = waiting.started, waiting.ending
        try:
            if raw is EOF:
                await _refuse_early(edge, passage, untimely)
            passage.raw = raw
            for step in before:
                pending = step(passage)
                if pending is not None:
                    await pending
            answer = passage.answer
            if answer is None:
                for step in after:
                    step(passage)
                answer = passage.answer
            if answer is None:
                made = await behaviour(passage.message, context)
                answer = made if made.__class__ is bytes else made.SerializeToString()
                if passage.call.cache_tag:
                    keep(path, passage.raw or b"", answer, passage.call.cache_tag, passage.since)
            context.set_trailing_metadata(passage.trailing())
            passage.answer_bytes = len(answer)
            return answer
        except BaseException as problem:  # noqa: BLE001 - the funnel sorts them, and raises those that must go on
            await finish(passage, problem)
            return None
        finally:
            leave(passage)

    return serve


async def _refuse_early(edge: Edge, passage: Passage, problem: BaseException | None) -> NoReturn:
    """Name and count a call that has ended before its message came, and raise why."""
    for step in (request_id(edge, passage.rule), log_and_metrics(edge, passage.rule)):
        step(passage)
    if problem is not None:
        raise problem
    await refuse_none()


def _unary(edge: Edge, rule: Rule, method: Collected) -> Callable[[Any, Any], Awaitable[bytes | None]]:
    if keeps_answers(rule):
        return _plain_read(edge, rule, method)
    trail = audit_trail_of(edge, rule)
    steps, leave, behaviour = [step for _, step in steps_of(edge, rule)], _leave(edge, trail), method.behaviour

    async def serve(_iterator: Any, context: Any) -> bytes | None:
        passage = Passage(rule, context)
        try:
            for step in steps:
                pending = step(passage)
                if pending is not None:
                    await pending
            made = await behaviour(passage.message, context)
            answer: bytes = made if made.__class__ is bytes else made.SerializeToString()
            if trail is not None:
                await trail.attest(passage)
            context.set_trailing_metadata(passage.trailing())
            passage.answer_bytes = len(answer)
            return answer
        except BaseException as problem:  # noqa: BLE001 - as above
            await finish(passage, problem, trail)
            return None
        finally:
            leave(passage)

    return serve


def _client_stream(
    edge: Edge, rule: Rule, method: Collected, parse: Parse
) -> Callable[[Any, Any], Awaitable[bytes | None]]:
    trail = audit_trail_of(edge, rule)
    steps, leave, behaviour = [step for _, step in steps_of(edge, rule)], _leave(edge, trail), method.behaviour

    async def serve(_iterator: Any, context: Any) -> bytes | None:
        passage = Passage(rule, context)
        try:
            for step in steps:
                pending = step(passage)
                if pending is not None:
                    await pending
            made = await behaviour(Requests(passage, parse), StreamContext(passage, parse))
            answer: bytes = made if made.__class__ is bytes else made.SerializeToString()
            if trail is not None:
                await trail.attest(passage)
            context.set_trailing_metadata(passage.trailing())
            passage.answer_bytes = len(answer)
            return answer
        except BaseException as problem:  # noqa: BLE001 - as above
            await finish(passage, problem, trail)
        finally:
            leave(passage)
        await send_status(passage)
        return None

    return serve


def _answer_stream(
    edge: Edge, rule: Rule, method: Collected, parse: Parse | None
) -> Callable[[Any, Any], Awaitable[None]]:
    trail = audit_trail_of(edge, rule)
    steps, leave, behaviour = [step for _, step in steps_of(edge, rule)], _leave(edge, trail), method.behaviour
    generates = method.generates

    async def serve(_iterator: Any, context: Any) -> None:
        passage = Passage(rule, context)
        try:
            for step in steps:
                pending = step(passage)
                if pending is not None:
                    await pending
            opening = passage.opening = Opening(passage.call, context)
            passage.call.by_http = passage.headers.get(STREAM_ERRORS) == "message"
            if parse is not None:
                await passage.open()  # whoever talks both ways may wait for them before it says anything
            guarded = StreamContext(passage, parse)
            argument = passage.message if parse is None else Requests(passage, parse)
            if generates:
                answers = behaviour(argument, guarded)
                try:
                    async for answer in answers:
                        await guarded.write(answer)
                finally:
                    await answers.aclose()  # its `finally` blocks run here, not when the collector finds it
            else:
                await behaviour(argument, guarded)
            if passage.ending is not None:
                raise passage.ending  # the handler took its cancellation for a normal end
            if trail is not None:
                await trail.attest(passage)
            await opening.settle()
            context.set_trailing_metadata(passage.trailing())
        except BaseException as problem:  # noqa: BLE001 - as above
            await finish(passage, problem, trail)
        finally:
            if passage.opening is not None:
                passage.opening.leave()
            leave(passage)
        await send_status(passage)

    return serve


def _unknown(edge: Edge) -> Any:
    """What serves paths that no service has: streams both ways, which is how any client's call can be answered."""
    rule = Rule(_UNKNOWN, Open.PUBLIC, Idempotency.NONE, RateClass.READ, False, Kind.BIDI, Empty, Empty)
    first, leave = (request_id(edge, rule), log_and_metrics(edge, rule)), _leave(edge)

    async def serve(_iterator: Any, context: Any) -> None:
        passage = Passage(rule, context)
        try:
            for step in first:
                step(passage)
            raise MethodUnknown(DETAILS.get().method)
        except BaseException as problem:  # noqa: BLE001 - as above
            await finish(passage, problem)
        finally:
            leave(passage)
        await send_status(passage)

    return grpc.stream_stream_rpc_method_handler(serve)
