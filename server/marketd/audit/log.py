"""The audit log: who did what to which thing, when, from where, with what outcome.

Every call of a method whose rule says `audit: true` leaves an entry; that is the edge's doing (transport/witness.py),
which hands what it saw to the journal (audit_journal.py). One thing the edge cannot do: make the entry of an effect
certain. So a use case with an effect writes its entry with `record`, in the effect's own transaction, and the edge adds
what no transaction wrote: refusals, repeats, and whatever a use case forgot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.audit.call import AuditedCall
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class Entry:
    """A call with its place in the log."""

    audit_entry_id: UUID
    create_time: datetime
    call: AuditedCall


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry as it is read back."""

    audit_entry_id: UUID
    create_time: datetime
    actor_kind: str
    account_id: UUID | None
    session_id: UUID | None
    method: str
    resource_type: str
    resource_id: str
    code: str
    refusal_reason: str
    comment: str
    correlation_id: str
    remote_address: str


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to list; empty texts and None leave nothing out. `create_time_before` is exclusive."""

    account_id: UUID | None = None
    method: str = ""
    resource_type: str = ""
    resource_id: str = ""
    code: str = ""
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None


async def record(
    uow: UnitOfWork,
    caller: Caller,
    resource_type: str,
    resource_id: UUID | str,
    comment: str = "",
    *,
    method: str = "",
    refusal: Refusal | None = None,
) -> None:
    """Write the entry of an effect with the transaction that has it (either dress).

    The method is the current call's; outside of calls (the command line) `method` names what was done. `refusal` is
    what the caller gets though something was done.
    """
    call = calls.current()
    done = AuditedCall(
        method=method or call.method,
        caller=caller,
        correlation_id=call.correlation_id,
        resource_type=resource_type,
        resource_id=str(resource_id),
        code="OK" if refusal is None else refusal.code.name,
        reason="" if refusal is None else refusal.reason.name,
        comment=comment,
    )
    await write(uow.connection, [Entry(new_id(), uow.now, done)])

    def written() -> None:
        call.audited = True

    uow.after_commit(written)


async def write(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write the entries in one statement."""
    await connection.execute(
        "INSERT INTO audit_entries (audit_entry_id, create_time, actor_kind, account_id, session_id, method,"
        " resource_type, resource_id, code, refusal_reason, comment, correlation_id, remote_address)"
        " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::text[],"
        " $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])"
        # The journal writes a batch again whose COMMIT got no answer.
        " ON CONFLICT (audit_entry_id) DO NOTHING",
        [entry.audit_entry_id for entry in entries],
        [entry.create_time for entry in entries],
        [_actor_kind(entry.call.caller) for entry in entries],
        [entry.call.caller.account_id for entry in entries],
        [entry.call.caller.session_id for entry in entries],
        [entry.call.method for entry in entries],
        [entry.call.resource_type for entry in entries],
        [entry.call.resource_id for entry in entries],
        [entry.call.code for entry in entries],
        [entry.call.reason for entry in entries],
        [entry.call.comment for entry in entries],
        [entry.call.correlation_id for entry in entries],
        [entry.call.caller.address for entry in entries],
    )


async def list_entries(
    unit: ReadUnit, wanted: EntryFilter, after: tuple[datetime, UUID] | None, limit: int
) -> list[EntryView]:
    """Entries, the newest first, that come after the (create_time, audit_entry_id) of the last one shown."""
    conditions: list[str] = []
    arguments: list[object] = []

    def add(condition: str, *values: object) -> None:
        places = [f"${len(arguments) + number}" for number in range(1, len(values) + 1)]
        conditions.append(condition.format(*places))
        arguments.extend(values)

    for column in ("account_id", "method", "resource_type", "resource_id", "code"):
        value = getattr(wanted, column)
        if value:
            add(column + " = {}", value)
    if wanted.create_time_from is not None:
        add("create_time >= {}", wanted.create_time_from)
    if wanted.create_time_before is not None:
        add("create_time < {}", wanted.create_time_before)
    if after is not None:
        add("(create_time, audit_entry_id) < ({}, {})", *after)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    arguments.append(limit)
    rows = await unit.connection.fetch(
        "SELECT audit_entry_id, create_time, actor_kind, account_id, session_id, method, resource_type, resource_id,"  # noqa: S608 - constants
        f" code, refusal_reason, comment, correlation_id, remote_address FROM audit_entries{where}"
        f" ORDER BY create_time DESC, audit_entry_id DESC LIMIT ${len(arguments)}",
        *arguments,
    )
    return [_view(row) for row in rows]


def _view(row: Record) -> EntryView:
    return EntryView(**dict(row.items()))


def _actor_kind(caller: Caller) -> str:
    if caller is SYSTEM:
        return "SYSTEM"
    if caller.has(Role.SERVICE):
        return "SERVICE"
    return "USER" if caller.account_id is not None else "ANONYMOUS"
