"""The links of the chain: each is a small named function over the passage, built once for each method at start-up.

A link returns None when it is done, or an awaitable in the rare case that it must wait. It raises a Refusal to end the
rpc. `LINKS` is the order, with the reason for each place; chain.py runs them.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.network import HOUSEHOLD_BITS, SITE_BITS, network_of
from marketd.kernel.slice import Authenticator
from marketd.transport.audit_trail import AuditSink, AuditTrail
from marketd.transport.authentication import bearer
from marketd.transport.deadlines import limit_seconds
from marketd.transport.edge.accounting import Accounting
from marketd.transport.edge.admission import Admission
from marketd.transport.edge.answers import AnswerCache
from marketd.transport.edge.calls import Calls
from marketd.transport.edge.rates import STRICT, Rates
from marketd.transport.edge.tls import PeerServices
from marketd.transport.idempotency import once_key
from marketd.transport.passage import DETAILS, Passage
from marketd.transport.refusals import HeaderRepeated, MalformedRequest, RateLimited, RoleRequired, Unauthenticated
from marketd.transport.rules import Idempotency, Kind, Open, RateClass, Rule
from marketd.transport.streams import EOF
from marketd.transport.validation import Parse, Validation

Step = Callable[[Passage], Awaitable[None] | None]
_T = TypeVar("_T")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}", re.ASCII)
_PROCESS = secrets.token_hex(8)
_COUNT = itertools.count(1)
# What is read of a call's metadata and has one value; x-forwarded-for is a list.
_SINGLE = frozenset({"authorization", "x-request-id"})
_NOT_SIGNED_IN = frozenset({Role.GUEST, Role.VIEWER})


@dataclass(frozen=True, slots=True)
class Edge:
    """What the links work with; one for a server."""

    authenticator: Authenticator
    rates: Rates
    answers: AnswerCache
    calls: Calls
    admission: Admission
    accounting: Accounting
    validation: Validation
    fingerprint_secret: bytes
    message_seconds: float
    """How long a call may take to send its one message; an inline upload has its method's own limit."""
    trusted_proxy_hops: int
    services: PeerServices | None
    audit: AuditSink | None


@dataclass(frozen=True, slots=True)
class Link:
    """One place in the chain. `build` makes the method's step, or None when the method has no use for this link."""

    name: str
    why: str
    build: Callable[[Edge, Rule], Step | None]


def request_id(edge: Edge, rule: Rule) -> Step:
    """Read the metadata once, give the rpc its correlation id and make it the current call."""
    hops = edge.trusted_proxy_hops

    def step(passage: Passage) -> None:
        metadata = DETAILS.get().invocation_metadata
        headers = passage.headers = dict(metadata)
        passage.proxy_hops = hops
        call = passage.call
        given = headers.get("x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            call.correlation_id = given
        else:
            call.correlation_id = f"{_PROCESS}-{next(_COUNT):x}"
        call.user_agent = headers.get("user-agent", "")
        kernel_call.enter(call)
        if len(headers) != len(metadata):
            _judge_repeated(headers, metadata)

    return step


def _judge_repeated(headers: dict[str, Any], metadata: Iterable[tuple[str, Any]]) -> None:
    """Join the lists among the headers that came more than once; raises HeaderRepeated for one that must not.

    Of two tokens one is somebody else's guess at which of them counts: a proxy's, or an attacker's.
    """
    seen: set[str] = set()
    forwarded: list[str] = []
    for name, value in metadata:
        if name in seen and name in _SINGLE:
            raise HeaderRepeated(name)
        seen.add(name)
        if name == "x-forwarded-for":
            forwarded.append(value)
    if forwarded:
        headers["x-forwarded-for"] = ",".join(forwarded)


def log_and_metrics(edge: Edge, rule: Rule) -> Step:
    """Count the call as open; its line and its figures are noted in `leave`, whatever happens in between."""
    return edge.calls.open


def errors(edge: Edge, rule: Rule) -> None:
    """The `except` clause around everything below: errors.finish. It stands in the list for its place."""


def audit(edge: Edge, rule: Rule) -> None:
    """What `audit_trail_of` makes is asked at the end, by the funnel or with the answer; this keeps its place."""


def audit_trail_of(edge: Edge, rule: Rule) -> AuditTrail | None:
    """The trail of an audited method."""
    return AuditTrail(edge.audit, rule) if rule.audit and edge.audit is not None else None


def admission(edge: Edge, rule: Rule) -> Step:
    """Refuse when draining or full, and say by when the call's one message must be here."""
    if takes_stream(rule):
        return edge.admission.admit_stream
    unary = rule.kind is Kind.UNARY
    if rule.vital:
        admit = edge.admission.admit_health_check if unary else edge.admission.admit_health_watch
    else:
        admit = edge.admission.admit_arriving
    own_limit = limit_seconds(rule) if rule.rate_class is RateClass.UPLOAD else None
    seconds = own_limit or edge.message_seconds

    def step(passage: Passage) -> None:
        passage.message_due = passage.started + seconds
        admit(passage)

    return step


def authentication(edge: Edge, rule: Rule) -> Step | None:
    """Turn the bearer token into the caller; a bad one is always refused.

    Without one the caller is the internal service that the connection's certificate names, or anonymous. A certificate
    that stands for a service account is good for as long as the account is.
    """
    if rule.vital:
        return None
    authenticator, services = edge.authenticator, edge.services
    cached = authenticator.cached
    limit = limit_seconds(rule)
    identify = edge.calls.identify if rule.kind is not Kind.UNARY else None

    def accept(passage: Passage, caller: Caller) -> None:
        passage.call.caller = Caller(caller.user_id, caller.session_id, caller.roles, passage.address, caller.expires)
        if identify is not None:
            identify(passage)

    async def wait(passage: Passage, verified: Awaitable[Caller]) -> None:
        accept(passage, await verified)

    def verify(passage: Passage, verify_it: Callable[[_T], Awaitable[Caller]], what: _T) -> Awaitable[None]:
        bound(passage, limit)  # it may ask the database, which wants to know how long
        return wait(passage, verify_it(what))

    def by_certificate(passage: Passage) -> Awaitable[None] | None:
        service = services.find(passage.context) if services is not None else None
        if service is None:
            passage.call.caller = Caller(None, None, frozenset(), passage.address)
        elif not service.is_account:
            accept(passage, service.caller(passage.address))
        elif (known := authenticator.cached_service(service.service_id)) is not None:
            accept(passage, known)
        else:
            return verify(passage, authenticator.authenticate_service, service.service_id)
        return None

    def step(passage: Passage) -> Awaitable[None] | None:
        header = passage.headers.get("authorization")
        if header is None:
            return by_certificate(passage)
        token = passage.call.token = bearer(header)
        caller = cached(token)
        if caller is None:
            return verify(passage, authenticator.authenticate, token)
        accept(passage, caller)
        return None

    return step


def access(edge: Edge, rule: Rule) -> Step | None:
    """Hold the caller against the rule."""
    allowed = rule.access
    if allowed is Open.PUBLIC:
        return None
    if isinstance(allowed, Open):

        def signed_in(passage: Passage) -> None:
            caller = passage.call.caller
            if caller.user_id is None and not caller.roles:
                raise Unauthenticated
            if caller.roles and caller.roles <= _NOT_SIGNED_IN:
                raise RoleRequired(())

        return signed_in

    def in_role(passage: Passage) -> None:
        caller = passage.call.caller
        if allowed.isdisjoint(caller.roles):
            if caller.user_id is None and not caller.roles:
                raise Unauthenticated
            raise RoleRequired(allowed)

    return in_role


def rate(edge: Edge, rule: Rule) -> Step | None:
    """Count the call against its class, by account (a service is one too) where there is one, else by address.

    An IPv6 address counts as its /64, and where something is guessed at as its /56. An account's open streams are
    bounded here too: its number is a limit like the others, and an account is known by now.
    """
    if rule.vital:
        return None
    take, rate_class, by_both = edge.rates.take, rule.rate_class, rule.rate_class in STRICT
    bits = SITE_BITS if by_both else HOUSEHOLD_BITS
    limit = limit_seconds(rule)

    async def ask(passage: Passage, keys: tuple[UUID | str, ...]) -> None:
        bound(passage, limit)  # the buckets are asked for in the database, which wants to know how long
        for key in keys:
            if wait := await edge.rates.ask(rate_class, key):
                raise RateLimited(rate_class.value, wait)

    def step(passage: Passage) -> Awaitable[None] | None:
        user_id = passage.call.caller.user_id
        if by_both and user_id is not None:
            network = network_of(passage.address, bits)
            wait = take(rate_class, network)
            if wait:
                raise RateLimited(rate_class.value, wait)
            other = take(rate_class, user_id)
            if other:
                raise RateLimited(rate_class.value, other)
            unsure = tuple(key for key, known in ((network, wait), (user_id, other)) if known is None)
            return ask(passage, unsure) if unsure else None
        key = user_id or network_of(passage.address, bits)
        wait = take(rate_class, key)
        if wait is None:
            return ask(passage, (key,))
        if wait:
            raise RateLimited(rate_class.value, wait)
        return None

    def stream(passage: Passage) -> Awaitable[None] | None:
        edge.admission.admit_stream_of_account(passage)
        return step(passage)

    return step if rule.kind is Kind.UNARY else stream


def message(edge: Edge, rule: Rule) -> Step | None:
    """Read the one request. A call is met at its headers, so the wait for its message is ours to count and to end."""
    if takes_stream(rule):
        return None
    arrived, vital = edge.calls.arriving.discard, rule.vital
    admit = edge.admission.admit_unary if rule.kind is Kind.UNARY else edge.admission.admit_stream

    async def read(passage: Passage) -> None:
        raw = await passage.context.read()
        if raw is EOF:
            raise MalformedRequest
        passage.raw = raw
        passage.message_due = 0.0
        if not vital:
            arrived(passage)
            admit(passage)

    return read


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
    """Make the request a message that keeps its contract. Streamed requests are parsed one by one as they are read."""
    if takes_stream(rule):
        return None
    parse: Parse = edge.validation.parser(rule)

    def step(passage: Passage) -> None:
        passage.message = parse(passage.raw or b"")

    return step


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


def bound(passage: Passage, limit: float | None) -> None:
    """Set the call's deadline, unless it is set.

    Nothing is armed here. The transactor bounds database work by `call.deadline`, the core cancels a call when the
    client's own deadline passes, and Calls.run ends what is left: a timer for each call would cost ten times as much.
    """
    if passage.call.deadline is None:
        remaining = passage.context.time_remaining()
        if limit is not None and (remaining is None or remaining > limit):
            remaining = limit
        if remaining is not None:
            passage.call.deadline = time.monotonic() + remaining


def takes_stream(rule: Rule) -> bool:
    """Whether the requests stream."""
    return rule.kind in (Kind.CLIENT_STREAM, Kind.BIDI)


def keeps_answers(rule: Rule) -> bool:
    """Whether answers may be kept as bytes: plain reads only."""
    return rule.kind is Kind.UNARY and rule.rate_class is RateClass.READ and rule.idempotency is Idempotency.NONE


LINKS = (
    Link("request id", "first, because everything that follows may want to name the call", request_id),
    Link("access log and metrics", "around all the rest: a refused call is counted as well", log_and_metrics),
    Link("errors", "inside the log, so that it sees the code; around all that may refuse", errors),
    Link("audit", "around all that may refuse, and before the status goes out: whoever sees it finds the entry", audit),
    Link("admission", "before anything is spent on the caller: a full server must refuse cheaply", admission),
    Link("authentication", "before the bytes are looked at: strangers learn nothing from our parser", authentication),
    Link("access", "before the rate: a call that may never pass takes nothing from a limit", access),
    Link("rate", "before the costly part, parsing and the handler", rate),
    Link("message", "after all that needs only the headers: whoever is refused there sends no megabytes", message),
    Link(
        "answers", "after access and rate, which hold for cached answers too; before parsing, which it saves", answers
    ),
    Link("parse and validation", "the handler sees only requests that keep the contract", parse_and_validate),
    Link("same answers", "needs the parsed request, from which the bytes are made that mean the same", same_answers),
    Link("idempotency", "needs the parsed request and the caller", idempotency),
    Link("deadline", "last before the handler, whose work it bounds", deadline),
)
