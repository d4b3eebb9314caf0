"""Every SQL statement of deliveries but the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from marketd.delivery.model import StopKind
from marketd.delivery.values import Delivery, DeliveryCourier, DropoffCode, Eta, Failure, Stop
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.events import outbox
from marketd.kernel.values.address import Address

# ruff: noqa: S608 - every interpolated part is one of the constants here
T = TypeVar("T")


def _if_any(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


def _stop(kind: StopKind) -> Columns[Stop]:
    name = kind.value.lower()
    return Columns(
        Stop,
        expressions={
            "kind": f"'{kind.value}'::text",
            "address": f"d.{name}",
            "arrive_time": f"d.{name}_arrive_time",
            "depart_time": f"d.{name}_depart_time",
        },
        readers={"address": _if_any(Address.from_json)},
    )


# The driver cannot decode an array inside a row, so the counts come as JSON.
_COURIER = Columns(
    DeliveryCourier, table="c", expressions={"vehicle": "d.vehicle", "rating_counts": "to_jsonb(c.rating_counts)"}
)
_PICKUP, _DROPOFF = _stop(StopKind.PICKUP), _stop(StopKind.DROPOFF)
_ETA_TIMES: Final = ("expected_time", "earliest_time", "latest_time", "estimate_time")
_ETA = Columns(Eta, expressions={name: f"d.eta_{name}" for name in _ETA_TIMES})
_FAILURE = Columns(Failure, expressions={name: f"d.failure_{name}" for name in ("reason", "note", "actor")})
DELIVERY: Final = Columns(
    Delivery,
    table="d",
    expressions={
        "failure": f"CASE WHEN d.failure_reason IS NOT NULL THEN {_FAILURE.row_sql} END",
        "courier": f"CASE WHEN c.courier_id IS NOT NULL THEN {_COURIER.row_sql} END",
        "pickup": _PICKUP.row_sql,
        "dropoff": _DROPOFF.row_sql,
        "eta": f"CASE WHEN d.eta_expected_time IS NOT NULL THEN {_ETA.row_sql} END",
    },
    readers={
        "failure": _if_any(_FAILURE.from_tuple),
        "courier": _if_any(_COURIER.from_tuple),
        "pickup": _PICKUP.from_tuple,
        "dropoff": _DROPOFF.from_tuple,
        "eta": _if_any(_ETA.from_tuple),
    },
)
_PERSONAL: Final = ("recipient", "phone", "lines", "point", "entrance", "floor", "notes")
FROM: Final = "deliveries d LEFT JOIN couriers c ON c.courier_id = d.courier_id"
_READ: Final = f"SELECT {DELIVERY.sql} FROM {FROM}"


async def insert(connection: Connection, new: Delivery) -> bool:
    """Write a new delivery unless its order has or had one; whether it was written."""
    eta = new.eta
    tag = await connection.execute(
        "INSERT INTO deliveries (delivery_id, order_id, order_number, seller_id, owner_user_id, buyer_id,"
        " state, dropoff_code, pickup, dropoff, fee_minor, currency, item_count, ready_time, eta_expected_time,"
        " eta_earliest_time, eta_latest_time, eta_estimate_time, create_time, update_time, version)"
        " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb, $11, $12, $13, $14, $15, $16, $17, $18,"
        " $19, $20, $21 WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE order_id = $2)"
        " ON CONFLICT (order_id) WHERE state <> 'CLOSED' DO NOTHING",
        new.delivery_id,
        new.order_id,
        new.order_number,
        new.seller_id,
        new.owner_user_id,
        new.buyer_id,
        new.state.value,
        new.dropoff_code,
        _json(new.pickup.address),
        _json(new.dropoff.address),
        new.fee_minor,
        new.currency,
        new.item_count,
        new.ready_time,
        *(getattr(eta, name, None) for name in _ETA_TIMES),
        new.create_time,
        new.update_time,
        new.version,
    )
    return tag == "INSERT 0 1"


async def save(connection: Connection, delivery: Delivery) -> None:
    """Write what can change of a locked delivery."""
    courier, eta, failure = delivery.courier, delivery.eta, delivery.failure
    await connection.execute(
        "UPDATE deliveries SET state = $2, outcome = $3, courier_id = $4, vehicle = $5, shift_id = $6,"
        " pickup_arrive_time = $7, pickup_depart_time = $8, dropoff_arrive_time = $9, dropoff_depart_time = $10,"
        " eta_expected_time = $11, eta_earliest_time = $12, eta_latest_time = $13, eta_estimate_time = $14,"
        " item_count = $15, proof_media_ids = $16, offer_time = $17, assign_time = $18, pick_up_time = $19,"
        " close_time = $20, update_time = $21, version = $22, failure_reason = $23, failure_note = $24,"
        " failure_actor = $25"
        " WHERE delivery_id = $1",
        delivery.delivery_id,
        delivery.state.value,
        None if delivery.outcome is None else delivery.outcome.value,
        None if courier is None else courier.courier_id,
        None if courier is None else courier.vehicle.value,
        delivery.shift_id,
        delivery.pickup.arrive_time,
        delivery.pickup.depart_time,
        delivery.dropoff.arrive_time,
        delivery.dropoff.depart_time,
        *(getattr(eta, name, None) for name in _ETA_TIMES),
        delivery.item_count,
        delivery.proof_media_ids,
        delivery.offer_time,
        delivery.assign_time,
        delivery.pick_up_time,
        delivery.close_time,
        delivery.update_time,
        delivery.version,
        None if failure is None else failure.reason.value,
        None if failure is None else failure.note,
        None if failure is None else failure.actor.value,
    )


async def read(connection: Connection, delivery_id: UUID) -> Delivery | None:
    """The delivery, whosever it is."""
    return DELIVERY.optional(await connection.fetchrow(f"{_READ} WHERE d.delivery_id = $1", delivery_id))


async def read_many(connection: Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, Delivery]:
    """Those of the deliveries that exist."""
    rows = await connection.fetch(f"{_READ} WHERE d.delivery_id = ANY($1::uuid[])", delivery_ids)
    return {delivery.delivery_id: delivery for delivery in DELIVERY.values(rows)}


async def lock(connection: Connection, delivery_id: UUID) -> Delivery | None:
    """The delivery with its row locked; lock the courier's before.

    A second statement reads: after a wait for the lock, a join in the same one would still show the courier of before.
    """
    await connection.execute("SELECT 1 FROM deliveries WHERE delivery_id = $1 FOR NO KEY UPDATE", delivery_id)
    return await read(connection, delivery_id)


async def open_of_order(connection: Connection, order_id: UUID) -> UUID | None:
    """The open delivery of the order."""
    found: UUID | None = await connection.fetchval(
        "SELECT delivery_id FROM deliveries WHERE order_id = $1 AND state <> 'CLOSED'", order_id
    )
    return found


async def exists_of_order(connection: Connection, order_id: UUID) -> bool:
    """Whether the order has or had a delivery."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT 1 FROM deliveries WHERE order_id = $1)", order_id)
    return found


async def waiting_of_courier(connection: Connection, courier_id: UUID) -> list[UUID]:
    """What the courier has and has not picked up, in the order in which to lock it."""
    rows = await connection.fetch(
        "SELECT delivery_id FROM deliveries WHERE courier_id = $1 AND state IN ('ASSIGNED', 'AT_PICKUP')"
        " ORDER BY delivery_id",
        courier_id,
    )
    return [row["delivery_id"] for row in rows]


async def forget_person(connection: Connection, user_id: UUID, now: datetime, limit: int) -> int:
    """Take what belongs to a person out of the stops of deliveries: of the drop-off where the person received it, of
    the pickup where the shop was the person's. City, postal code and region stay. At most `limit` rows; how many went.

    Their orders are over, or the account would still be there; one that is open has yet to hear of it.
    """
    tag = await connection.execute(
        "UPDATE deliveries SET dropoff = CASE WHEN buyer_id = $1 THEN dropoff - $2::text[] ELSE dropoff END,"
        " pickup = CASE WHEN owner_user_id = $1 THEN pickup - $2::text[] ELSE pickup END,"
        " update_time = $3, version = version + 1"
        " WHERE delivery_id IN (SELECT delivery_id FROM deliveries WHERE (buyer_id = $1 AND dropoff ?| $2::text[]"
        "   OR owner_user_id = $1 AND pickup ?| $2::text[]) ORDER BY delivery_id LIMIT $4"
        "   FOR NO KEY UPDATE)",
        user_id,
        _PERSONAL,
        now,
        limit,
    )
    return int(tag.rpartition(" ")[2])


async def drop_old_proofs(connection: Connection, before: datetime, now: datetime, limit: int) -> list[UUID]:
    """Take the proofs from deliveries that closed before the instant, the oldest first; whose they were."""
    rows = await connection.fetch(
        "UPDATE deliveries SET proof_media_ids = '{}', update_time = $2, version = version + 1 WHERE delivery_id IN"
        " (SELECT delivery_id FROM deliveries WHERE close_time < $1 AND proof_media_ids <> '{}' ORDER BY close_time"
        "   LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)"
        " RETURNING delivery_id",
        before,
        now,
        limit,
    )
    return [row["delivery_id"] for row in rows]


async def drop_proofs_of_buyer(connection: Connection, user_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Take the proofs from at most `limit` deliveries to this person; which they were."""
    rows = await connection.fetch(
        "UPDATE deliveries SET proof_media_ids = '{}', update_time = $2, version = version + 1 WHERE delivery_id IN"
        " (SELECT delivery_id FROM deliveries WHERE buyer_id = $1 AND proof_media_ids <> '{}' ORDER BY delivery_id"
        "   LIMIT $3 FOR NO KEY UPDATE)"
        " RETURNING delivery_id",
        user_id,
        now,
        limit,
    )
    return [row["delivery_id"] for row in rows]


async def one_open_of_courier(connection: Connection, courier_id: UUID) -> UUID | None:
    """One of the courier's open deliveries, if there is any."""
    found: UUID | None = await connection.fetchval(
        "SELECT delivery_id FROM deliveries WHERE courier_id = $1 AND state <> 'CLOSED' ORDER BY delivery_id LIMIT 1",
        courier_id,
    )
    return found


async def open_of_courier(connection: Connection, courier_id: UUID) -> list[Delivery]:
    """What the courier has now, in the order in which it was assigned."""
    rows = await connection.fetch(
        f"{_READ} WHERE d.courier_id = $1 AND d.state <> 'CLOSED' ORDER BY d.assign_time, d.delivery_id", courier_id
    )
    return DELIVERY.values(rows)


async def snapshot(connection: Connection, courier_id: UUID) -> tuple[int, list[Delivery]]:
    """The courier's last event number and open deliveries. One statement reads both, so neither is ahead."""
    rows = await connection.fetch(
        f"SELECT s.last_seq, {DELIVERY.sql} FROM (SELECT {outbox.LAST_SEQ} AS last_seq) s"
        f" LEFT JOIN ({FROM}) ON d.courier_id = $1 AND d.state <> 'CLOSED' ORDER BY d.assign_time, d.delivery_id",
        courier_id,
    )
    return rows[0]["last_seq"], DELIVERY.values([row for row in rows if row["delivery_id"] is not None])


_CODE = Columns(DropoffCode, table="d")


async def lock_code(connection: Connection, delivery_id: UUID, courier_user_id: UUID) -> DropoffCode | None:
    """The code of a picked-up delivery of this courier, with the row locked; None when there is no such."""
    row = await connection.fetchrow(
        f"SELECT {_CODE.sql} FROM deliveries d JOIN couriers c USING (courier_id)"
        " WHERE d.delivery_id = $1 AND c.user_id = $2 AND d.state IN ('PICKED_UP', 'AT_DROPOFF')"
        " FOR NO KEY UPDATE OF d",
        delivery_id,
        courier_user_id,
    )
    return _CODE.optional(row)


async def save_wrong_codes(
    connection: Connection, delivery_id: UUID, wrong_codes: int, locked_until: datetime | None
) -> None:
    """How many wrong codes there were, and until when no further one is looked at. Nobody is shown it: no version."""
    await connection.execute(
        "UPDATE deliveries SET wrong_codes = $2, code_locked_until = $3 WHERE delivery_id = $1",
        delivery_id,
        wrong_codes,
        locked_until,
    )


def _json(address: Address | None) -> str | None:
    return None if address is None else address.to_json_text()
