"""The links that read the one request and make it what the handler sees, or answer it at once."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from marketd.transport.deadlines import limit_seconds
from marketd.transport.idempotency import HEADER, once_key, request_id_of
from marketd.transport.links.common import Edge, Step, bound, keeps_answers, takes_stream
from marketd.transport.passage import Passage
from marketd.transport.refusals import MalformedRequest
from marketd.transport.rules import Idempotency, Kind, Rule
from marketd.transport.streams import EOF
from marketd.transport.validation import Parse

_MOMENT_SECONDS = 0.005


def message(edge: Edge, rule: Rule) -> Step | None:
    """Read the one request. A call is met at its headers, so the wait for its message is ours to count and to end.

    Plain reads have theirs already; see chain.
    """
    if takes_stream(rule) or keeps_answers(rule):
        return None
    calls, admission, unary = edge.calls, edge.admission, rule.kind is Kind.UNARY
    if rule.vital:
        arrived = calls.vital_arriving.discard
        admit = admission.admit_health_check if unary else admission.admit_health_watch
    else:
        arrived, admit = calls.arriving.discard, admission.admit_unary if unary else admission.admit_stream

    async def read(passage: Passage) -> None:
        raw = await passage.context.read()
        if raw is EOF:
            await refuse_none()
        passage.raw = raw
        passage.message_due = 0.0
        arrived(passage)
        admit(passage)

    return read


async def refuse_none() -> NoReturn:
    """Raises MalformedRequest for a call that ends without a message."""
    # A call that its client has given up ends in the same way; that it was given up is heard a moment later.
    await asyncio.sleep(_MOMENT_SECONDS)
    raise MalformedRequest


def answers(edge: Edge, rule: Rule) -> Step | None:
    """Answer a hot read from the bytes kept for the same request bytes."""
    if not keeps_answers(rule):
        return None
    get, now, method = edge.answers.get, edge.answers.now, rule.method

    def step(passage: Passage) -> None:
        passage.since = now()
        passage.answer = get(method, passage.raw or b"")

    return step


def same_answers(edge: Edge, rule: Rule) -> Step | None:
    """Answer a hot read whose request means the same as another in other bytes: unknown fields, another order."""
    if not keeps_answers(rule):
        return None
    get, method = edge.answers.get, rule.method

    def step(passage: Passage) -> None:
        said: Any = passage.message
        canonical: bytes = said.SerializeToString(deterministic=True)
        if canonical != passage.raw:
            passage.raw = canonical
            passage.answer = get(method, canonical)

    return step


def parse_and_validate(edge: Edge, rule: Rule) -> Step | None:
    """Make the request a message that keeps its contract. Streamed requests are parsed one by one as they are read.

    The header that may stand for the request id counts where the method takes one, but for streams: theirs is in the
    first message.
    """
    if takes_stream(rule):
        return None
    parse: Parse = edge.validation.parser(rule)

    def step(passage: Passage) -> None:
        passage.message = parse(passage.raw or b"")

    def with_key(passage: Passage) -> None:
        key = passage.headers.get(HEADER)
        passage.message = parse(passage.raw or b"", "" if key is None else request_id_of(key, passage.call.caller))

    return step if rule.idempotency is Idempotency.NONE else with_key


def idempotency(edge: Edge, rule: Rule) -> Step | None:
    """Derive the key under which the transactor keeps the answer."""
    if rule.idempotency is Idempotency.NONE or takes_stream(rule):
        return None
    secret = edge.fingerprint_secret

    def step(passage: Passage) -> None:
        call = passage.call
        call.once = once_key(rule, call.caller, passage.message, secret)

    return step


def deadline(edge: Edge, rule: Rule) -> Step | None:
    """Say until when the work may take: the method's limit, or the client's when that is sooner."""
    limit = limit_seconds(rule)

    def step(passage: Passage) -> None:
        bound(passage, limit)

    return step
