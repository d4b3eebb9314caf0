"""Every invariant of the data in one list, checked on one snapshot: what `marketd check` runs, and every fault test.

The rules live in the slices' `invariants.py`; here is only which there are, under the numbers that the documentation
gives them. What needs more than the database (that an acknowledged order exists) is the tests' own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypedDict

import asyncpg

from marketd.delivery import invariants as delivery
from marketd.inventory import invariants as inventory
from marketd.kernel import invariants as kernel
from marketd.kernel.db.database import Connection
from marketd.order import invariants as order
from marketd.payment import invariants as payment
from marketd.tracking import invariants as tracking

Finder: TypeAlias = Callable[[Connection], Awaitable[list[str]]]

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 60


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


TITLES: Final[Mapping[str, str]] = {
    "I1": "Stock adds up and is never oversold",
    "I3": "A request has one effect and one answer",
    "I4": "Orders, payments and refunds agree",
    "I5": "Every event is handed on once, in order",
    "I6": "No session idles in a transaction",
    "I11": "Acknowledged positions are stored once",
    "I12": "Orders and deliveries agree",
}

# Which rule a finder's sentences break, unless a sentence names another one in front ("I1: …").
_FINDERS: Final[Sequence[tuple[str, Finder]]] = (
    ("I1", inventory.violations),
    ("I3", kernel.once_only),
    ("I4", order.violations),
    ("I4", payment.violations),
    ("I5", kernel.handed_on),
    ("I6", kernel.none_idle_in_transaction),
    ("I11", tracking.check),
    ("I12", delivery.violations),
)
_NAMED: Final = re.compile(r"(I\d+): ")


async def check(connection: Connection) -> list[Finding]:
    """Check everything on one snapshot, so a busy server shows no half of a change as a violation."""
    found: dict[str, list[str]] = {number: [] for number in TITLES}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        for number, finder in _FINDERS:
            for violation in await finder(connection):
                named = _NAMED.match(violation)
                found[named[1] if named else number].append(violation)
    return [Finding(number, title, tuple(found[number])) for number, title in TITLES.items()]


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
