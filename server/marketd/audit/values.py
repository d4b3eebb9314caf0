"""What the audit log hands around."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.audit.call import AuditedCall
from marketd.audit.changes import AuditChange
from marketd.audit.model import ActorKind
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log; the fields are the columns of its table."""

    audit_entry_id: UUID
    create_time: datetime
    actor_kind: ActorKind
    actor_id: UUID | None
    session_id: UUID | None
    method: str
    resource_type: str
    resource_id: str
    code: str
    refusal_reason: str
    comment: str
    correlation_id: str
    remote_address: str
    changes: tuple[AuditChange, ...]

    @classmethod
    def of_call(cls, call: AuditedCall, now: datetime) -> AuditEntry:
        """A new entry that says what came of the call."""
        return cls(
            audit_entry_id=new_id(),
            create_time=now,
            actor_kind=_actor_kind(call.caller),
            actor_id=call.caller.user_id,
            session_id=call.caller.session_id,
            method=call.method,
            resource_type=call.resource_type,
            resource_id=call.resource_id,
            code=call.code,
            refusal_reason=call.reason,
            comment=call.comment,
            correlation_id=call.correlation_id,
            remote_address=call.caller.address,
            changes=call.changes,
        )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to list, and in what order; what is empty or None leaves nothing out.

    `create_time_before` is exclusive.
    """

    actor_ids: tuple[UUID, ...] = ()
    methods: tuple[str, ...] = ()
    resource_types: tuple[str, ...] = ()
    resource_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    refusal_reasons: tuple[str, ...] = ()
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    descending: bool = True


def _actor_kind(caller: Caller) -> ActorKind:
    if caller is SYSTEM:
        return ActorKind.SYSTEM
    if caller.has(Role.SERVICE):
        return ActorKind.SERVICE
    return ActorKind.USER if caller.user_id is not None else ActorKind.ANONYMOUS
