"""What the database holds, as something that can be compared: to show that a repeated request changed nothing."""

from __future__ import annotations

import re
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


# None of those that stand in an id.
_NUMBER: Final = re.compile(r"(?<![\w-])\d+(?![\w-])")
_told: Final[dict[str, set[tuple[str, str]]]] = {}
"""By the database: what is wrong in it and has failed a test."""


async def assert_sound(url: str) -> None:
    """Every invariant of the data holds, but for what has failed another test of the same database.

    So what is broken fails the test that finds it first, and not every test after it.
    """
    findings = await check_database(url)
    told = _told.setdefault(url, set())
    broken: dict[str, list[str]] = {}
    for finding in findings:
        for violation in finding.violations:
            if (finding.number, _thing(violation)) not in told:
                broken.setdefault(finding.number, []).append(violation)
    told |= {(number, _thing(violation)) for number, violations in broken.items() for violation in violations}
    assert not broken, broken


def _thing(violation: str) -> str:
    """What is broken, whatever it comes to: so many pieces or minutes, which go on changing."""
    return _NUMBER.sub("#", violation)
