"""What must hold of the data at any time, in one shape: a statement that finds what breaks it. Read-only.

The statements stand in the slices' `invariants.py`. What needs more than the database (that an acknowledged order
exists) is the tests' own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from marketd.kernel.db.database import Connection

STATEMENT_SECONDS: Final = 60
MOST_VIOLATIONS: Final = 20
"""So many of each rule are told."""

TITLES: Final[Mapping[str, str]] = {
    "I1": "Stock adds up and is never oversold",
    "I3": "A request has one effect and one answer",
    "I4": "Orders, payments and refunds agree",
    "I5": "Every event is handed on once, in order",
    "I6": "No session idles in a transaction",
    "I11": "Acknowledged positions are stored once",
    "I12": "Orders and deliveries agree",
    "I13": "Who has something to do can do it",
    "I14": "Pictures have their files and are kept while they are shown",
    "I15": "Search finds what is published, as it is",
    "I16": "Promo codes are used as often as they are counted",
    "I17": "Ratings are what published reviews come to, and reviews are of what was delivered",
}
"""The invariants by the numbers that the documentation gives them; each has one or more rules."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of the invariant `number`. `statement` finds (id, wrong): which thing breaks it, and how, as texts."""

    number: str
    rule: str
    statement: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of one invariant found."""

    number: str
    title: str
    violations: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether it holds."""
        return not self.violations


async def violations(connection: Connection, invariants: Iterable[Invariant]) -> list[str]:
    """A sentence for each thing that is wrong, at most MOST_VIOLATIONS of each rule; none when all is well."""
    found: list[str] = []
    for invariant in invariants:
        rows = await connection.fetch(
            f"SELECT id, wrong FROM ({invariant.statement}) broken LIMIT {MOST_VIOLATIONS}"  # noqa: S608 - constants
        )
        found += [f"{invariant.rule}: {row['id']} {row['wrong']}" for row in rows]
    return found


async def check(connection: Connection, invariants: Iterable[Invariant]) -> list[Finding]:
    """Check everything on one snapshot, so a busy server shows no half of a change as a violation."""
    rules = list(invariants)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        return [
            Finding(number, title, tuple(await violations(connection, [r for r in rules if r.number == number])))
            for number, title in TITLES.items()
        ]
