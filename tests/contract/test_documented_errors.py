"""The reasons that each rpc's comment names are those that the rpc can give beside what every call can.

The comments are held against what the server's source raises (reachable.py). What every call can give is the edge's and
the database's; an rpc whose comment names one of those says that it has a cause of its own for it.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import Any

from marketd import app
from marketd.transport.collector import service_of
from marketd.transport.rules import Idempotency, Kind, RateClass, Rule

from tests.contract.comments import rpc_reasons
from tests.contract.reachable import Effects, Reach

# They mean the same wherever they come from, the edge, the unit of work or the rpc: any call may be told to come again.
_OF_EVERY_CALL = frozenset({"OVERLOADED", "DATABASE_UNAVAILABLE", "DRAINING", "DEADLINE_EXCEEDED", "CONCURRENT_UPDATE"})
_ENDS_OF_STREAMS = frozenset(
    {"TOKEN_EXPIRED", "SESSION_REVOKED", "ACCOUNT_BLOCKED", "ROLE_REQUIRED", "SLOW_CONSUMER", "DRAINING"}
)
_OF_REQUEST_IDS = frozenset({"REQUEST_ID_REUSED", "REQUEST_IN_PROGRESS"})
_RATES_OF_THEIR_OWN = frozenset({RateClass.LOGIN, RateClass.CODE})
# The form of a request is every call's; a rule that needs more is the rpc's own.
_FORMS = ("marketd.kernel.",)
_CONVERT = ".convert"

# What the source seems to raise and the rpc never does, by the end of the method's name: (reason, why not).
NEVER: Mapping[str, tuple[tuple[str, str], ...]] = {
    "AuthService/Register": (("NOT_FOUND", "the account that is read was made in the same transaction"),),
    "OrderService/PlaceOrder": (
        ("NOT_FOUND", "the account that completes a guest's quote is held with the quote"),
        ("ILLEGAL_TRANSITION", "an order of which nothing is to be paid was made as one that may become PAID"),
    ),
}
# Where a refusal is raised that came as a value, and what is known of it.
OPAQUE: Mapping[str, str] = {
    "marketd.kernel.db.transactor.answer": "what its work returns instead of raising it: Verify's wrong code",
    "marketd.kernel.db.transactor._translate": "the driver's own errors, which are bugs",
    "marketd.order.live.watch.news": "the database's absence, as the hub has met it",
    "marketd.tracking.uplink.stream.next": "what its courier and its writer are seen to raise",
}


def _methods() -> Iterator[tuple[str, Any]]:
    for room in app.SLICES:
        for servicer in room.wiring.SERVICERS:
            service = service_of(servicer)
            for name, function in vars(servicer).items():
                if isinstance(function, FunctionType) and name[0].isupper():
                    yield f"/{service}/{name}", function


METHODS = dict(_methods())
RULES = {rule.method: rule for rule in app.access_table()}


def _ports() -> dict[Any, list[Any]]:
    """The functions that app.py passes for ports that are called: by the type that `build` has for them."""
    found: dict[Any, list[Any]] = {}
    for room in app.SLICES:
        hints = typing.get_type_hints(getattr(room.build, "func", room.build))
        for name, given in getattr(room.build, "keywords", {}).items():
            for each in given if isinstance(given, tuple) else (given,):
                for port in _callables(hints[name]):
                    found.setdefault(port, []).append(each)
    return found


def _callables(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type) and "__call__" in vars(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from _callables(argument)


@cache
def _reach() -> tuple[Reach, Mapping[Any, Effects]]:
    reach = Reach("marketd", _ports())
    return reach, reach.settle(METHODS.values())


def _possible(method: str) -> frozenset[str]:
    """The reasons that the rpc's own code can give."""
    return frozenset(
        raised.refusal.reason.value
        for raised in _reach()[1][METHODS[method]]
        if not raised.module.startswith("marketd.kernel.db.")
    )


def _own(method: str) -> frozenset[str]:
    """The possible reasons that the comment must name."""
    of_forms = {"VALIDATION_FAILED"} if _is_form_only(method) else set()
    never = {reason for end, pairs in NEVER.items() if method.endswith(end) for reason, _ in pairs}
    return _possible(method) - of_forms - never - _OF_EVERY_CALL


def _is_form_only(method: str) -> bool:
    return all(
        raised.module.startswith(_FORMS) or raised.module.endswith(_CONVERT)
        for raised in _reach()[1][METHODS[method]]
        if raised.refusal.reason.value == "VALIDATION_FAILED"
    )


def _allowed(rule: Rule) -> frozenset[str]:
    """What the comment may name besides: the rpc's shape makes it likely enough to say."""
    streams = _ENDS_OF_STREAMS if rule.kind in (Kind.SERVER_STREAM, Kind.BIDI) else frozenset()
    limited = {"RATE_LIMITED"} if rule.rate_class in _RATES_OF_THEIR_OWN else set()
    return streams | limited | {"VALIDATION_FAILED"}


def _findings() -> Iterator[str]:
    for method in METHODS:
        rule = RULES[method]
        with_ids = _OF_REQUEST_IDS if rule.idempotency is not Idempotency.NONE else frozenset()
        named = rpc_reasons().get(method)
        if named is None:
            yield f"{method}: the comment does not say which errors there are"
            continue
        wanted = _own(method) | with_ids
        if wanted - named:
            where = ", ".join(f"{reason} ({_where(method, reason)})" for reason in sorted(wanted - named))
            yield f"{method}: the comment does not name {where}"
        if named - wanted - _allowed(rule):
            yield f"{method}: cannot give {', '.join(sorted(named - wanted - _allowed(rule)))}, which the comment names"
        answers = any(each.refusal.reason.value == "REQUEST_ID_REUSED" for each in _reach()[1][METHODS[method]])
        if answers != bool(with_ids):
            yield f"{method}: {'answers' if answers else 'does not answer'} by the request id, against its rule"


def _where(method: str, reason: str) -> str:
    return ", ".join(
        sorted(
            f"{each.refusal.__name__} in {each.module}"
            for each in _reach()[1][METHODS[method]]
            if each.refusal.reason.value == reason
        )
    )


def test_comments_name_the_reasons_that_their_rpcs_can_give() -> None:
    found = list(_findings())
    assert not found, "\n" + "\n".join(found)
    assert _reach()[0].opaque == set(OPAQUE)
    for end, pairs in NEVER.items():
        (method,) = (each for each in METHODS if each.endswith(end))
        assert {reason for reason, _ in pairs} <= _possible(method), f"{end} needs no exception"
