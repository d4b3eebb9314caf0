"""The driver's connection, which asks for PostgreSQL's own types once a process instead of once a connection.

asyncpg knows most plain types by itself, but of arrays (`uuid[]`, `int4[]`, `record[]`) it asks each new connection
anew, in three statements of several milliseconds for each statement that brings a new one: most of what the first
calls on a connection wait for. Types below `_FIRST_OF_A_SERVER` are numbered by hand in PostgreSQL's sources and are
the same on every server; those that somebody made are asked for as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import asyncpg

if TYPE_CHECKING:
    _Driver = asyncpg.Connection[asyncpg.Record]
else:
    _Driver = asyncpg.Connection

_FIRST_OF_A_SERVER: Final = 10_000
_PARTS: Final = ("elemtype", "basetype", "range_subtype")
# Tells the driver that no statement went out, so what it has prepared still stands.
_NOTHING_ASKED: Final = SimpleNamespace(name="-")

_known: Final[dict[int, asyncpg.Record]] = {}


class DriverConnection(_Driver):
    """A connection for `asyncpg.connect(connection_class=…)`."""

    # The driver calls this for what it cannot decode yet. Were it renamed, connections would ask as they always did.
    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:
        wanted = list(typeoids)
        if all(oid in _known for oid in wanted):
            return [row for oid in wanted for row in _with_parts(oid)], _NOTHING_ASKED
        rows, statement = await super()._introspect_types(wanted, timeout)  # type: ignore[misc] # not in its stubs
        for row in rows:  # parts come before what is made of them
            if (
                row["oid"] < _FIRST_OF_A_SERVER
                and not row["attrtypoids"]
                and all(part in _known for part in _parts(row))
            ):
                _known[row["oid"]] = row
        return rows, statement


def _parts(row: asyncpg.Record) -> list[int]:
    return [row[name] for name in _PARTS if row[name]]


def _with_parts(oid: int) -> Iterator[asyncpg.Record]:
    row = _known[oid]
    for part in _parts(row):
        yield from _with_parts(part)
    yield row
