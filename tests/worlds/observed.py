"""An app on its socket that is called by any bytes, and whose tables are compared before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import grpc
from asyncpg.prepared_stmt import PreparedStatement
from google.protobuf.message import Message
from marketd import app as composition
from marketd.config import Settings
from marketd.process.process import App
from marketd.transport.access import AccessTable
from marketd.transport.own_rules import own_rules
from marketd.transport.rules import Kind, Rule

from tests.worlds.jobs import run_due
from tests.worlds.things import (
    Person,
)
from tests.worlds.wire import Outcome, Pairs, Wire

RULES: Final[Mapping[str, Rule]] = {
    rule.method: rule for rule in (*AccessTable.from_names(composition.SERVICES), *own_rules().values())
}
"""The access table of everything that is served, by path."""

_BYTES: Final = re.compile(r"\\{1,2}x((?:[0-9a-f]{2})+)")
_COUNTS: Final = frozenset({"rate_buckets"})
_BY_REQUEST: Final = {rule.request: rule for rule in AccessTable.from_names(composition.SERVICES)}


class ObservedApp:
    """The app, a wire to it and a look at its database. Its relay and jobs rest: they run when a test settles it."""

    def __init__(self, app: App, settings: Settings, wire: Wire, database: asyncpg.Connection) -> None:
        self.app = app
        self.settings = settings
        self.wire = wire
        self._database = database
        self._tables: list[str] = []
        self._look: dict[frozenset[str], PreparedStatement[asyncpg.Record]] = {}

    async def list_tables(self) -> None:
        """Learn which tables there are; before the first comparison."""
        tables = await self._database.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        self._tables = [row["name"] for row in tables]

    # -- calls

    async def send(
        self,
        method: str,
        *bodies: Message | bytes,
        by: Person | None = None,
        take: int | None = None,
        metadata: Pairs = (),
    ) -> Outcome:
        """Call a method by its path."""
        return await self.send_as(None if by is None else by.token, method, *bodies, take=take, metadata=metadata)

    async def send_as(
        self,
        token: str | None,
        method: str,
        *bodies: Message | bytes,
        take: int | None = None,
        metadata: Pairs = (),
    ) -> Outcome:
        """The same with a token of whatever worth, or none."""
        return await self.wire.send(RULES[method], bodies, token=token, take=take, metadata=metadata)

    async def ask(self, request: Message, by: Person | None = None) -> Outcome:
        """Call the unary method of the request."""
        return await self.send(_BY_REQUEST[type(request)].method, request, by=by)

    async def call(self, request: Message, by: Person | None = None) -> Any:
        """The same, which must succeed; the response."""
        rule = _BY_REQUEST[type(request)]
        assert rule.kind is Kind.UNARY
        outcome = await self.ask(request, by)
        assert outcome.code is grpc.StatusCode.OK, f"{rule.method}: {outcome}"
        return rule.response.FromString(outcome.answers[0])

    # -- the database

    @property
    def url(self) -> str:
        """The database's address."""
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    async def settle(self) -> None:
        """Do the background's work until nothing of it is left."""
        core = self.app.core
        while await core.relay.run_once() or await run_due(core.jobs):
            pass

    async def contents(self, *, without: frozenset[str] = frozenset()) -> dict[str, tuple[int, int]]:
        """Every table's rows as (how many, a sum over where each stands and who wrote it).

        Any insert, update or delete changes it, also one that writes what was there before. What the rate limits count
        is left out: every call counts there, whatever becomes of it.
        """
        if without not in self._look:
            parts = (
                f"SELECT '{name}' AS name, count(*) AS rows,"
                f" coalesce(sum(hashtidextended(ctid, xmin::text::bigint)), 0) AS mark FROM {name}"
                for name in self._tables
                if name not in without | _COUNTS
            )
            # So long a statement is not kept by the driver, and to plan it takes longer than to run it.
            self._look[without] = await self._database.prepare(" UNION ALL ".join(parts))
        rows = await self._look[without].fetch()
        return {row["name"]: (row["rows"], int(row["mark"])) for row in rows}

    async def texts(self) -> dict[str, str]:
        """Everything that stands in the database, as text by table; bytes also as what they say."""
        found = {}
        for name in self._tables:
            rows = await self._database.fetch(f"SELECT t::text AS row FROM {name} t")
            found[name] = "\n".join(_BYTES.sub(_said, row["row"]) for row in rows)
        return found

    async def value(self, statement: str, *arguments: object) -> Any:
        """One value out of the database."""
        return await self._database.fetchval(statement, *arguments)


def _said(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1]).decode("latin-1")


def written(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """The tables that were written, each with how many rows it gained."""
    return {name: after[name][0] - before[name][0] for name in after if after[name] != before.get(name)}
