"""What the database holds, as something that can be compared: to show that a repeated request changed nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg
from marketd.commands.check import check_database

# Who leads and what is planned move by themselves, and every call counts for the rate limits; everything else moves
# only when somebody does something.
_RESTLESS: Final = frozenset({"leases", "jobs", "rate_buckets"})


async def fingerprint(url: str) -> Mapping[str, tuple[int, str]]:
    """For each table the number of its rows and a digest of all of them, on one snapshot."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = await connection.fetch(
                "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
                " AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
            )
            books = {}
            for (name,) in names:
                if name in _RESTLESS:
                    continue
                row = await connection.fetchrow(
                    "SELECT count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '')"
                    f' FROM "{name}" AS t'
                )
                assert row is not None
                books[name] = (row[0], row[1])
            return books
    finally:
        await connection.close()


def changed(before: Mapping[str, tuple[int, str]], after: Mapping[str, tuple[int, str]]) -> dict[str, str]:
    """Which tables differ, and how their numbers of rows went."""
    return {
        name: f"{before[name][0]} -> {rows} rows" for name, (rows, digest) in after.items() if before[name][1] != digest
    }


async def assert_sound(url: str) -> None:
    """Every invariant of the data holds."""
    findings = await check_database(url)
    broken = {finding.number: finding.violations for finding in findings if not finding.is_ok}
    assert not broken, broken
