"""Between the marketplace's books and marketplace.admin.v1."""

from __future__ import annotations

from uuid import UUID

from marketplace.admin.v1 import admin_service_pb2
from marketplace.type.v1 import audit_pb2

from marketd.audit.model import ActorKind
from marketd.audit.values import AuditEntry, AuditFilter
from marketd.kernel.enums import EnumMap
from marketd.kernel.wire import from_timestamp, to_timestamp

ACTOR_KINDS = EnumMap(ActorKind, audit_pb2.ActorKind)


def from_list_audit_entries(request: admin_service_pb2.ListAuditEntriesRequest) -> AuditFilter:
    """The filter; what was not given leaves nothing out."""
    return AuditFilter(
        user_id=UUID(request.account_id) if request.account_id else None,
        method=request.method,
        resource_type=request.resource_type,
        resource_id=request.resource_id,
        code=request.code,
        create_time_from=(
            from_timestamp(request.create_time_from, "create_time_from")
            if request.HasField("create_time_from")
            else None
        ),
        create_time_before=(
            from_timestamp(request.create_time_before, "create_time_before")
            if request.HasField("create_time_before")
            else None
        ),
    )


def to_audit_entry(entry: AuditEntry) -> audit_pb2.AuditEntry:
    """marketplace.type.v1.AuditEntry."""
    return audit_pb2.AuditEntry(
        audit_entry_id=str(entry.audit_entry_id),
        create_time=to_timestamp(entry.create_time),
        actor=audit_pb2.Actor(
            kind=ACTOR_KINDS.to_wire(entry.actor_kind),
            account_id=str(entry.user_id or ""),
            session_id=str(entry.session_id or ""),
        ),
        method=entry.method,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        code=entry.code,
        refusal_reason=entry.refusal_reason,
        comment=entry.comment,
        correlation_id=entry.correlation_id,
        remote_address=entry.remote_address,
    )
