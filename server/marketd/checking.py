"""Every invariant of the data in one list, checked on one snapshot: what `marketd check` runs, and every fault test.

The rules live in the slices' `invariants.py`; here is only which there are, under the numbers that the documentation
gives them. What needs more than the database (that an acknowledged order exists) is the tests' own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypedDict

import asyncpg

from marketd.delivery import invariants as delivery
from marketd.inventory import invariants as inventory
from marketd.kernel import invariants as kernel
from marketd.kernel.database import Connection
from marketd.payment import invariants as payment
from marketd.tracking import invariants as tracking

Finder: TypeAlias = Callable[[Connection], Awaitable[list[str]]]

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Invariant:
    """One rule; its finders give one sentence for each violation."""

    id: str
    title: str
    finders: tuple[Finder, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of one invariant found."""

    id: str
    title: str
    violations: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether it holds."""
        return not self.violations


class FindingDocument(TypedDict):
    """One invariant of `marketd check --json`."""

    id: str
    title: str
    ok: bool
    violations: list[str]


class CheckDocument(TypedDict):
    """All of `marketd check --json`."""

    ok: bool
    invariants: list[FindingDocument]


INVARIANTS: Final = (
    Invariant("I1", "Stock adds up and is never oversold", (inventory.violations,)),
    Invariant("I3", "A request has one answer", (kernel.once_only,)),
    Invariant("I4", "Orders, payments and refunds agree", (payment.violations,)),
    Invariant("I5", "Every event is handed on once, in order", (kernel.handed_on,)),
    Invariant("I6", "No session idles in a transaction", (kernel.none_idle_in_transaction,)),
    Invariant("I11", "Acknowledged positions are stored once", (tracking.check,)),
    Invariant("I12", "Orders and deliveries agree", (delivery.violations,)),
)


async def check(connection: Connection) -> list[Finding]:
    """Check everything on one snapshot, so a busy server shows no half of a change as a violation."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        return [
            Finding(
                invariant.id,
                invariant.title,
                tuple([violation for finder in invariant.finders for violation in await finder(connection)]),
            )
            for invariant in INVARIANTS
        ]


async def check_database(url: str) -> list[Finding]:
    """The same on a connection of its own. Raises OSError and asyncpg's errors when the database is away."""
    connection: Connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        return await check(connection)
    finally:
        await connection.close()


def document(findings: list[Finding]) -> CheckDocument:
    """The findings as `marketd check --json` prints them."""
    return {
        "ok": all(finding.is_ok for finding in findings),
        "invariants": [
            {
                "id": finding.id,
                "title": finding.title,
                "ok": finding.is_ok,
                "violations": list(finding.violations),
            }
            for finding in findings
        ],
    }
