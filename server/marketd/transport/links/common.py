"""What the links share: what they work with, and the words for what they make."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.slice import Authenticator
from marketd.transport.audit_trail import AuditSink
from marketd.transport.edge.accounting import Accounting
from marketd.transport.edge.admission import Admission
from marketd.transport.edge.answers import AnswerCache
from marketd.transport.edge.calls import Calls
from marketd.transport.edge.rates import Rates
from marketd.transport.edge.tls import PeerServices
from marketd.transport.passage import Passage
from marketd.transport.rules import Idempotency, Kind, RateClass, Rule
from marketd.transport.validation import Validation

Step = Callable[[Passage], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Edge:
    """What the links work with; one for a server."""

    authenticator: Authenticator
    guest_cart: Callable[[str], UUID | None]
    """The cart that a token is a guest's token of; None for every other token. It asks nobody."""
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
    if rule.vital or rule.audit:
        return False
    return rule.kind is Kind.UNARY and rule.rate_class is RateClass.READ and rule.idempotency is Idempotency.NONE
