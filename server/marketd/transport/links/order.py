"""The links of the chain: each is a small named function over the passage, built once for each method at start-up.

A link returns None when it is done, or an awaitable in the rare case that it must wait. It raises a Refusal to end the
rpc. `LINKS` is the order, with the reason for each place; chain.py runs them.
"""

from __future__ import annotations

from marketd.transport.links.beginning import admission, audit, errors, log_and_metrics, request_id
from marketd.transport.links.caller import access, authentication, rate
from marketd.transport.links.common import Edge, Link, Step
from marketd.transport.links.request import answers, deadline, idempotency, message, parse_and_validate, same_answers
from marketd.transport.rules import Rule

LINKS = (
    Link("request id", "first, because everything that follows may want to name the call", request_id),
    Link("access log and metrics", "around all the rest: a refused call is counted as well", log_and_metrics),
    Link("errors", "inside the log, so that it sees the code; around all that may refuse", errors),
    Link("audit", "around all that may refuse, and before the status goes out: whoever sees it finds the entry", audit),
    Link("admission", "before anything is spent on the caller: a full server must refuse cheaply", admission),
    Link("authentication", "before the bytes are looked at: strangers learn nothing from our parser", authentication),
    Link("access", "before the rate: a call that may never pass takes nothing from a limit", access),
    Link("rate", "before the costly part, parsing and the handler", rate),
    Link(
        "message",
        "after all that needs only the headers: whoever is refused there sends no megabytes; of plain reads before all",
        message,
    ),
    Link(
        "answers", "after access and rate, which hold for cached answers too; before parsing, which it saves", answers
    ),
    Link("parse and validation", "the handler sees only requests that keep the contract", parse_and_validate),
    Link("same answers", "needs the parsed request, from which the bytes are made that mean the same", same_answers),
    Link("idempotency", "needs the parsed request and the caller", idempotency),
    Link("deadline", "last before the handler, whose work it bounds", deadline),
)


def steps_of(edge: Edge, rule: Rule) -> list[tuple[str, Step]]:
    """The named steps that this method's calls take, in order."""
    return [(link.name, step) for link in LINKS if (step := link.build(edge, rule)) is not None]
