"""Every SQL statement of the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from marketd.audit.changes import AuditChange
from marketd.audit.values import AuditEntry, AuditFilter
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Arrays, Columns, where

# ruff: noqa: S608 - every interpolated part is one of the constants here


def _changes(found: Sequence[Mapping[str, Any]]) -> tuple[AuditChange, ...]:
    return tuple(AuditChange(**each) for each in found)


def _changes_text(changes: Sequence[AuditChange]) -> str:
    return json.dumps([asdict(change) for change in changes], ensure_ascii=False) if changes else "[]"


_ENTRY = Columns(AuditEntry, readers={"changes": _changes})
_ENTRIES: Arrays[AuditEntry] = Arrays(
    {
        "audit_entry_id": "uuid",
        "create_time": "timestamptz",
        "actor_kind": "text",
        "actor_id": "uuid",
        "session_id": "uuid",
        "method": "text",
        "resource_type": "text",
        "resource_id": "text",
        "code": "text",
        "refusal_reason": "text",
        "comment": "text",
        "correlation_id": "text",
        "remote_address": "text",
        "changes": "jsonb",
    },
    writers={"changes": _changes_text},
)
_INSERT = (
    f"INSERT INTO audit_entries ({_ENTRIES.sql})"
    f" SELECT {_ENTRIES.select('e')} FROM unnest({_ENTRIES.places(1)}) AS e ({_ENTRIES.sql})"
    # The journal writes a batch again when its COMMIT got no answer.
    " ON CONFLICT (audit_entry_id) DO NOTHING"
)


async def insert(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Write the entries in one statement; one that is there already stays as it is. entries: 1..500."""
    await connection.execute(_INSERT, *_ENTRIES.of(entries))


async def forget_values(connection: Connection, resource_type: str, resource_ids: Sequence[str]) -> None:
    """Empty the changes of all entries about these things."""
    await connection.execute(
        "UPDATE audit_entries SET changes = '[]'"
        " WHERE resource_type = $1 AND resource_id = ANY($2) AND changes <> '[]'",
        resource_type,
        resource_ids,
    )


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
