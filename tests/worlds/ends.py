"""Accounts and shops that end in the marketplace of the ordering tests, and what follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from marketd.app import SLICES
from marketd.auth.accounts import delete
from marketd.auth.accounts.servicer import UserServicer
from marketd.cart.quotes.values import QuoteKey
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.order.place import PlacedGroup, PlaceOrder, PlaceTerms, place_order
from marketd.seller.servicer import SellerServicer
from marketplace.auth.v1 import user_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2

from tests.worlds.built import Built
from tests.worlds.goods import CURRENCY, Shop
from tests.worlds.ordering import Market, minor

T = TypeVar("T")
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
# The ports as app.py passes them.
_GIVEN: list[dict[str, Any]] = [getattr(room.build, "keywords", {}) for room in SLICES]
(_PORTS,) = (given for given in _GIVEN if "account_ended" in given)


@dataclass(frozen=True)
class Held:
    """Work whose transaction has done everything but commit; `commit` lets it."""

    commit: Callable[[], Awaitable[Any]]


class Ends:
    """What ends accounts and shops, over a market."""

    def __init__(self, market: Market) -> None:
        self.market, self.tx = market, market.tx
        built = Built(market.built.parts, "auth", "seller", "catalog")
        self.users = built.servicer(UserServicer)
        self.sellers = built.servicer(SellerServicer)
        self.catalog = built.servicer(CatalogServicer)

    async def move(
        self, name: str, shop: Shop, reason: str = "", *, caller: Caller | None = None, etag: str = ""
    ) -> seller_pb2.Seller:
        """ApproveSeller and the like, by an admin or by the caller."""
        request: Any = getattr(seller_service_pb2, f"{name}SellerRequest")(
            seller_id=str(shop.seller_id), reason=reason, etag=etag
        )
        method = getattr(self.sellers, f"{name}Seller")
        seller: seller_pb2.Seller = (await self.market.call(caller or self.market.admin, method, request)).seller
        return seller

    async def state(self, shop: Shop) -> str:
        """The state of the shop and why."""
        found = await self.market.value(
            "SELECT state || ': ' || state_reason FROM sellers WHERE seller_id = $1", shop.seller_id
        )
        return str(found)

    async def block(self, caller: Caller) -> None:
        """BlockUser."""
        request = user_service_pb2.BlockUserRequest(user_id=str(caller.user_id), reason="fraud")
        await self.market.call(self.market.admin, self.users.BlockUser, request)

    async def unblock(self, caller: Caller) -> None:
        """UnblockUser."""
        request = user_service_pb2.UnblockUserRequest(user_id=str(caller.user_id))
        await self.market.call(self.market.admin, self.users.UnblockUser, request)

    async def set_roles(self, caller: Caller, *roles: Role) -> None:
        """SetUserRoles."""
        request = user_service_pb2.SetUserRolesRequest(
            user_id=str(caller.user_id), roles=[policy_pb2.Role.Value(f"ROLE_{role.value}") for role in roles]
        )
        await self.market.call(self.market.admin, self.users.SetUserRoles, request)

    async def roles(self, caller: Caller) -> set[str]:
        """The roles of the account."""
        found = await self.market.value(
            "SELECT array_agg(role) FROM account_roles WHERE user_id = $1", caller.known_user_id
        )
        return set(found or ())

    async def delete(self, caller: Caller) -> None:
        """Delete the account, with the ports that app.py wires; what proves the person is not judged here."""
        await self.tx.run("test.delete", self.deleting(caller))

    def deleting(self, caller: Caller) -> Callable[[UnitOfWork], Awaitable[None]]:
        """The work of it."""

        async def work(uow: UnitOfWork) -> None:
            await delete.delete_user(uow, caller, caller.known_user_id, "", _PORTS["holders"], _PORTS["account_ended"])

        return work

    async def placing(self, buyer: Caller) -> Callable[[UnitOfWork], Awaitable[PlacedGroup]]:
        """The work of ordering what is in the buyer's cart; it is quoted now."""
        quote = await self.market.quote(buyer)
        quote_id = await self.market.value(
            "SELECT quote_id FROM quotes WHERE user_id = $1 ORDER BY create_time DESC LIMIT 1", buyer.known_user_id
        )
        key = QuoteKey(quote_id, datetime.now(UTC) + timedelta(minutes=5))
        command = PlaceOrder(key, Money(minor(quote.total), CURRENCY), "sandbox")
        return lambda uow: place_order(uow, buyer, command, PlaceTerms(timedelta(minutes=30), timedelta(hours=1)))

    @asynccontextmanager
    async def held(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> AsyncIterator[Held]:
        """The work is done in a transaction that waits with its commit until it is told, or the block ends."""
        done, go = asyncio.Event(), asyncio.Event()

        async def holding(uow: UnitOfWork) -> T:
            result = await work(uow)
            done.set()
            await go.wait()
            return result

        task = asyncio.create_task(self.tx.run("test.held", holding))
        ready = asyncio.create_task(done.wait())

        async def commit() -> T:
            go.set()
            return await task

        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        assert done.is_set(), task
        try:
            yield Held(commit)
        finally:
            await commit()

    async def waits_for_a_lock(self, task: asyncio.Task[Any]) -> None:
        """Return when the task's transaction waits for another's row; fails when it ends instead."""
        while not await self.market.value(_WAITING):
            assert not task.done(), f"it waited for nobody: {task}"
            await asyncio.sleep(0)

    async def follow(self) -> None:
        """Let everything follow that follows by events and jobs."""
        await self.market.built.hand_on_events()
        await self.market.run_jobs()
        await self.market.built.hand_on_events()
