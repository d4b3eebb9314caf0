"""Every SQL statement of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.audit.values import AuditEntry, AuditFilter
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where

# ruff: noqa: S608 - every interpolated part is one of the constants here
_ENTRY = Columns(AuditEntry)
_INSERT = (
    f"INSERT INTO audit_entries ({_ENTRY.sql})"
    " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::text[],"
    " $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])"
    # The journal writes a batch again when its COMMIT got no answer.
    " ON CONFLICT (audit_entry_id) DO NOTHING"
)


async def insert(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Write the entries in one statement; one that is there already stays as it is. entries: 1..500."""
    await connection.execute(_INSERT, *([getattr(entry, name) for entry in entries] for name in _ENTRY.names))


async def list_page(
    connection: Connection, wanted: AuditFilter, after: tuple[datetime, UUID] | None, limit: int
) -> list[AuditEntry]:
    """Entries by their times, that come after the (create_time, audit_entry_id) of the last one shown."""
    conditions: list[str] = []
    arguments = Arguments()
    for column, values in _lists(wanted):
        if values:
            conditions.append(f"{column} = ANY({arguments.add(list(values))})")
    if wanted.create_time_from is not None:
        conditions.append(f"create_time >= {arguments.add(wanted.create_time_from)}")
    if wanted.create_time_before is not None:
        conditions.append(f"create_time < {arguments.add(wanted.create_time_before)}")
    past, way = ("<", "DESC") if wanted.descending else (">", "ASC")
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        conditions.append(f"(create_time, audit_entry_id) {past} ({key})")
    size = arguments.add(limit)
    rows = await connection.fetch(
        f"SELECT {_ENTRY.sql} FROM audit_entries{where(conditions)}"
        f" ORDER BY create_time {way}, audit_entry_id {way} LIMIT {size}",
        *arguments,
    )
    return _ENTRY.values(rows)


def _lists(wanted: AuditFilter) -> list[tuple[str, Sequence[object]]]:
    return [
        ("actor_id", wanted.actor_ids),
        ("method", wanted.methods),
        ("resource_type", wanted.resource_types),
        ("resource_id", wanted.resource_ids),
        ("code", wanted.codes),
        ("refusal_reason", wanted.refusal_reasons),
    ]
