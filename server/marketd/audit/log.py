"""The audit log: who did what to which thing, when, from where, with what outcome. This is what other slices ask of it.

Every call of a method whose rule says `audit: true` leaves an entry. The edge sees to that (transport/audit_trail.py):
it hands what it saw to the journal (journal.py). One thing the edge cannot do: make the entry of an effect certain. So
a use case with an effect writes its entry with `record`, in the effect's own transaction. The edge adds what no
transaction wrote: refusals, repeats, and whatever a use case forgot.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from marketd.audit import repository
from marketd.audit.call import Act, AuditedCall
from marketd.audit.changes import changes_between
from marketd.audit.values import AuditEntry, AuditFilter
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.work.sweeps import delete_old


async def record(
    uow: UnitOfWork,
    caller: Caller,
    resource_type: str,
    resource_id: UUID | str,
    comment: str = "",
    *,
    before: object | None = None,
    after: object | None = None,
    act: Act | None = None,
    refusal: Refusal | None = None,
) -> None:
    """Write the entry of an effect with the transaction that has it.

    `before` and `after` are the thing as it was and as it is, frozen dataclass values of one type: the entry keeps the
    fields that differ (changes.py says which never stand there). One of them is None when the thing was made or is
    gone; both when nothing is to be said of values.

    The method is the current call's; outside of calls (the command line) `act` names what was done. `refusal` is what
    the caller gets though something was done.
    """
    call = calls.current()
    done = AuditedCall(
        method=act or call.method,
        caller=caller,
        correlation_id=call.correlation_id,
        resource_type=resource_type,
        resource_id=str(resource_id),
        code="OK" if refusal is None else refusal.code.name,
        reason="" if refusal is None else refusal.reason.name,
        comment=comment,
        changes=changes_between(before, after),
    )
    await repository.insert(uow.connection, [AuditEntry.of_call(done, uow.now)])

    def written() -> None:
        call.audited = True

    uow.after_commit(written)


async def forget_values(uow: UnitOfWork, resource_type: str, resource_ids: Collection[UUID | str]) -> None:
    """Take the values out of all entries about these things; who did what and when stays. resource_ids: unique.

    For things whose person wants to be forgotten: values are names, phones and addresses.
    """
    await repository.forget_values(uow.connection, resource_type, [str(each) for each in resource_ids])


async def list_entries(
    unit: ReadUnit, wanted: AuditFilter, after: tuple[datetime, UUID] | None, limit: int
) -> list[AuditEntry]:
    """Entries by their times, that come after the (create_time, audit_entry_id) of the last one shown."""
    return await repository.list_page(unit.connection, wanted, after, limit)


async def delete_before(uow: UnitOfWork, keep: timedelta) -> int:
    """Delete one batch of entries that are older than `keep`; how many went."""
    return await delete_old(uow.connection, "audit_entries", "audit_entry_id", "create_time", uow.now - keep)
