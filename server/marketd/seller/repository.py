"""Every SQL statement over sellers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.address import Address
from marketd.seller.model import LIVE, SellerState
from marketd.seller.values import Contact, OpeningException, OpeningHours, OpeningSpan, Seller, TimeOfDay

# ruff: noqa: S608 - every interpolated part is one of the constants here


def _address(value: object) -> Address | None:
    return None if value is None else Address.from_json(value)


def _contact(value: Mapping[str, str]) -> Contact:
    return Contact(**value)


def _opening_hours(value: Sequence[Mapping[str, Any]]) -> tuple[OpeningHours, ...]:
    return tuple(
        OpeningHours(span["day"], TimeOfDay(**span["open_time"]), TimeOfDay(**span["close_time"])) for span in value
    )


def _opening_exceptions(value: Sequence[Mapping[str, Any]]) -> tuple[OpeningException, ...]:
    return tuple(
        OpeningException(
            date.fromisoformat(each["date"]),
            tuple(
                OpeningSpan(TimeOfDay(**span["open_time"]), TimeOfDay(**span["close_time"])) for span in each["spans"]
            ),
            each["note"],
        )
        for each in value
    )


def _exception_json(exception: OpeningException) -> dict[str, object]:
    return {**asdict(exception), "date": exception.date.isoformat()}


_SELLER = Columns(
    Seller,
    readers={
        "pickup_address": _address,
        "contact": _contact,
        "opening_hours": _opening_hours,
        "opening_exceptions": _opening_exceptions,
    },
)

HOLD = "FOR KEY SHARE"
"""Keeps a row from being locked by whoever ends it, and hinders nobody who changes it otherwise."""

_BY_OWNER = f"SELECT {_SELLER.sql} FROM sellers WHERE owner_user_id = $1 AND {LIVE}"


async def insert(connection: Connection, seller: Seller) -> bool:
    """Write a new seller; False when the handle is taken or the account has one that is not over."""
    tag = await connection.execute(
        "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, description, state, pickup_address,"
        " contact, prep_duration, time_zone, opening_hours, opening_exceptions, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10, $11::jsonb, $12::jsonb, $13, $13)"
        " ON CONFLICT DO NOTHING",
        seller.seller_id,
        seller.owner_user_id,
        seller.handle,
        seller.shop_name,
        seller.description,
        seller.state.value,
        None if seller.pickup_address is None else seller.pickup_address.to_json_text(),
        json.dumps(asdict(seller.contact)),
        seller.prep_duration,
        seller.time_zone,
        json.dumps([asdict(span) for span in seller.opening_hours]),
        json.dumps([_exception_json(each) for each in seller.opening_exceptions]),
        seller.create_time,
    )
    return tag == "INSERT 0 1"


async def read(connection: Connection, seller_id: UUID) -> Seller | None:
    """The seller with this id."""
    return _SELLER.optional(
        await connection.fetchrow(f"SELECT {_SELLER.sql} FROM sellers WHERE seller_id = $1", seller_id)
    )


async def read_by_handle(connection: Connection, handle: str) -> Seller | None:
    """The seller with this handle."""
    return _SELLER.optional(await connection.fetchrow(f"SELECT {_SELLER.sql} FROM sellers WHERE handle = $1", handle))


async def read_by_owner(connection: Connection, owner_user_id: UUID) -> Seller | None:
    """The one seller of the account that is neither closed nor rejected."""
    return _SELLER.optional(await connection.fetchrow(_BY_OWNER, owner_user_id))


async def list_of_owner(connection: Connection, owner_user_id: UUID) -> list[UUID]:
    """The ids of all sellers of the account, in any state."""
    rows = await connection.fetch("SELECT seller_id FROM sellers WHERE owner_user_id = $1", owner_user_id)
    return [row["seller_id"] for row in rows]


async def lock(connection: Connection, seller_id: UUID) -> Seller | None:
    """The seller, locked until the transaction ends."""
    return _SELLER.optional(
        await connection.fetchrow(f"SELECT {_SELLER.sql} FROM sellers WHERE seller_id = $1 FOR UPDATE", seller_id)
    )


async def lock_by_owner(connection: Connection, owner_user_id: UUID) -> Seller | None:
    """The one seller of the account that is neither closed nor rejected, locked until the transaction ends."""
    return _SELLER.optional(await connection.fetchrow(f"{_BY_OWNER} FOR UPDATE", owner_user_id))


async def set_state(connection: Connection, seller_id: UUID, state: SellerState, reason: str, now: datetime) -> Seller:
    """Move a locked seller to the state and read it; the time of its first approval stays."""
    row = await connection.fetchrow(
        "UPDATE sellers SET state = $2, state_reason = $3,"
        " approve_time = CASE WHEN $2 = 'ACTIVE' THEN coalesce(approve_time, $4) ELSE approve_time END,"
        f" update_time = $4, version = version + 1 WHERE seller_id = $1 RETURNING {_SELLER.sql}",
        seller_id,
        state.value,
        reason,
        now,
    )
    if row is None:
        raise RuntimeError("a locked seller is gone")
    return _SELLER.value(row)


async def forget_owner(connection: Connection, owner_user_id: UUID, now: datetime) -> list[UUID]:
    """Take where they are and how to reach them out of all sellers of the account; their ids."""
    rows = await connection.fetch(
        "UPDATE sellers SET pickup_address = NULL, contact = '{}', update_time = $2, version = version + 1"
        " WHERE owner_user_id = $1 RETURNING seller_id",
        owner_user_id,
        now,
    )
    return [row["seller_id"] for row in rows]
