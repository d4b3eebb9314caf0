"""The links that ask who calls, whether they may, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from marketd.kernel.call.caller import GUEST_ROLES, Caller, Role
from marketd.kernel.call.network import HOUSEHOLD_BITS, SITE_BITS, network_of
from marketd.transport.authentication import bearer
from marketd.transport.deadlines import limit_seconds
from marketd.transport.edge.rates import STRICT
from marketd.transport.links.common import Edge, Step, bound
from marketd.transport.passage import Passage
from marketd.transport.refusals import RateLimited, RoleRequired, Unauthenticated
from marketd.transport.rules import NOT_SIGNED_IN, Kind, Open, Rule

_T = TypeVar("_T")


def authentication(edge: Edge, rule: Rule) -> Step | None:
    """Turn the bearer token into the caller; a bad one is always refused.

    Without one the caller is the internal service that the connection's certificate names, or anonymous. A certificate
    that stands for a service account is good for as long as the account is. The token of a guest's cart is known by its
    signature; whether the cart is still there, whoever opens the cart finds out.
    """
    if rule.vital:
        return None
    authenticator, services = edge.authenticator, edge.services
    cached, guest_cart = authenticator.cached, edge.guest_cart
    limit = limit_seconds(rule)
    identify = edge.calls.identify if rule.kind is not Kind.UNARY else None

    def accept(passage: Passage, caller: Caller) -> None:
        passage.call.caller = Caller(
            caller.user_id, caller.session_id, caller.roles, passage.address, caller.expires, caller.withheld
        )
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
        if caller is not None:
            accept(passage, caller)
            return None
        cart_id = guest_cart(token)
        if cart_id is None:
            return verify(passage, authenticator.authenticate, token)
        passage.call.caller = Caller(None, None, GUEST_ROLES, passage.address, guest_cart_id=cart_id)
        if identify is not None:
            identify(passage)
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
            if caller.roles and caller.roles <= NOT_SIGNED_IN:
                raise RoleRequired(rule.required_roles)

        return signed_in

    def in_role(passage: Passage) -> None:
        caller = passage.call.caller
        if allowed.isdisjoint(caller.roles):
            if caller.user_id is None and not caller.roles:
                raise Unauthenticated
            raise RoleRequired(allowed, withheld=not allowed.isdisjoint(caller.withheld))

    return in_role


def rate(edge: Edge, rule: Rule) -> Step | None:
    """Count the call against its class, by account (a service is one too) where there is one, else by address.

    A guest counts as an account does where the rule names guests, and as its address elsewhere: anybody may have many
    guests' carts, and those must not open what is counted by address. An IPv6 address counts as its /64, and where
    something is guessed at as its /56. An account's open streams are bounded here too: its number is a limit like the
    others, and an account is known by now.
    """
    if rule.vital:
        return None
    take, rate_class, by_both = edge.rates.take, rule.rate_class, rule.rate_class in STRICT
    bits = SITE_BITS if by_both else HOUSEHOLD_BITS
    limit = limit_seconds(rule)
    names_guests = Role.GUEST in rule.required_roles

    async def ask(passage: Passage, keys: tuple[UUID | str, ...]) -> None:
        bound(passage, limit)  # the buckets are asked for in the database, which wants to know how long
        for key in keys:
            if wait := await edge.rates.ask(rate_class, key):
                raise RateLimited(rate_class.value, wait)

    def step(passage: Passage) -> Awaitable[None] | None:
        user_id = passage.call.caller.user_id
        if user_id is None and names_guests:
            user_id = passage.call.caller.guest_cart_id
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
