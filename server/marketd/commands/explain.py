"""What the access table says about one method, in words: who may call it, whether a role may, and what else holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from marketd.config import STRICT_LIMITS
from marketd.kernel.call.caller import Role
from marketd.transport.edge.rates import STRICT
from marketd.transport.rules import Idempotency, Kind, Open, Rule, Stability

ANONYMOUS: Final = "anonymous"

_NOT_SIGNED_IN: Final = frozenset({Role.GUEST, Role.VIEWER})
_KINDS: Final = {
    Kind.UNARY: "one request, one answer",
    Kind.SERVER_STREAM: "one request, a stream of answers",
    Kind.CLIENT_STREAM: "a stream of requests, one answer",
    Kind.BIDI: "streams both ways",
}
_REQUEST_IDS: Final = {
    Idempotency.NONE: "none is taken",
    Idempotency.KEY_OPTIONAL: "optional: with one, a repeat gets the first answer",
    Idempotency.KEY_REQUIRED: "required (a UUID): a repeat with the same one gets the first answer",
}
_STABILITIES: Final = {
    Stability.ALPHA: "ALPHA: a trial, which may change or go without notice",
    Stability.BETA: "BETA: its slice is not complete, and it may change",
    Stability.STABLE: "STABLE: complete; what would break callers needs a reason in the changelog",
}


class NoSuchName(Exception):
    """A method or role that does not exist, or a short name of several methods; the text names those that are meant."""


def find_rule(rules: Iterable[Rule], name: str) -> Rule:
    """The rule of a method by its path, or by as much of its end as tells it apart; case does not matter.

    `/marketplace.order.v1.OrderService/PlaceOrder`, `OrderService/PlaceOrder`, `OrderService.PlaceOrder` and
    `PlaceOrder` are one. Raises NoSuchName.
    """
    known = {tuple(_words(rule.method)): rule for rule in rules}
    asked = tuple(_words(name))
    found = [rule for words, rule in known.items() if asked and words[-len(asked) :] == asked]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchName(f"{name} is several methods: {_listed(found)}.")
    of_service = [rule for words, rule in known.items() if asked and words[:-1][-len(asked) :] == asked]
    if of_service:
        methods = ", ".join(rule.method.rpartition("/")[2] for rule in of_service)
        raise NoSuchName(f"{name} is a service; name one of its methods: {methods}.")
    by_end = {"/".join(words[-2:]): rule for words, rule in known.items()}
    by_name = {words[-1]: rule for words, rule in known.items()}
    near = [by_end[each] for each in get_close_matches("/".join(asked[-2:]), by_end, n=3)]
    near += [by_name[each] for each in get_close_matches(asked[-1] if asked else "", by_name, n=3)]
    meant = f"near to it: {_listed(near)}" if near else "`marketd policy` lists them all"
    raise NoSuchName(f"{name} is no method; {meant}.")


def find_role(name: str) -> Role | None:
    """The role by its name, in any case, with or without ROLE_; None for anonymous. Raises NoSuchName."""
    plain = name.strip().upper().removeprefix("ROLE_")
    if plain == ANONYMOUS.upper():
        return None
    try:
        return Role(plain)
    except ValueError:
        names = [*(str(role) for role in Role), ANONYMOUS]
        near = get_close_matches(plain, names, n=1)
        meant = f"; is {near[0]} meant?" if near else "."
        raise NoSuchName(f"{name} is no role{meant} There are {', '.join(names)}.") from None


def refusal_of(rule: Rule, role: Role | None) -> str | None:
    """Why somebody of this role (None: without a token) may not call, as the reason that they get; None: they may."""
    if rule.access is Open.PUBLIC:
        return None
    if role is None:
        return "UNAUTHENTICATED"
    if isinstance(rule.access, Open):
        return "ROLE_REQUIRED" if role in _NOT_SIGNED_IN else None
    return None if role in rule.access else "ROLE_REQUIRED"


def explained(rule: Rule, limits: Mapping[str, tuple[float, int]]) -> list[tuple[str, str]]:
    """What holds for the method: titles with their words. limits: calls a second and burst by rate class."""
    facts = [
        ("call", _KINDS[rule.kind]),
        ("open to", _audience(rule)),
        ("request_id", _REQUEST_IDS[rule.idempotency] + f": {rule.unrepeatable}" * bool(rule.unrepeatable)),
        ("rate class", _rate(rule, limits)),
        ("audit", "every call is written into the audit log" if rule.audit else "calls are not audited"),
        ("stability", _STABILITIES[rule.stability]),
    ]
    if rule.replacement:
        facts.append(("deprecated", f"call {rule.replacement} instead"))
    if not isinstance(rule.access, Open):
        facts.append(("besides", "what belongs to somebody else is answered NOT_FOUND, unless the contract opens it"))
    return facts


def judged(rule: Rule, role: Role | None) -> str:
    """Whether somebody of this role may call, and why, in one sentence."""
    who = f"Somebody {ANONYMOUS}" if role is None else f"{_article(role)} {role}"
    method = rule.method.rpartition("/")[2]
    match refusal_of(rule, role):
        case None if rule.access is Open.PUBLIC:
            return f"{who} may call {method}: it is public and needs no token."
        case None if isinstance(rule.access, Open):
            return f"{who} may call {method}: any user's or service's token will do."
        case None:
            return f"{who} may call {method}: the role is one of those that it is open to."
        case "UNAUTHENTICATED":
            return f"{who} may not call {method}: it needs a token (UNAUTHENTICATED)."
        case reason if isinstance(rule.access, Open):
            return f"{who} may not call {method}: the token of a guest's cart or a share is no sign-in ({reason})."
        case reason:
            return f"{who} may not call {method}: it takes {_audience(rule)} ({reason})."


def _audience(rule: Rule) -> str:
    if rule.access is Open.PUBLIC:
        return "everybody, without a token"
    if isinstance(rule.access, Open):
        return "every user and service that has signed in"
    return " or ".join(rule.access_names)


def _rate(rule: Rule, limits: Mapping[str, tuple[float, int]]) -> str:
    if rule.vital:
        return f"{rule.rate_class}, but never limited: whoever asks whether the server lives gets an answer"
    per_second, burst = limits[rule.rate_class]
    by = "account and for each address" if rule.rate_class in STRICT else "account"
    by += " or guest" * (Role.GUEST in rule.required_roles)
    without = " (without one, each address)" * (rule.access is Open.PUBLIC and rule.rate_class not in STRICT)
    strict_rate, strict_burst = STRICT_LIMITS[rule.rate_class]
    is_strict = (per_second, burst) == (strict_rate, strict_burst)
    strictly = "" if is_strict else f"; in production {strict_rate:,g} and {strict_burst:,} unless set otherwise"
    return f"{rule.rate_class}: {per_second:,g} calls a second, {burst:,} at once, for each {by}{without}{strictly}"


def _words(name: str) -> list[str]:
    return name.strip().lower().replace("/", ".").strip(".").split(".") if name.strip("/. ") else []


def _listed(rules: Iterable[Rule]) -> str:
    return ", ".join(dict.fromkeys(rule.method.removeprefix("/") for rule in rules))


def _article(role: Role) -> str:
    return "An" if str(role)[0] in "AEIOU" else "A"
