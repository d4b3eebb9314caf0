"""Every SQL statement of payments, on the unit of work's asyncpg connection. Attempts and refunds have their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arrays, Columns
from marketd.payment.model import OPEN_STATES, AttemptState
from marketd.payment.refunds.repository import REFUND
from marketd.payment.values import Payment

# ruff: noqa: S608 - every interpolated part is one of the constants here
_OPEN = [state.value for state in OPEN_STATES]
_PAYMENT = Columns(Payment, without=("refunds",))
_WHOLE = Columns(
    Payment,
    table="p",
    expressions={
        "refunds": f"ARRAY(SELECT {REFUND.row_sql} FROM refunds r WHERE r.payment_id = p.payment_id"
        " ORDER BY r.refund_id)"
    },
    readers={"refunds": lambda rows: tuple(map(REFUND.from_tuple, rows))},
)


_NEW: Arrays[Payment] = Arrays(
    {
        "payment_id": "uuid",
        "order_group_id": "uuid",
        "buyer_id": "uuid",
        "payment_provider": "text",
        "state": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "create_time": "timestamptz",
        "update_time": "timestamptz",
        "expire_time": "timestamptz",
        "capture_time": "timestamptz",
    }
)


def insert_sql(first: int) -> str:
    """SQL that writes a new payment; its arguments are `$first` and those after it."""
    rows = f"unnest({_NEW.places(first)}) AS n({_NEW.sql})"
    return f"INSERT INTO payments ({_NEW.sql}) SELECT {_NEW.select('n')} FROM {rows}"


def insert_arguments(payment: Payment) -> list[Sequence[object]]:
    """What `insert_sql` takes."""
    return _NEW.of([payment])


_INSERT: Final = insert_sql(1)


async def insert_payment(connection: Connection, payment: Payment) -> None:
    """Write a new payment."""
    await connection.execute(_INSERT, *insert_arguments(payment))


async def read_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment without its refunds."""
    row = await connection.fetchrow(f"SELECT {_PAYMENT.sql} FROM payments WHERE payment_id = $1", payment_id)
    return _PAYMENT.optional(row)


async def read_whole(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment with its refunds, oldest first."""
    row = await connection.fetchrow(f"SELECT {_WHOLE.sql} FROM payments p WHERE payment_id = $1", payment_id)
    return _WHOLE.optional(row)


async def read_group(connection: Connection, order_group_id: UUID) -> list[Payment]:
    """All payments of a group, oldest first, without their refunds."""
    rows = await connection.fetch(
        f"SELECT {_PAYMENT.sql} FROM payments WHERE order_group_id = $1 ORDER BY payment_id", order_group_id
    )
    return _PAYMENT.values(rows)


async def lock_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Lock a payment; the group's row is locked already."""
    row = await connection.fetchrow(f"SELECT {_PAYMENT.sql} FROM payments WHERE payment_id = $1 FOR UPDATE", payment_id)
    return _PAYMENT.optional(row)


async def lock_group(connection: Connection, order_group_id: UUID) -> None:
    """Lock all payments of a group, in id order; the group's row is locked already."""
    await connection.fetch(
        "SELECT payment_id FROM payments WHERE order_group_id = $1 ORDER BY payment_id FOR UPDATE", order_group_id
    )


async def lock_open(connection: Connection, order_group_id: UUID) -> Payment | None:
    """Lock the group's open payment, when it has one."""
    row = await connection.fetchrow(
        f"SELECT {_PAYMENT.sql} FROM payments WHERE order_group_id = $1 AND state = ANY($2::text[]) FOR UPDATE",
        order_group_id,
        _OPEN,
    )
    return _PAYMENT.optional(row)


async def lock_captured(connection: Connection, order_group_id: UUID) -> Payment | None:
    """Lock the payment that paid for the group, while some of its money is left. Money that came late paid nothing."""
    row = await connection.fetchrow(
        f"SELECT {_PAYMENT.sql} FROM payments p WHERE order_group_id = $1"
        " AND captured_amount_minor > refund_reserved_minor AND EXISTS (SELECT 1 FROM payment_attempts a"
        "   WHERE a.payment_id = p.payment_id AND a.state = $2 AND NOT a.late)"
        " ORDER BY payment_id LIMIT 1 FOR UPDATE",
        order_group_id,
        AttemptState.CAPTURED.value,
    )
    return _PAYMENT.optional(row)


async def save_payment(connection: Connection, payment: Payment) -> None:
    """Write what can change of a locked payment, and raise its version."""
    await connection.execute(
        "UPDATE payments SET state = $2, amount_minor = $3, captured_amount_minor = $4, refund_reserved_minor = $5,"
        " refunded_amount_minor = $6, redirect_url = $7, decline_code = $8, decline_message = $9, decline_time = $10,"
        " update_time = $11, capture_time = $12, version = version + 1 WHERE payment_id = $1",
        payment.payment_id,
        payment.state.value,
        payment.amount_minor,
        payment.captured_amount_minor,
        payment.refund_reserved_minor,
        payment.refunded_amount_minor,
        payment.redirect_url,
        payment.decline_code,
        payment.decline_message,
        payment.decline_time,
        payment.update_time,
        payment.capture_time,
    )
