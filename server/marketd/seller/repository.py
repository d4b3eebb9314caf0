"""Every SQL statement over sellers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.paging import begins, follow
from marketd.kernel.db.sql import Arguments, Columns
from marketd.kernel.values.address import Address
from marketd.kernel.values.ratings import Rating
from marketd.media.images.held import held_of, held_sql
from marketd.seller.model import LIVE, SellerState
from marketd.seller.values import Contact, OpeningException, OpeningHours, OpeningSpan, Seller, SellerQuery, TimeOfDay

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


def _rating(value: Sequence[int] | None) -> Rating:
    return Rating() if value is None else Rating(tuple(value))


def _exception_json(exception: OpeningException) -> dict[str, object]:
    return {**asdict(exception), "date": exception.date.isoformat()}


_SELLER = Columns(
    Seller,
    expressions={
        "logo": held_sql("logo_media_id", "logo_alt_text"),
        "rating": "(SELECT r.rating_counts FROM seller_ratings r WHERE r.seller_id = sellers.seller_id)",
    },
    readers={
        "logo": held_of,
        "pickup_address": _address,
        "contact": _contact,
        "opening_hours": _opening_hours,
        "opening_exceptions": _opening_exceptions,
        "rating": _rating,
    },
)

SellerKey: TypeAlias = tuple[str | datetime | UUID, ...]
"""Where a seller stands in a list: what the order sorts by, and its id."""

_SORTS: Final = {"shop_name": ("shop_name_key", "seller_id"), "create_time": ("create_time", "seller_id")}
ORDERS: Final = tuple(_SORTS)

HOLD = "FOR KEY SHARE"
"""Keeps a row from being locked by whoever ends it, and hinders nobody who changes it otherwise."""

_BY_OWNER = f"SELECT {_SELLER.sql} FROM sellers WHERE owner_user_id = $1 AND {LIVE}"


async def insert(connection: Connection, seller: Seller) -> bool:
    """Write a new seller; False when the handle is taken or the account has one that is not over."""
    tag = await connection.execute(
        "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state,"
        " pickup_address, contact, prep_duration, time_zone, opening_hours, opening_exceptions, logo_media_id,"
        " logo_alt_text, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10, $11, $12::jsonb, $13::jsonb, $14, $15, $16,"
        " $16)"
        " ON CONFLICT DO NOTHING",
        seller.seller_id,
        seller.owner_user_id,
        seller.handle,
        seller.shop_name,
        seller.shop_name_key,
        seller.description,
        seller.state.value,
        *_said(seller),
        seller.create_time,
    )
    return tag == "INSERT 0 1"


async def save(connection: Connection, seller: Seller) -> None:
    """Write what an owner may change of a locked seller."""
    await connection.execute(
        "UPDATE sellers SET shop_name = $2, shop_name_key = $3, description = $4, pickup_address = $5::jsonb,"
        " contact = $6::jsonb, prep_duration = $7, time_zone = $8, opening_hours = $9::jsonb,"
        " opening_exceptions = $10::jsonb, logo_media_id = $11, logo_alt_text = $12, update_time = $13, version = $14"
        " WHERE seller_id = $1",
        seller.seller_id,
        seller.shop_name,
        seller.shop_name_key,
        seller.description,
        *_said(seller),
        seller.update_time,
        seller.version,
    )


def _said(seller: Seller) -> list[object]:
    """From pickup_address to logo_alt_text, as the columns take them."""
    return [
        None if seller.pickup_address is None else seller.pickup_address.to_json_text(),
        json.dumps(asdict(seller.contact)),
        seller.prep_duration,
        seller.time_zone,
        json.dumps([asdict(span) for span in seller.opening_hours]),
        json.dumps([_exception_json(each) for each in seller.opening_exceptions]),
        None if seller.logo is None else seller.logo.media_id,
        "" if seller.logo is None else seller.logo.alt_text,
    ]


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


async def known(connection: Connection, seller_ids: Collection[UUID]) -> set[UUID]:
    """Which of these ids are sellers', in any state."""
    rows = await connection.fetch("SELECT seller_id FROM sellers WHERE seller_id = ANY($1::uuid[])", list(seller_ids))
    return {row["seller_id"] for row in rows}


async def lock(connection: Connection, seller_id: UUID) -> Seller | None:
    """The seller, locked until the transaction ends."""
    return _SELLER.optional(
        await connection.fetchrow(f"SELECT {_SELLER.sql} FROM sellers WHERE seller_id = $1 FOR UPDATE", seller_id)
    )


async def lock_by_owner(connection: Connection, owner_user_id: UUID) -> Seller | None:
    """The one seller of the account that is neither closed nor rejected, locked until the transaction ends."""
    return _SELLER.optional(await connection.fetchrow(f"{_BY_OWNER} FOR UPDATE", owner_user_id))


async def lock_to_change(connection: Connection, seller_id: UUID) -> Seller | None:
    """The seller, locked against other changes and its end; who holds it, to order there, does not wait."""
    row = await connection.fetchrow(
        f"SELECT {_SELLER.sql} FROM sellers WHERE seller_id = $1 FOR NO KEY UPDATE", seller_id
    )
    return _SELLER.optional(row)


async def list_page(
    connection: Connection,
    query: SellerQuery,
    states: Sequence[SellerState],
    own: Sequence[SellerState],
    owner_user_id: UUID | None,
    after: SellerKey | None,
    limit: int,
) -> list[Seller]:
    """The next `limit` sellers after the one with that key: of everybody in `states`, of this owner in those of `own`.

    No state is in both, and one at least is there. Each state of everybody's has an index of its own for each order,
    so the cost does not grow with the number of sellers.
    """
    arguments = Arguments()
    columns = _SORTS[query.order]

    def page(conditions: Sequence[str]) -> str:
        every = [*conditions, *begins(arguments, "shop_name_key", query.name_prefix)]
        tail = follow(arguments, columns, after, limit, every, descending=query.descending)
        return f"(SELECT * FROM sellers{tail})"

    parts = [page([f"state = {arguments.add(state.value)}"]) for state in states]
    if own:
        asked = arguments.add([state.value for state in own])
        parts.append(page([f"owner_user_id = {arguments.add(owner_user_id)}", f"state = ANY({asked}::text[])"]))
    tail = follow(arguments, columns, None, limit, (), descending=query.descending)
    return _SELLER.values(
        await connection.fetch(f"SELECT {_SELLER.sql} FROM ({' UNION ALL '.join(parts)}) sellers{tail}", *arguments)
    )


def cursor_of(seller: Seller, order: str) -> SellerKey:
    """Where the seller stands in a list of this order."""
    return tuple(getattr(seller, column) for column in _SORTS[order])


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


async def set_rating(connection: Connection, seller_id: UUID, rating: Rating) -> None:
    """Write what buyers think of a shop."""
    await connection.execute(
        "INSERT INTO seller_ratings (seller_id, rating_counts) VALUES ($1, $2)"
        " ON CONFLICT (seller_id) DO UPDATE SET rating_counts = excluded.rating_counts",
        seller_id,
        list(rating.counts),
    )


async def forget_owner(connection: Connection, owner_user_id: UUID, now: datetime) -> list[UUID]:
    """Take where they are and how to reach them out of all sellers of the account; their ids."""
    rows = await connection.fetch(
        "UPDATE sellers SET pickup_address = NULL, contact = '{}', update_time = $2, version = version + 1"
        " WHERE owner_user_id = $1 RETURNING seller_id",
        owner_user_id,
        now,
    )
    return [row["seller_id"] for row in rows]
