"""Every statement on deliveries. All run on `connection`, so they serve both dresses of the unit of work and reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.delivery.model import DeliveryTable
from marketd.delivery.states import DeliveryOutcome, DeliveryState, StopKind, Vehicle
from marketd.delivery.values import BringerView, DeliveryView, Eta, Rating, StopView
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.address import Address
from marketd.kernel.values.money import Money

# What `to_view` reads, and where from; listing.py selects the same.
COLUMNS: Final = (
    "d.delivery_id, d.order_id, d.order_number, d.seller_id, d.owner_user_id, d.buyer_id, d.state,"
    " d.outcome, d.courier_id, d.vehicle, d.dropoff_code, d.pickup, d.dropoff, d.pickup_arrive_time,"
    " d.pickup_depart_time, d.dropoff_arrive_time, d.dropoff_depart_time, d.eta_expected_time, d.eta_earliest_time,"
    " d.eta_latest_time, d.eta_estimate_time, d.fee_minor, d.currency, d.item_count, d.proof_media_ids,"
    " d.create_time, d.update_time, d.ready_time, d.offer_time, d.assign_time, d.at_pickup_time,"
    " d.pick_up_time, d.at_dropoff_time, d.close_time, d.version,"
    " c.user_id AS courier_user_id, c.first_name, c.rating_counts"
)
FROM: Final = "deliveries d LEFT JOIN couriers c ON c.courier_id = d.courier_id"
_CHANGEABLE: Final = frozenset(DeliveryTable.__table__.columns.keys()) - {
    "delivery_id",
    "order_id",
    "create_time",
    "version",
}


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be made; `pickup` is None when the shop gave no address."""

    delivery_id: UUID
    order_id: UUID
    order_number: str
    seller_id: UUID
    owner_user_id: UUID
    buyer_id: UUID
    dropoff_code: str
    pickup: Address | None
    dropoff: Address
    fee: Money
    item_count: int
    ready_time: datetime
    eta: Eta


async def insert(connection: Connection, new: NewDelivery, now: datetime) -> bool:
    """Make the delivery unless its order has or had one; whether it was made."""
    tag = await connection.execute(
        "INSERT INTO deliveries (delivery_id, order_id, order_number, seller_id, owner_user_id, buyer_id,"
        " state, dropoff_code, pickup, dropoff, fee_minor, currency, item_count, ready_time, eta_expected_time,"
        " eta_earliest_time, eta_latest_time, eta_estimate_time, create_time, update_time)"
        " SELECT $1, $2, $3, $4, $5, $6, 'CREATED', $7, $8::jsonb, $9::jsonb, $10, $11, $12, $13, $14, $15, $16, $17,"
        " $18, $18 WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE order_id = $2)"
        " ON CONFLICT (order_id) WHERE state <> 'CLOSED' DO NOTHING",
        new.delivery_id,
        new.order_id,
        new.order_number,
        new.seller_id,
        new.owner_user_id,
        new.buyer_id,
        new.dropoff_code,
        new.pickup.to_json_text() if new.pickup is not None else None,
        new.dropoff.to_json_text(),
        new.fee.amount_minor,
        new.fee.currency,
        new.item_count,
        new.ready_time,
        new.eta.expected_time,
        new.eta.earliest_time,
        new.eta.latest_time,
        new.eta.estimate_time,
        now,
    )
    return tag == "INSERT 0 1"


async def read(connection: Connection, delivery_id: UUID) -> DeliveryView | None:
    """The delivery, whosever it is."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM {FROM} WHERE d.delivery_id = $1", delivery_id)  # noqa: S608 - constants
    return to_view(row) if row is not None else None


async def lock(connection: Connection, delivery_id: UUID) -> DeliveryView | None:
    """The delivery with its row locked; lock the courier's before.

    Two statements: after a wait for the lock, a join in the same one would still see the courier of before the wait.
    """
    await connection.execute("SELECT 1 FROM deliveries WHERE delivery_id = $1 FOR NO KEY UPDATE", delivery_id)
    return await read(connection, delivery_id)


async def open_of_order(connection: Connection, order_id: UUID) -> UUID | None:
    """The open delivery of the order."""
    found: UUID | None = await connection.fetchval(
        "SELECT delivery_id FROM deliveries WHERE order_id = $1 AND state <> 'CLOSED'", order_id
    )
    return found


async def change(
    connection: Connection, delivery_id: UUID, now: datetime, changes: Mapping[str, object]
) -> DeliveryView:
    """Write the named columns of a locked row, raise its version, and give the delivery back as it is then."""
    if not _CHANGEABLE.issuperset(changes):
        raise ValueError(f"not columns that change: {sorted(changes.keys() - _CHANGEABLE)}")
    pairs = "".join(f", {column} = ${place}" for place, column in enumerate(changes, start=3))
    await connection.execute(
        f"UPDATE deliveries SET update_time = $2, version = version + 1{pairs} WHERE delivery_id = $1",  # noqa: S608 - names of columns
        delivery_id,
        now,
        *changes.values(),
    )
    changed = await read(connection, delivery_id)
    if changed is None:
        raise RuntimeError("a locked delivery is gone")
    return changed


@dataclass(frozen=True, slots=True)
class CodeState:
    """What judging a drop-off code needs, of a delivery that the courier has in hands."""

    code: str
    wrong_codes: int
    locked_until: datetime | None


async def lock_code(connection: Connection, delivery_id: UUID, courier_user_id: UUID) -> CodeState | None:
    """The code of a picked-up delivery of this courier, with the row locked; None when there is no such."""
    row = await connection.fetchrow(
        "SELECT d.dropoff_code, d.wrong_codes, d.code_locked_until FROM deliveries d JOIN couriers c USING (courier_id)"
        " WHERE d.delivery_id = $1 AND c.user_id = $2 AND d.state IN ('PICKED_UP', 'AT_DROPOFF')"
        " FOR NO KEY UPDATE OF d",
        delivery_id,
        courier_user_id,
    )
    return CodeState(row["dropoff_code"], row["wrong_codes"], row["code_locked_until"]) if row is not None else None


async def write_wrong_codes(
    connection: Connection, delivery_id: UUID, wrong_codes: int, locked_until: datetime | None
) -> None:
    """How many wrong codes there were, and until when no further one is looked at. Nobody is shown it: no version."""
    await connection.execute(
        "UPDATE deliveries SET wrong_codes = $2, code_locked_until = $3 WHERE delivery_id = $1",
        delivery_id,
        wrong_codes,
        locked_until,
    )


async def open_of_courier(connection: Connection, courier_id: UUID) -> list[DeliveryView]:
    """What the courier has now, in the order in which it was assigned."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM {FROM} WHERE d.courier_id = $1 AND d.state <> 'CLOSED'"  # noqa: S608 - constants
        " ORDER BY d.assign_time, d.delivery_id",
        courier_id,
    )
    return [to_view(row) for row in rows]


async def snapshot(connection: Connection, courier_id: UUID) -> tuple[int, list[DeliveryView]]:
    """The courier's last event number and open deliveries, by one statement, so neither is ahead of the other."""
    rows = await connection.fetch(
        f"SELECT s.last_seq, {COLUMNS} FROM (SELECT coalesce((SELECT last_seq FROM aggregate_sequences"  # noqa: S608 - constants
        "  WHERE aggregate_id = $1), 0) AS last_seq) s"
        f" LEFT JOIN ({FROM}) ON d.courier_id = $1 AND d.state <> 'CLOSED' ORDER BY d.assign_time, d.delivery_id",
        courier_id,
    )
    return int(rows[0]["last_seq"]), [to_view(row) for row in rows if row["delivery_id"] is not None]


async def read_many(connection: Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, DeliveryView]:
    """Those of the deliveries that exist."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM {FROM} WHERE d.delivery_id = ANY($1::uuid[])",  # noqa: S608 - constants
        list(delivery_ids),
    )
    return {row["delivery_id"]: to_view(row) for row in rows}


def to_view(row: Record) -> DeliveryView:
    """A row with the columns of `COLUMNS`."""
    return DeliveryView(
        delivery_id=row["delivery_id"],
        order_id=row["order_id"],
        order_number=row["order_number"],
        seller_id=row["seller_id"],
        owner_user_id=row["owner_user_id"],
        buyer_id=row["buyer_id"],
        state=DeliveryState(row["state"]),
        outcome=DeliveryOutcome(row["outcome"]) if row["outcome"] is not None else None,
        courier=_bringer(row),
        dropoff_code=row["dropoff_code"],
        pickup=_stop(row, StopKind.PICKUP),
        dropoff=_stop(row, StopKind.DROPOFF),
        eta=_eta(row),
        fee=Money(row["fee_minor"], row["currency"]),
        item_count=row["item_count"],
        proof_media_ids=tuple(row["proof_media_ids"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
        ready_time=row["ready_time"],
        offer_time=row["offer_time"],
        assign_time=row["assign_time"],
        at_pickup_time=row["at_pickup_time"],
        pick_up_time=row["pick_up_time"],
        at_dropoff_time=row["at_dropoff_time"],
        close_time=row["close_time"],
        version=row["version"],
    )


def _bringer(row: Record) -> BringerView | None:
    if row["courier_id"] is None:
        return None
    return BringerView(
        courier_id=row["courier_id"],
        user_id=row["courier_user_id"],
        first_name=row["first_name"],
        vehicle=Vehicle(row["vehicle"]),
        rating=Rating(tuple(row["rating_counts"])),
    )


def _stop(row: Record, kind: StopKind) -> StopView:
    name = kind.value.lower()
    address = row[name]
    return StopView(
        kind=kind,
        address=Address.from_json(address) if address is not None else None,
        arrive_time=row[f"{name}_arrive_time"],
        depart_time=row[f"{name}_depart_time"],
    )


def _eta(row: Record) -> Eta | None:
    if row["eta_expected_time"] is None:
        return None
    return Eta(
        expected_time=row["eta_expected_time"],
        earliest_time=row["eta_earliest_time"],
        latest_time=row["eta_latest_time"],
        estimate_time=row["eta_estimate_time"],
    )
