"""A seller with the catalog service."""

from __future__ import annotations

from functools import partial
from typing import Self

from marketd.catalog.servicer import CACHE_TAG, CatalogServicer
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.slice import ANSWERS_TOPIC
from marketd.kernel.values.ids import new_id

from tests.worlds.built import Built
from tests.worlds.parts import make_parts


class Seller:
    """A seller in the database, its owner, and the service as its clients see it."""

    def __init__(self, tx: Transactor) -> None:
        self.tx = tx
        self.seller_id = new_id()
        self.owner = Caller(new_id(), None, frozenset({Role.SELLER}))
        parts = make_parts(tx)
        self.changes: list[bytes] = []
        """One for each time that kept answers were dropped."""
        parts.broadcast.subscribe(ANSWERS_TOPIC, self.changes.append)
        self.on_change = partial(parts.drop_answers, CACHE_TAG)
        self.catalog = Built(parts, "catalog").servicer(CatalogServicer)

    async def open(self, state: str = "ACTIVE") -> Self:
        """Write the seller down."""

        async def work(uow: UnitOfWork) -> None:
            await uow.connection.execute(
                "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state,"
                " contact, prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
                " VALUES ($1, $2, $3, 'Shop', 'shop', '', $4, '{}', '10 minutes', 'UTC', '[]', $5, $5, $5)",
                self.seller_id,
                self.owner.known_user_id,
                self.seller_id.hex,
                state,
                uow.now,
            )

        await self.tx.run("test.seller", work)
        return self
