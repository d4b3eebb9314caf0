"""Every SQL statement over sellers, on the asyncpg connection, so that both dresses of a unit of work can call it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.address import Address
from marketd.seller.model import Contact, OpeningHours, Seller, SellerState, SellerView

_SELLER = (
    "SELECT seller_id, owner_user_id, handle, shop_name, description, state, state_reason, pickup_address, contact,"
    " prep_minutes, time_zone, opening_hours, approve_time, create_time, update_time, version FROM sellers"
)
_VIEW = (
    "SELECT seller_id, owner_user_id, handle, shop_name, state, pickup_address, prep_minutes, time_zone FROM sellers"
)


def _seller(row: Record | None) -> Seller | None:
    if row is None:
        return None
    return Seller(
        seller_id=row["seller_id"],
        owner_user_id=row["owner_user_id"],
        handle=row["handle"],
        shop_name=row["shop_name"],
        description=row["description"],
        state=SellerState(row["state"]),
        state_reason=row["state_reason"],
        pickup=_address(row["pickup_address"]),
        contact=Contact(**row["contact"]),
        prep_minutes=row["prep_minutes"],
        time_zone=row["time_zone"],
        opening_hours=tuple(OpeningHours(**span) for span in row["opening_hours"]),
        approve_time=row["approve_time"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        version=row["version"],
    )


def _view(row: Record | None) -> SellerView | None:
    if row is None:
        return None
    return SellerView(
        seller_id=row["seller_id"],
        owner_user_id=row["owner_user_id"],
        handle=row["handle"],
        shop_name=row["shop_name"],
        state=SellerState(row["state"]),
        pickup=_address(row["pickup_address"]),
        prep_minutes=row["prep_minutes"],
        time_zone=row["time_zone"],
    )


def _address(value: object) -> Address | None:
    return None if value is None else Address.from_json(value)


class SellerRepository:
    """Sellers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(self, seller: Seller) -> bool:
        """A new seller; False when the handle is taken. A second open seller breaks uq_sellers_owner_user_id."""
        tag = await self._connection.execute(
            "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, description, state, pickup_address,"
            " contact, prep_minutes, time_zone, opening_hours, create_time, update_time)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10, $11::jsonb, $12, $12)"
            " ON CONFLICT (handle) DO NOTHING",
            seller.seller_id,
            seller.owner_user_id,
            seller.handle,
            seller.shop_name,
            seller.description,
            seller.state.value,
            None if seller.pickup is None else seller.pickup.to_json_text(),
            json.dumps(asdict(seller.contact)),
            seller.prep_minutes,
            seller.time_zone,
            json.dumps([asdict(span) for span in seller.opening_hours]),
            seller.create_time,
        )
        return tag == "INSERT 0 1"

    async def by_id(self, seller_id: UUID) -> Seller | None:
        """The seller with this id."""
        return _seller(await self._connection.fetchrow(f"{_SELLER} WHERE seller_id = $1", seller_id))

    async def by_handle(self, handle: str) -> Seller | None:
        """The seller with this handle."""
        return _seller(await self._connection.fetchrow(f"{_SELLER} WHERE handle = $1", handle))

    async def lock(self, seller_id: UUID) -> Seller | None:
        """The seller, locked until the transaction ends."""
        return _seller(await self._connection.fetchrow(f"{_SELLER} WHERE seller_id = $1 FOR UPDATE", seller_id))

    async def approve(self, seller_id: UUID, reason: str, now: datetime) -> None:
        """Move to ACTIVE; the first approval is remembered."""
        await self._connection.execute(
            "UPDATE sellers SET state = 'ACTIVE', state_reason = $2, approve_time = coalesce(approve_time, $3),"
            " update_time = $3, version = version + 1 WHERE seller_id = $1",
            seller_id,
            reason,
            now,
        )

    async def view(self, seller_id: UUID) -> SellerView | None:
        """What other slices need of the seller."""
        return _view(await self._connection.fetchrow(f"{_VIEW} WHERE seller_id = $1", seller_id))

    async def view_of(self, owner_user_id: UUID) -> SellerView | None:
        """The one seller of the account that is not closed."""
        row = await self._connection.fetchrow(f"{_VIEW} WHERE owner_user_id = $1 AND state <> 'CLOSED'", owner_user_id)
        return _view(row)
