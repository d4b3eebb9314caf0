"""What a connection asks the server about types: PostgreSQL's own once a process, everybody else's always."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from marketd.kernel.db import driver
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock

ID = UUID(int=7)
OWN_ARRAYS = "SELECT $1::uuid[] AS ids, ARRAY(SELECT ROW(7, 'x')) AS rows, int4range(1, 3) AS range"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The types that the server was asked for, in a process that knows none yet."""
    asked: list[set[int]] = []
    ask: Any = asyncpg.Connection._introspect_types  # type: ignore[attr-defined] # not in its stubs

    async def counted(self: Any, typeoids: Iterable[int], timeout: float | None) -> Any:
        asked.append(set(typeoids))
        return await ask(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", counted)
    monkeypatch.setattr(driver, "_known", {})
    return asked


async def fetch(url: str, *statements: str) -> list[Any]:
    """The first row of each, over a connection of its own as the marketplace opens it."""
    engine = create_engine(url, pool_size=1)
    tx = Transactor(engine, SystemClock())
    try:
        return await tx.read(lambda unit: _each(unit.connection, statements))
    finally:
        await engine.dispose()


async def _each(connection: Any, statements: Iterable[str]) -> list[Any]:
    return [await connection.fetchrow(each, *([[ID]] if "$1" in each else [])) for each in statements]


async def test_a_second_connection_reads_arrays_without_asking_what_they_are(
    database_url: str, asked: list[set[int]]
) -> None:
    first = await fetch(database_url, OWN_ARRAYS)
    assert len(asked) == 1
    again = await fetch(database_url, OWN_ARRAYS)
    assert len(asked) == 1
    assert first == again
    assert (first[0]["ids"], [tuple(row) for row in first[0]["rows"]]) == ([ID], [(7, "x")])
    assert first[0]["range"] == asyncpg.Range(1, 3)
    # Half of it is known: what is not is asked for, and nothing is lost.
    wider = await fetch(database_url, "SELECT $1::uuid[] AS ids, ARRAY[7::int8] AS numbers")
    assert len(asked) == 2
    assert dict(wider[0]) == {"ids": [ID], "numbers": [7]}


async def test_a_type_that_somebody_made_is_asked_for_on_each_connection(
    database_url: str, asked: list[set[int]]
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TYPE place AS (x int, names text[])")
    await connection.close()
    for times in (1, 2):
        (row,) = await fetch(database_url, "SELECT ROW(1, '{a,b}')::place AS place")
        assert tuple(row["place"]) == (1, ["a", "b"])
        assert len(asked) == times
    assert not [oid for oid in driver._known if oid >= 10_000]


async def test_a_statement_that_is_too_long_to_be_kept_is_read_as_well(
    database_url: str, asked: list[set[int]]
) -> None:
    for _ in range(2):
        (row,) = await fetch(database_url, f"SELECT $1::uuid[] AS ids {' ' * 20_000}")
        assert row["ids"] == [ID]
    assert len(asked) == 1
