"""Every SQL statement of the sandbox's books, on the connection of the sandbox's own units of work."""

from __future__ import annotations

from datetime import datetime

from marketd.kernel.db.database import Connection
from marketd.kernel.values.money import Money
from marketd.payment.model import AttemptState


async def insert_charge(connection: Connection, key: str, amount: Money, state: AttemptState, now: datetime) -> None:
    """Write a charge, unless the key is known."""
    await connection.execute(
        "INSERT INTO sandbox_charges (key, amount_minor, currency, state, captured_amount_minor, create_time)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING",
        key,
        amount.amount_minor,
        amount.currency,
        state.value,
        amount.amount_minor if state is AttemptState.CAPTURED else 0,
        now,
    )


async def read_state(connection: Connection, key: str) -> AttemptState | None:
    """Where a charge stands; None when its key never came."""
    state = await connection.fetchval("SELECT state FROM sandbox_charges WHERE key = $1", key)
    return None if state is None else AttemptState(state)


async def cancel_waiting(connection: Connection, key: str) -> None:
    """Cancel a charge that waits for its buyer."""
    await connection.execute(
        "UPDATE sandbox_charges SET state = $2 WHERE key = $1 AND state = $3",
        key,
        AttemptState.CANCELLED.value,
        AttemptState.ACTION_REQUIRED.value,
    )


async def capture_waiting(connection: Connection, key: str) -> None:
    """Take the money of a charge that waits for its buyer."""
    await connection.execute(
        "UPDATE sandbox_charges SET state = $2, captured_amount_minor = amount_minor WHERE key = $1 AND state = $3",
        key,
        AttemptState.CAPTURED.value,
        AttemptState.ACTION_REQUIRED.value,
    )


async def lock_left(connection: Connection, key: str) -> int | None:
    """Lock a charge; how much of its money was not given back, in minor units, or None when its key never came."""
    left: int | None = await connection.fetchval(
        "SELECT captured_amount_minor - refunded_amount_minor FROM sandbox_charges WHERE key = $1 FOR UPDATE", key
    )
    return left


async def find_refund(connection: Connection, key: str) -> bool | None:
    """Whether a refund was given; None when its key never came."""
    done: bool | None = await connection.fetchval("SELECT done FROM sandbox_refunds WHERE key = $1", key)
    return done


async def insert_refund(
    connection: Connection, key: str, charge_key: str, amount: Money, now: datetime, *, done: bool
) -> None:
    """Write the answer to a refund of a locked charge, and take what was given off the charge."""
    await connection.execute(
        "INSERT INTO sandbox_refunds (key, charge_key, amount_minor, done, create_time) VALUES ($1, $2, $3, $4, $5)",
        key,
        charge_key,
        amount.amount_minor,
        done,
        now,
    )
    if done:
        await connection.execute(
            "UPDATE sandbox_charges SET refunded_amount_minor = refunded_amount_minor + $2 WHERE key = $1",
            charge_key,
            amount.amount_minor,
        )
