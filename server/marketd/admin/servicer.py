"""AdminService: from messages to reads and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marketplace.admin.v1 import admin_service_pb2, admin_service_pb2_grpc

from marketd.admin import convert
from marketd.audit import log
from marketd.audit.call import AuditedWords
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """marketplace.admin.v1.AdminService."""

    def __init__(self, *, pager: Pager, audited: AuditedWords) -> None:
        self._pager = pager
        self._audited = audited

    async def ListAuditEntries(
        self, request: admin_service_pb2.ListAuditEntriesRequest, context: Context
    ) -> admin_service_pb2.ListAuditEntriesResponse:
        wanted = convert.from_list_audit_entries(request, self._audited)
        page = await self._pager.list(
            request,
            calls.current_caller(),
            lambda unit, after, limit: log.list_entries(unit, wanted, after, limit),
            lambda entry: (entry.create_time, entry.audit_entry_id),
            convert.to_audit_entry,
        )
        return admin_service_pb2.ListAuditEntriesResponse(
            audit_entries=page.items, next_page_token=page.next_page_token
        )
