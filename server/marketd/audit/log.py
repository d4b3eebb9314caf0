"""The audit log: who did what to which thing, when, from where, with what outcome.

Every call of a method whose rule says `audit: true` leaves an entry. The edge sees to that (transport/audit_trail.py)
and hands what it saw to the journal (journal.py). One thing the edge cannot do: make the entry of an effect
certain. So a use case with an effect writes its entry with `record`, in the effect's own transaction, and the edge adds
what no transaction wrote: refusals, repeats, and whatever a use case forgot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from marketd.audit.call import AuditedCall
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.sweeps import delete_old


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
    user_id: UUID | None
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

    user_id: UUID | None = None
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
    """Write the entry of an effect with the transaction that has it.

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
        "INSERT INTO audit_entries (audit_entry_id, create_time, actor_kind, user_id, session_id, method,"
        " resource_type, resource_id, code, refusal_reason, comment, correlation_id, remote_address)"
        " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::text[],"
        " $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])"
        # The journal writes a batch again whose COMMIT got no answer.
        " ON CONFLICT (audit_entry_id) DO NOTHING",
        [entry.audit_entry_id for entry in entries],
        [entry.create_time for entry in entries],
        [_actor_kind(entry.call.caller) for entry in entries],
        [entry.call.caller.user_id for entry in entries],
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


async def delete_before(uow: UnitOfWork, keep: timedelta) -> int:
    """Delete one batch of entries that are older than `keep`; how many went."""
    return await delete_old(uow.connection, "audit_entries", "audit_entry_id", "create_time", uow.now - keep)


_ENTRY = Columns(EntryView)


async def list_entries(
    unit: ReadUnit, wanted: EntryFilter, after: tuple[datetime, UUID] | None, limit: int
) -> list[EntryView]:
    """Entries, the newest first, that come after the (create_time, audit_entry_id) of the last one shown."""
    conditions: list[str] = []
    arguments = Arguments()
    for column in ("user_id", "method", "resource_type", "resource_id", "code"):
        value = getattr(wanted, column)
        if value:
            conditions.append(f"{column} = {arguments.add(value)}")
    if wanted.create_time_from is not None:
        conditions.append(f"create_time >= {arguments.add(wanted.create_time_from)}")
    if wanted.create_time_before is not None:
        conditions.append(f"create_time < {arguments.add(wanted.create_time_before)}")
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        conditions.append(f"(create_time, audit_entry_id) < ({key})")
    size = arguments.add(limit)
    rows = await unit.connection.fetch(
        f"SELECT {_ENTRY.sql} FROM audit_entries{where(conditions)}"  # noqa: S608 - constants
        f" ORDER BY create_time DESC, audit_entry_id DESC LIMIT {size}",
        *arguments,
    )
    return _ENTRY.values(rows)


def _actor_kind(caller: Caller) -> str:
    if caller is SYSTEM:
        return "SYSTEM"
    if caller.has(Role.SERVICE):
        return "SERVICE"
    return "USER" if caller.user_id is not None else "ANONYMOUS"
