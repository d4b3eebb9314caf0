"""Shared buckets: many takers together get what one bucket holds, and no more."""

from __future__ import annotations

import asyncio

import pytest
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.transport.edge import buckets
from marketd.transport.edge.buckets import Asked, Got

# A token every thousand seconds: no test is slow enough to see one come back.
SLOW = 1000.0


async def take(tx: Transactor, *asked: Asked) -> dict[bytes, Got]:
    return await tx.run("test.take", lambda uow: buckets.take_tokens(uow.connection, asked))


async def test_a_new_bucket_is_full_and_gives_its_burst(tx: Transactor) -> None:
    assert await take(tx, Asked(b"k", SLOW, 5, 0, 3)) == {b"k": Got(3, 0.0)}
    assert await take(tx, Asked(b"k", SLOW, 5, 0, 1)) == {b"k": Got(1, 0.0)}
    last = (await take(tx, Asked(b"k", SLOW, 5, 0, 3)))[b"k"]
    assert last.granted == 1
    assert last.wait_seconds == pytest.approx(SLOW, abs=60)
    assert (await take(tx, Asked(b"k", SLOW, 5, 0, 1)))[b"k"].granted == 0


async def test_refused_calls_cost_nothing_and_spent_ones_count_even_beyond_the_burst(tx: Transactor) -> None:
    assert (await take(tx, Asked(b"k", SLOW, 2, 5, 2)))[b"k"].granted == 0
    first = (await take(tx, Asked(b"k", SLOW, 2, 0, 1)))[b"k"]
    again = (await take(tx, Asked(b"k", SLOW, 2, 0, 1)))[b"k"]
    assert first.granted == again.granted == 0
    assert first.wait_seconds == pytest.approx(4 * SLOW, abs=60)
    assert again.wait_seconds <= first.wait_seconds


async def test_a_bucket_refills_at_its_rate(tx: Transactor) -> None:
    quick = 0.02
    assert (await take(tx, Asked(b"k", quick, 2, 0, 2)))[b"k"].granted == 2
    wait = (await take(tx, Asked(b"k", quick, 2, 2, 0)))[b"k"].wait_seconds
    assert 0 < wait <= 3 * quick
    await asyncio.sleep(wait)  # the database's own clock; nothing else to wait for
    assert (await take(tx, Asked(b"k", quick, 2, 0, 1)))[b"k"].granted == 1


async def test_fifty_takers_at_once_share_one_bucket_and_none_deadlocks(tx: Transactor) -> None:
    async def one(number: int) -> int:
        # In both orders; the statement sorts.
        keys = [b"a", b"b"] if number % 2 else [b"b", b"a"]
        got = await take(tx, *(Asked(key, SLOW, 20, 0, 1) for key in keys))
        return got[b"a"].granted

    assert sum(await asyncio.gather(*(one(number) for number in range(50)))) == 20


async def test_the_sweep_deletes_full_buckets_only(tx: Transactor) -> None:
    await take(tx, Asked(b"full", 0.000001, 5, 0, 1), Asked(b"empty", SLOW, 5, 0, 1))
    assert await tx.run("test.sweep", buckets.sweep) == 1

    async def left(uow: UnitOfWork) -> list[bytes]:
        return [row["bucket_key"] for row in await uow.connection.fetch("SELECT bucket_key FROM rate_buckets")]

    assert await tx.run("test.left", left) == [b"empty"]
