"""Between the marketplace's books and marketplace.admin.v1."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from google.rpc import code_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketplace.admin.v1 import admin_service_pb2
from marketplace.errors.v1 import error_reason_pb2
from marketplace.type.v1 import audit_pb2

from marketd.audit.call import AuditedWords
from marketd.audit.model import ActorKind
from marketd.audit.values import AuditEntry, AuditFilter
from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.wire import from_interval, to_timestamp

ACTOR_KINDS = EnumMap(ActorKind, audit_pb2.ActorKind)
# Entries are kept for years, by name: also a reason that this version does not know any more, which is then unsaid.
_REASON = "ERROR_REASON_"
_REASONS = {name.removeprefix(_REASON): number for name, number in error_reason_pb2.ErrorReason.items()}


def from_list_audit_entries(request: admin_service_pb2.ListAuditEntriesRequest, audited: AuditedWords) -> AuditFilter:
    """The filter and the order; what was not given leaves nothing out.

    Raises ValidationFailed for methods and kinds of things that are not `audited`.
    """
    create_time_from, create_time_before = from_interval(request, "create_time")
    _check(request.methods, audited.methods, "methods", "must be a method, such as {}")
    _check(request.resource_types, audited.kinds, "resource_types", "must be a kind of thing, such as {}")
    return AuditFilter(
        actor_ids=tuple(UUID(actor_id) for actor_id in request.actor_ids),
        methods=tuple(request.methods),
        resource_types=tuple(request.resource_types),
        resource_ids=tuple(request.resource_ids),
        codes=tuple(code_pb2.Code.Name(code) for code in request.codes),
        refusal_reasons=tuple(
            error_reason_pb2.ErrorReason.Name(reason).removeprefix(_REASON) for reason in request.refusal_reasons
        ),
        create_time_from=create_time_from,
        create_time_before=create_time_before,
        descending=parse_order(request.order_by, ("create_time",), "create_time desc")[1],
    )


def to_audit_entry(entry: AuditEntry) -> audit_pb2.AuditEntry:
    """marketplace.type.v1.AuditEntry."""
    return audit_pb2.AuditEntry(
        audit_entry_id=str(entry.audit_entry_id),
        create_time=to_timestamp(entry.create_time),
        actor=audit_pb2.Actor(
            kind=ACTOR_KINDS.to_wire(entry.actor_kind),
            actor_id=str(entry.actor_id or ""),
            session_id=str(entry.session_id or ""),
        ),
        method=entry.method,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        code=code_pb2.Code.Value(entry.code),
        refusal_reason=_REASONS.get(entry.refusal_reason, error_reason_pb2.ERROR_REASON_UNSPECIFIED),
        comment=entry.comment,
        correlation_id=entry.correlation_id,
        remote_address=entry.remote_address,
        changes=[
            audit_pb2.AuditChange(field=change.field, before=change.before, after=change.after)
            for change in entry.changes
        ],
    )


def _check(given: Sequence[str], known: Collection[str], field: str, words: str) -> None:
    wrong = [index for index, one in enumerate(given) if one not in known]
    if wrong:
        example = words.format(min(known))
        raise ValidationFailed(*(FieldViolation(f"{field}[{index}]", example) for index in wrong))
