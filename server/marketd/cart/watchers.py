"""The carts that are watched on this worker, read again and again for all their watchers together.

Adding to a cart writes no event, so nothing but the carts' rows tells of a change. Each second one statement reads the
versions of all watched carts. Those that changed are read with the prices and the stock of the moment, and so are the
others in turn, a bounded number a second: with more watched carts than that, news of prices and stock come later, those
of the carts themselves do not. What a call of this worker changes is read at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from marketd.cart import repository
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing
from marketd.cart.read import read_carts
from marketd.cart.values import PricedCart
from marketd.kernel.call.refusals import DatabaseUnavailable, Refusal
from marketd.kernel.db.transactor import PATIENCE_SECONDS, Transactor
from marketd.kernel.db.uow import ReadUnit

_log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
PRICED_A_POLL: Final = 200
"""How many carts that did not change are priced anew each time, and how many carts one statement reads."""


@dataclass(frozen=True, slots=True)
class CartReading:
    """A watched cart as it was read; None when it is gone. `begin_time` (monotonic): before the statement began."""

    cart: PricedCart | None
    begin_time: float


class CartWatcher:
    """One stream's place among the watchers of a cart: the newest reading, which the stream takes when it likes."""

    def __init__(self) -> None:
        self._reading: CartReading | None = None
        self._came = asyncio.Event()

    def put(self, reading: CartReading) -> None:
        """Leave a reading in place of the one before, which nobody needs any more."""
        self._reading = reading
        self._came.set()

    async def take(self, seconds: float) -> CartReading | None:
        """The newest reading, as soon as there is one that was not taken; None when none comes in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            return None
        self._came.clear()
        return self._reading


class CartWatchers:
    """The watchers of this worker; `run` reads for them. One for a process."""

    def __init__(
        self,
        tx: Transactor,
        pricing: Pricing,
        *,
        poll_seconds: float = POLL_SECONDS,
        priced_a_poll: int = PRICED_A_POLL,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._tx = tx
        self._pricing = pricing
        self._poll_seconds = poll_seconds
        self._priced_a_poll = priced_a_poll
        self._patience_seconds = patience_seconds
        self._watchers: dict[UUID, set[CartWatcher]] = {}
        self._carts: dict[UUID, UUID] = {}
        """By their owners' ids, of those that are watched."""
        self._versions: dict[UUID, int | None] = {}
        """As the watchers know them; of the carts whose turn is next the first, so that each has its turn."""
        self._changed: set[UUID] = set()
        self._wake = asyncio.Event()
        self._read_at = 0.0

    @contextmanager
    def watch(self, owner: CartOwner, cart_id: UUID) -> Iterator[CartWatcher]:
        """A watcher of the owner's cart, which is read for it at once and from then on."""
        watcher = CartWatcher()
        if not self._watchers:
            self._read_at = time.monotonic()
        self._watchers.setdefault(cart_id, set()).add(watcher)
        self._carts[owner.owner_id] = cart_id
        self.changed(owner)
        try:
            yield watcher
        finally:
            left = self._watchers[cart_id]
            left.discard(watcher)
            if not left:
                del self._watchers[cart_id], self._carts[owner.owner_id]
                self._versions.pop(cart_id, None)

    def changed(self, owner: CartOwner) -> None:
        """A call of this worker may have changed the owner's cart: read it now, if anybody watches it."""
        cart_id = self._carts.get(owner.owner_id)
        if cart_id is not None:
            self._changed.add(cart_id)
            self._wake.set()

    def judge(self) -> None:
        """Raises DatabaseUnavailable when nothing could be read for so long that silence says nothing any more."""
        if time.monotonic() - self._read_at > self._patience_seconds:
            raise DatabaseUnavailable

    async def run(self) -> None:
        """Read for the watchers until cancelled."""
        poll_at = 0.0
        while True:
            left = poll_at - time.monotonic() if self._watchers else None
            try:
                async with asyncio.timeout(None if left is None else max(left, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                if time.monotonic() >= poll_at:
                    poll_at = time.monotonic() + self._poll_seconds
                    await self.poll()
                elif self._changed:
                    await self._tx.read(self._read_changed)
            except Refusal as refusal:
                # The next poll tells what was missed: versions are those that watchers know.
                _log.warning("work_waiting", work="cart.watchers", reason=refusal.reason.value)

    async def poll(self) -> None:
        """Read what changed, and the next of the others."""
        if self._watchers:
            await self._tx.read(self._read_all)

    async def _read_all(self, unit: ReadUnit) -> None:
        versions = await repository.read_versions(unit.connection, list(self._watchers))
        self._changed.update(
            cart_id for cart_id in self._watchers if versions.get(cart_id) != self._versions.get(cart_id)
        )
        self._changed.update([cart_id for cart_id in self._versions if cart_id in versions][: self._priced_a_poll])
        await self._read_changed(unit)

    async def _read_changed(self, unit: ReadUnit) -> None:
        while due := list(self._changed)[: self._priced_a_poll]:
            await self._read(unit, due)

    async def _read(self, unit: ReadUnit, cart_ids: Sequence[UUID]) -> None:
        begin_time = time.monotonic()
        # Before the statement: what is changed while it runs is read once more.
        self._changed.difference_update(cart_ids)
        try:
            found = await read_carts(unit, cart_ids, self._pricing)
        except BaseException:
            self._changed.update(cart_ids)
            raise
        self._read_at = time.monotonic()
        for cart_id in cart_ids:
            watchers = self._watchers.get(cart_id)
            if not watchers:
                continue
            cart = found.get(cart_id)
            self._versions.pop(cart_id, None)
            self._versions[cart_id] = None if cart is None else cart.cart.version
            for watcher in watchers:
                watcher.put(CartReading(cart, begin_time))
