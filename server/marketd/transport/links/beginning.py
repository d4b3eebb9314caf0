"""The links that meet a call: who it is in the log, and whether there is room for it."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from marketd.kernel.call import call as kernel_call
from marketd.transport.audit_trail import AuditTrail
from marketd.transport.deadlines import UPLOAD_MESSAGE_SECONDS
from marketd.transport.idempotency import HEADER as IDEMPOTENCY_KEY
from marketd.transport.links.common import Edge, Step, keeps_answers, takes_stream
from marketd.transport.passage import DETAILS, Passage
from marketd.transport.refusals import HeaderRepeated
from marketd.transport.rules import Kind, RateClass, Rule

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=+-]{1,128}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}", re.ASCII)
_MOST_LANGUAGES = 20
_WEIGHT = re.compile(r"[qQ]=([01](?:\.[0-9]{0,3})?)", re.ASCII)
_PROCESS = secrets.token_hex(8)
_COUNT = itertools.count(1)
# What is read of a call's metadata and has one value; x-forwarded-for is a list.
_SINGLE = frozenset({"authorization", "x-request-id", IDEMPOTENCY_KEY})


def request_id(edge: Edge, rule: Rule) -> Step:
    """Read the metadata once, give the rpc its correlation id and make it the current call."""
    hops = edge.trusted_proxy_hops

    def step(passage: Passage) -> None:
        metadata = DETAILS.get().invocation_metadata
        headers = passage.headers = dict(metadata)
        passage.proxy_hops = hops
        call = passage.call
        given = headers.get("x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            call.correlation_id = given
        else:
            call.correlation_id = f"{_PROCESS}-{next(_COUNT):x}"
        call.user_agent = headers.get("user-agent", "")
        if accepted := headers.get("accept-language"):
            call.language = first_language(accepted)
        kernel_call.enter(call)
        if len(headers) != len(metadata):
            _judge_repeated(headers, metadata)

    return step


@lru_cache(maxsize=1_000)
def first_language(accepted: str) -> str:
    """The language of `accept-language` that is liked best (RFC 9110), as BCP 47 writes it; empty for none."""
    best, most = "", 0.0
    # Nobody reads more languages; a header of thousands is there to be taken apart.
    for entry in accepted.split(",", _MOST_LANGUAGES)[:_MOST_LANGUAGES]:
        tag, _, weight = entry.partition(";")
        found = _WEIGHT.fullmatch(weight.strip()) if weight else None
        liked = float(found[1]) if found else (0.0 if weight else 1.0)
        if liked > most and _LANGUAGE.fullmatch(tag.strip()):
            best, most = tag.strip(), liked
    return best


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
    """Refuse when draining or full, and say by when the call's first message must be here."""
    unary = rule.kind is Kind.UNARY
    if keeps_answers(rule):
        return edge.admission.admit_read  # its message is here
    if rule.vital:
        admit = edge.admission.admit_vital
    else:
        admit = edge.admission.admit_stream if takes_stream(rule) else edge.admission.admit_arriving
    # An inline upload is one message, which takes its time; a streamed one begins at once.
    seconds = UPLOAD_MESSAGE_SECONDS if unary and rule.rate_class is RateClass.UPLOAD else edge.message_seconds

    def step(passage: Passage) -> None:
        passage.message_due = passage.started + seconds
        admit(passage)

    return step
