"""Watching a cart: how it is, then how it is after every change of what is shown of it.

Nobody keeps a cart's past, so a watch tells what is, not what was: changes that come fast are one. A place is the
cart's version and a digest of what was shown, so who comes back hears only of what looks different by now.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from marketd.cart import read
from marketd.cart.errors import GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing
from marketd.cart.values import PricedCart
from marketd.cart.watchers import CartWatchers
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.watch import BEAT_SECONDS, Beat, ResetReason, ResumeTokens
from marketd.kernel.values.clock import Clock


class Shown(Protocol):
    """What a watcher sees of a cart: a protobuf message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802 - protobuf's name


S = TypeVar("S", bound=Shown)


@dataclass(frozen=True, slots=True)
class CartPlace:
    """Where a watch stands: the cart's version, and a digest of what was shown of it."""

    version: int
    digest: int

    @classmethod
    def of(cls, cart: PricedCart, shown: Shown) -> CartPlace:
        """The place behind this."""
        content = hashlib.blake2b(shown.SerializeToString(deterministic=True), digest_size=8).digest()
        return cls(cart.cart.version, int.from_bytes(content, signed=True))


@dataclass(frozen=True, slots=True)
class CartSnapshot(Generic[S]):
    """How the cart is."""

    shown: S


@dataclass(frozen=True, slots=True)
class CartUpdate(Generic[S]):
    """How the cart is after a change."""

    shown: S


@dataclass(frozen=True, slots=True)
class CartReset:
    """The resume token is of no use; a snapshot follows."""

    reason: ResetReason


class CartPlaces:
    """Resume tokens of watches of carts, bound to who watches."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._tokens = ResumeTokens(secret, "cart-watches", clock)
        self._clock = clock

    def token(self, caller_key: str, place: CartPlace | None) -> str:
        """The token of a place; empty where there is none to go on from."""
        if place is None:
            return ""
        now_seconds = int(self._clock.now().timestamp())
        return self._tokens.issue(caller_key.encode(), place.version, place.digest, now_seconds).decode("ascii")

    def after(self, caller_key: str, token: str) -> CartPlace | ResetReason | None:
        """The place to go on from: None without a token, and why not for one that is of no use."""
        if not token:
            return None
        found = self._tokens.read(token, caller_key.encode())
        if found is None:
            return ResetReason.TOKEN_UNKNOWN
        return ResetReason.TOKEN_TOO_OLD if found.is_too_old(self._clock.now()) else CartPlace(found.seq, found.extra)


async def watch_cart(
    tx: Transactor,
    watchers: CartWatchers,
    clock: Clock,
    owner: CartOwner,
    pricing: Pricing,
    after: CartPlace | ResetReason | None,
    show: Callable[[PricedCart], S],
    *,
    beat_seconds: float = BEAT_SECONDS,
) -> AsyncGenerator[tuple[CartPlace | None, CartSnapshot[S] | CartUpdate[S] | CartReset | Beat], None]:
    """News of the owner's cart, each with its place, without end; close it to stop.

    `show` makes of a cart what the watcher sees of it. Raises GuestCartGone, also when the cart goes later.
    """
    begin_time = time.monotonic()
    cart = await tx.read(lambda unit: read.find_cart(unit, owner, pricing))
    if cart is None:
        cart = await tx.run("cart.open", lambda uow: read.open_cart(uow, owner, pricing))
    with watchers.watch(owner, cart.cart.cart_id) as watcher:
        shown = show(cart)
        place = CartPlace.of(cart, shown)
        if isinstance(after, ResetReason):
            yield None, CartReset(after)
        if after is None or isinstance(after, ResetReason):
            yield place, CartSnapshot(shown)
        elif place != after:
            yield place, CartUpdate(shown)
        told = time.monotonic()
        while True:
            quiet = told + beat_seconds - time.monotonic()
            reading = await watcher.take(max(quiet, 0.0))
            if reading is None:
                watchers.judge()
                told = time.monotonic()
                yield place, Beat(clock.now())
                continue
            if reading.cart is None:
                # An account's goes with the account, whose streams auth ends.
                if owner.is_guest:
                    raise GuestCartGone
                continue
            # What was read before the first look may be older than it.
            if reading.begin_time < begin_time or reading.cart.cart.version < cart.cart.version or reading.cart == cart:
                continue
            cart, shown = reading.cart, show(reading.cart)
            next_place = CartPlace.of(cart, shown)
            if next_place != place:
                place, told = next_place, time.monotonic()
                yield place, CartUpdate(shown)
