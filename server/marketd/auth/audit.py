"""The audit log: who did what to which thing, when, from where, with what outcome.

Use cases behind rpcs whose rule says `audit: true` call `record` in their own transaction; a refusal rolls that back,
so it is written in another one: servicers wrap the call in `watched`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from marketd.kernel import call as calls
from marketd.kernel.caller import SYSTEM, Caller, Role
from marketd.kernel.ids import new_id
from marketd.kernel.refusals import Refusal
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import UnitOfWork

_log = structlog.get_logger(__name__)

T = TypeVar("T")

OK = "OK"


async def record(
    uow: UnitOfWork, caller: Caller, action: str, resource: str, outcome: str | Refusal = OK, detail: str = ""
) -> None:
    """Write one entry with this transaction (either dress).

    `action` is a verb such as `seller.approve`; `resource` is `<kind>/<id>`, or empty; `outcome` is OK or the refusal;
    `detail` is why, in the caller's words. No secrets, bodies or positions in any of them.
    """
    call = calls.current()
    kind, _, identifier = resource.partition("/")
    await uow.connection.execute(
        "INSERT INTO audit_entries (audit_entry_id, create_time, actor_kind, account_id, session_id, method, action,"
        " resource_type, resource_id, code, refusal_reason, comment, correlation_id, remote_address)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        new_id(),
        uow.now,
        _actor_kind(caller),
        caller.account_id,
        caller.session_id,
        call.method,
        action,
        kind,
        identifier,
        outcome.code.value if isinstance(outcome, Refusal) else outcome,
        outcome.reason.value if isinstance(outcome, Refusal) else "",
        detail,
        call.correlation_id,
        caller.address,
    )


async def watched(
    tx: Transactor, caller: Caller, action: str, resource: str, work: Awaitable[T], *, detail: str = ""
) -> T:
    """Await the work of an audited rpc; when it is refused, write that down before the refusal goes on."""
    try:
        return await work
    except Refusal as refusal:
        await _record_refusal(tx, caller, action, resource, refusal, detail)
        raise


async def _record_refusal(
    tx: Transactor, caller: Caller, action: str, resource: str, refusal: Refusal, detail: str
) -> None:
    try:
        await tx.run_bare("audit.refused", lambda uow: record(uow, caller, action, resource, refusal, detail))
    except Refusal as failure:
        # The caller is owed the first answer, also when there is no database left to note it in.
        _log.warning("audit_not_written", action=action, refused=refusal.reason.value, failure=failure.reason.value)


def _actor_kind(caller: Caller) -> str:
    if caller is SYSTEM:
        return "SYSTEM"
    if caller.has(Role.SERVICE):
        return "SERVICE"
    return "USER" if caller.account_id is not None else "ANONYMOUS"
