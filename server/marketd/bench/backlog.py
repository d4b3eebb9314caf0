"""A backlog as the load: so much work is written down and committed at once, and the load is over when all is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import grpc

from marketd.bench.clients import LoadFailed
from marketd.bench.work import Found
from marketd.kernel.db.database import Connection

LONGEST_SECONDS = 120.0

Step: TypeAlias = Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Backlog:
    """`fill` writes the backlog in a transaction that is open; `work_off` has it worked off and returns at its end."""

    dsn: str
    count: int
    fill: Step
    work_off: Step


async def run(given: Backlog, begin: Callable[[], object]) -> Found:
    """Write the backlog, call `begin`, commit, and wait until it is worked off. Raises LoadFailed when it never is."""
    connection = await asyncpg.connect(given.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await given.fill(connection)
        begin()
        begun = time.perf_counter()
        await transaction.commit()
        async with asyncio.timeout(LONGEST_SECONDS):
            await given.work_off(connection)
        return Found(given.count, time.perf_counter() - begun, ())
    except (TimeoutError, grpc.aio.AioRpcError) as failure:
        raise LoadFailed(f"the backlog was not worked off: {failure!r}") from None
    finally:
        await connection.close()
