"""AdminService: from messages to reads and back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.admin.v1 import admin_service_pb2, admin_service_pb2_grpc

from marketd.admin import convert
from marketd.audit import log
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import PageTokens, clamp_page_size
from marketd.kernel.db.transactor import Transactor

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """marketplace.admin.v1.AdminService."""

    def __init__(self, *, tx: Transactor, pages: PageTokens) -> None:
        self._tx = tx
        self._pages = pages

    async def ListAuditEntries(
        self, request: admin_service_pb2.ListAuditEntriesRequest, context: Context
    ) -> admin_service_pb2.ListAuditEntriesResponse:
        """Lists the audit log."""
        caller = calls.current_caller()
        wanted = convert.from_list_audit_entries(request)
        query = f"ListAuditEntries {wanted}"
        cursor, size = self._pages.read(request.page_token, query, caller.key), clamp_page_size(request.page_size)
        after = None if cursor is None else (datetime.fromisoformat(str(cursor[0])), UUID(str(cursor[1])))
        rows = await self._tx.read(lambda unit: log.list_entries(unit, wanted, after, size + 1))
        last = rows[size - 1] if len(rows) > size else None
        page = self._pages.page(
            rows,
            size,
            query,
            caller.key,
            None if last is None else (last.create_time.isoformat(), str(last.audit_entry_id)),
        )
        return admin_service_pb2.ListAuditEntriesResponse(
            audit_entries=[convert.to_audit_entry(entry) for entry in page.items],
            next_page_token=page.next_page_token,
        )
