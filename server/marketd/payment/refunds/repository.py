"""Every SQL statement of refunds, on the unit of work's asyncpg connection."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.payment.model import RefundState
from marketd.payment.ports import RefundShare
from marketd.payment.values import Refund


def _shares(text: str) -> tuple[RefundShare, ...]:
    return tuple(RefundShare(UUID(order_id), amount_minor) for order_id, amount_minor in json.loads(text))


# ruff: noqa: S608 - every interpolated part is one of the constants here
REFUND: Final = Columns(Refund, table="r", expressions={"shares": "r.shares::text"}, readers={"shares": _shares})
"""The columns of a refund, in a statement that calls the table `r`."""


async def insert_refund(
    connection: Connection, refund: Refund, *, asked_by: UUID | None, request_id: UUID | None
) -> bool:
    """Write a refund; False when another refund has the request id."""
    tag = await connection.execute(
        "INSERT INTO refunds (refund_id, payment_id, order_group_id, order_id, payment_provider, charge_key,"
        " amount_minor, currency, shares, reason, state, asked_by, request_id, fingerprint, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12, $13, $14, $15, $15)"
        " ON CONFLICT (asked_by, request_id) WHERE request_id IS NOT NULL DO NOTHING",
        refund.refund_id,
        refund.payment_id,
        refund.order_group_id,
        refund.order_id,
        refund.payment_provider,
        refund.charge_key,
        refund.amount_minor,
        refund.currency,
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
        f"SELECT {REFUND.sql} FROM refunds r WHERE asked_by = $1 AND request_id = $2", asked_by, request_id
    )
    return REFUND.optional(row)


async def read_refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """A refund."""
    row = await connection.fetchrow(f"SELECT {REFUND.sql} FROM refunds r WHERE refund_id = $1", refund_id)
    return REFUND.optional(row)


async def lock_refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """Lock a refund; its payment's row is locked already."""
    row = await connection.fetchrow(f"SELECT {REFUND.sql} FROM refunds r WHERE refund_id = $1 FOR UPDATE", refund_id)
    return REFUND.optional(row)


async def save_refund(connection: Connection, refund_id: UUID, state: RefundState, now: datetime) -> None:
    """Write the state of a locked refund."""
    await connection.execute(
        "UPDATE refunds SET state = $2, update_time = $3 WHERE refund_id = $1", refund_id, state.value, now
    )
