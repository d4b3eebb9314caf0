"""Every SQL statement of payments, on the unit of work's asyncpg connection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.payment.model import OPEN_STATES, AttemptState, PaymentState, RefundState
from marketd.payment.ports import Outcome, Share
from marketd.payment.values import Attempt, Payment, Refund

_PAYMENT = (
    "payment_id, order_group_id, buyer_id, provider, state, amount_minor, currency, captured_minor,"
    " refund_reserved_minor, refunded_minor, redirect_url, decline_code, decline_message, decline_time, create_time,"
    " update_time, capture_time, expire_time"
)
_ATTEMPT = (
    "attempt_id, payment_id, order_group_id, number, key, provider, fingerprint, method, return_url, amount_minor,"
    " currency, state, is_late, redirect_url, decline_code, decline_message, create_time, update_time"
)
_REFUND = (
    "refund_id, payment_id, order_group_id, order_id, provider, charge_key, amount_minor, currency,"
    " shares::text AS shares, reason, state, fingerprint, create_time, update_time"
)
_OPEN = [state.value for state in OPEN_STATES]
_UNSETTLED = [AttemptState.PENDING.value, AttemptState.ACTION_REQUIRED.value]
# ruff: noqa: S608 - every interpolated part is one of the constants above


def _payment(row: Record, refunds: Sequence[Refund] = ()) -> Payment:
    values: dict[str, Any] = dict(row)
    values["state"] = PaymentState(values["state"])
    return Payment(**values, refunds=tuple(refunds))


def _attempt(row: Record) -> Attempt:
    values: dict[str, Any] = dict(row)
    values["state"] = AttemptState(values["state"])
    return Attempt(**values)


def _refund(row: Record) -> Refund:
    return Refund(
        row["refund_id"],
        row["payment_id"],
        row["order_group_id"],
        row["order_id"],
        row["provider"],
        row["charge_key"],
        Money(row["amount_minor"], row["currency"]),
        tuple(Share(UUID(order_id), amount) for order_id, amount in json.loads(row["shares"])),
        row["reason"],
        RefundState(row["state"]),
        row["fingerprint"],
        row["create_time"],
        row["update_time"],
    )


# -- payments


async def insert_payment(connection: Connection, payment: Payment) -> None:
    """Write a new payment."""
    await connection.execute(
        "INSERT INTO payments (payment_id, order_group_id, buyer_id, provider, state, amount_minor, currency,"
        " create_time, update_time, expire_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
        payment.payment_id,
        payment.order_group_id,
        payment.buyer_id,
        payment.provider,
        payment.state.value,
        payment.amount_minor,
        payment.currency,
        payment.create_time,
        payment.expire_time,
    )


async def read_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment without its refunds."""
    row = await connection.fetchrow(f"SELECT {_PAYMENT} FROM payments WHERE payment_id = $1", payment_id)
    return None if row is None else _payment(row)


async def read_whole(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment with its refunds, oldest first."""
    row = await connection.fetchrow(f"SELECT {_PAYMENT} FROM payments WHERE payment_id = $1", payment_id)
    if row is None:
        return None
    refunds = await connection.fetch(
        f"SELECT {_REFUND} FROM refunds WHERE payment_id = $1 ORDER BY refund_id", payment_id
    )
    return _payment(row, [_refund(refund) for refund in refunds])


async def read_group(connection: Connection, order_group_id: UUID) -> list[Payment]:
    """All payments of a group, oldest first, without their refunds."""
    rows = await connection.fetch(
        f"SELECT {_PAYMENT} FROM payments WHERE order_group_id = $1 ORDER BY payment_id", order_group_id
    )
    return [_payment(row) for row in rows]


async def lock_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Lock a payment; the group's row is locked already."""
    row = await connection.fetchrow(f"SELECT {_PAYMENT} FROM payments WHERE payment_id = $1 FOR UPDATE", payment_id)
    return None if row is None else _payment(row)


async def lock_group(connection: Connection, order_group_id: UUID) -> None:
    """Lock all payments of a group, in id order; the group's row is locked already."""
    await connection.fetch(
        "SELECT payment_id FROM payments WHERE order_group_id = $1 ORDER BY payment_id FOR UPDATE", order_group_id
    )


async def lock_open(connection: Connection, order_group_id: UUID) -> Payment | None:
    """Lock the group's open payment, when it has one."""
    row = await connection.fetchrow(
        f"SELECT {_PAYMENT} FROM payments WHERE order_group_id = $1 AND state = ANY($2::text[]) FOR UPDATE",
        order_group_id,
        _OPEN,
    )
    return None if row is None else _payment(row)


async def lock_captured(connection: Connection, order_group_id: UUID) -> Payment | None:
    """Lock the payment that paid for the group, while some of its money is left."""
    row = await connection.fetchrow(
        f"SELECT {_PAYMENT} FROM payments WHERE order_group_id = $1 AND captured_minor > refund_reserved_minor"
        " ORDER BY payment_id LIMIT 1 FOR UPDATE",
        order_group_id,
    )
    return None if row is None else _payment(row)


async def save_payment(connection: Connection, payment: Payment) -> None:
    """Write what can change of a locked payment."""
    await connection.execute(
        "UPDATE payments SET state = $2, amount_minor = $3, captured_minor = $4, refund_reserved_minor = $5,"
        " refunded_minor = $6, redirect_url = $7, decline_code = $8, decline_message = $9, decline_time = $10,"
        " update_time = $11, capture_time = $12 WHERE payment_id = $1",
        payment.payment_id,
        payment.state.value,
        payment.amount_minor,
        payment.captured_minor,
        payment.refund_reserved_minor,
        payment.refunded_minor,
        payment.redirect_url,
        payment.decline_code,
        payment.decline_message,
        payment.decline_time,
        payment.update_time,
        payment.capture_time,
    )


# -- attempts


async def insert_attempt(
    connection: Connection,
    payment: Payment,
    *,
    request_id: UUID,
    fingerprint: bytes,
    method: str,
    return_url: str,
    now: datetime,
) -> Attempt | None:
    """Write the group's next attempt; None when another payment's attempt has the request id."""
    row = await connection.fetchrow(
        "INSERT INTO payment_attempts (attempt_id, payment_id, order_group_id, number, key, provider, buyer_id,"
        " request_id, fingerprint, method, return_url, amount_minor, currency, state, create_time, update_time)"
        " SELECT $1, $2, $3, n.number, 'order:' || $3::uuid || ':attempt:' || n.number, $4, $5, $6, $7, $8, $9, $10,"
        "   $11, $12, $13, $13"
        " FROM (SELECT COALESCE(max(number), 0) + 1 AS number FROM payment_attempts WHERE order_group_id = $3) n"
        f" ON CONFLICT (buyer_id, request_id) DO NOTHING RETURNING {_ATTEMPT}",
        new_id(),
        payment.payment_id,
        payment.order_group_id,
        payment.provider,
        payment.buyer_id,
        request_id,
        fingerprint,
        method,
        return_url,
        payment.amount_minor,
        payment.currency,
        AttemptState.PENDING.value,
        now,
    )
    return None if row is None else _attempt(row)


async def find_attempt(connection: Connection, buyer_id: UUID, request_id: UUID) -> Attempt | None:
    """The attempt of a request."""
    row = await connection.fetchrow(
        f"SELECT {_ATTEMPT} FROM payment_attempts WHERE buyer_id = $1 AND request_id = $2", buyer_id, request_id
    )
    return None if row is None else _attempt(row)


async def read_attempt(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """An attempt."""
    row = await connection.fetchrow(f"SELECT {_ATTEMPT} FROM payment_attempts WHERE attempt_id = $1", attempt_id)
    return None if row is None else _attempt(row)


async def lock_attempt(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """Lock an attempt; its payment's row is locked already."""
    row = await connection.fetchrow(
        f"SELECT {_ATTEMPT} FROM payment_attempts WHERE attempt_id = $1 FOR UPDATE", attempt_id
    )
    return None if row is None else _attempt(row)


async def read_unsettled(connection: Connection, order_group_id: UUID) -> list[Attempt]:
    """The group's attempts that the provider may still answer, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_ATTEMPT} FROM payment_attempts WHERE order_group_id = $1 AND state = ANY($2::text[])"
        " ORDER BY number",
        order_group_id,
        _UNSETTLED,
    )
    return [_attempt(row) for row in rows]


async def read_stuck(connection: Connection, now: datetime, age: timedelta, limit: int) -> list[UUID]:
    """Attempts whose outcome nobody has learned for `age`."""
    rows = await connection.fetch(
        "SELECT attempt_id FROM payment_attempts WHERE state = $1 AND update_time < $2 ORDER BY update_time LIMIT $3",
        AttemptState.PENDING.value,
        now - age,
        limit,
    )
    return [row["attempt_id"] for row in rows]


async def save_outcome(
    connection: Connection, attempt_id: UUID, outcome: Outcome, now: datetime, *, is_late: bool
) -> None:
    """Write what the provider said of a locked attempt."""
    await connection.execute(
        "UPDATE payment_attempts SET state = $2, is_late = $3, redirect_url = $4, decline_code = $5,"
        " decline_message = $6, update_time = $7 WHERE attempt_id = $1",
        attempt_id,
        outcome.state.value,
        is_late,
        outcome.redirect_url,
        outcome.decline_code,
        outcome.decline_message,
        now,
    )


async def charge_key(connection: Connection, payment_id: UUID) -> str | None:
    """The provider's key of the charge that paid."""
    key: str | None = await connection.fetchval(
        "SELECT key FROM payment_attempts WHERE payment_id = $1 AND state = $2 AND NOT is_late ORDER BY number LIMIT 1",
        payment_id,
        AttemptState.CAPTURED.value,
    )
    return key


# -- refunds


async def insert_refund(
    connection: Connection, refund: Refund, *, asked_by: UUID | None, request_id: UUID | None
) -> bool:
    """Write a refund; False when another refund has the request id."""
    tag = await connection.execute(
        "INSERT INTO refunds (refund_id, payment_id, order_group_id, order_id, provider, charge_key, amount_minor,"
        " currency, shares, reason, state, asked_by, request_id, fingerprint, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12, $13, $14, $15, $15)"
        " ON CONFLICT (asked_by, request_id) WHERE request_id IS NOT NULL DO NOTHING",
        refund.refund_id,
        refund.payment_id,
        refund.order_group_id,
        refund.order_id,
        refund.provider,
        refund.charge_key,
        refund.amount.amount_minor,
        refund.amount.currency,
        json.dumps([[str(share.order_id), share.amount_minor] for share in refund.shares]),
        refund.reason,
        refund.state.value,
        asked_by,
        request_id,
        refund.fingerprint,
        refund.create_time,
    )
    return tag == "INSERT 0 1"


async def find_refund(connection: Connection, asked_by: UUID, request_id: UUID) -> Refund | None:
    """The refund of a request."""
    row = await connection.fetchrow(
        f"SELECT {_REFUND} FROM refunds WHERE asked_by = $1 AND request_id = $2", asked_by, request_id
    )
    return None if row is None else _refund(row)


async def read_refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """A refund."""
    row = await connection.fetchrow(f"SELECT {_REFUND} FROM refunds WHERE refund_id = $1", refund_id)
    return None if row is None else _refund(row)


async def lock_refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """Lock a refund; its payment's row is locked already."""
    row = await connection.fetchrow(f"SELECT {_REFUND} FROM refunds WHERE refund_id = $1 FOR UPDATE", refund_id)
    return None if row is None else _refund(row)


async def save_refund(connection: Connection, refund_id: UUID, state: RefundState, now: datetime) -> None:
    """Write the state of a locked refund."""
    await connection.execute(
        "UPDATE refunds SET state = $2, update_time = $3 WHERE refund_id = $1", refund_id, state.value, now
    )
