"""Between the values of imports and their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from marketplace.catalog.v1 import catalog_service_pb2, import_pb2

from marketd.catalog.convert import optional_id
from marketd.catalog.errors import UploadOutOfOrder
from marketd.catalog.imports.parsed import RowError, RowReason, RowWarning
from marketd.catalog.imports.values import ImportEvent, ImportOptions, ImportProgress, ImportReport, ImportSummary
from marketd.kernel.enums import EnumMap

_REASONS = EnumMap(RowReason, import_pb2.ImportRowReason)

MAX_INLINE_ERRORS = 1000


async def from_chunks(messages: AsyncIterator[catalog_service_pb2.ImportProductsRequest]) -> AsyncIterator[bytes]:
    """The bytes of a file in the messages behind its options. Raises UploadOutOfOrder for options that come again."""
    async for message in messages:
        if message.WhichOneof("payload") != "chunk":
            raise UploadOutOfOrder
        yield message.chunk


def from_options(message: import_pb2.ImportOptions) -> ImportOptions:
    """How to import."""
    return ImportOptions(
        seller_id=optional_id(message.seller_id),
        dry_run=message.dry_run,
        publish=message.publish,
        update_existing=message.update_existing,
        stop_on_error=message.on_error == import_pb2.IMPORT_ON_ERROR_REJECT_ALL,
    )


def _to_progress(progress: ImportProgress, bytes_received: int) -> import_pb2.ImportProgress:
    return import_pb2.ImportProgress(
        bytes_received=bytes_received,
        rows_read=progress.rows_read,
        rows_total=progress.rows_total or None,
        products_done=progress.products_done,
        products_total=progress.products_total or None,
    )


def _to_row_error(error: RowError) -> import_pb2.ImportRowError:
    return import_pb2.ImportRowError(
        row=error.row,
        column=error.column or None,
        reason=_REASONS.to_wire(error.reason),
        message=error.message,
        handle=error.handle or None,
    )


def _to_row_warning(warning: RowWarning) -> import_pb2.ImportRowWarning:
    return import_pb2.ImportRowWarning(
        row=warning.row,
        column=warning.column or None,
        reason=_REASONS.to_wire(warning.reason),
        message=warning.message,
        handle=warning.handle,
    )


def _to_summary(summary: ImportSummary) -> import_pb2.ImportSummary:
    return import_pb2.ImportSummary(
        products_created=summary.products_created,
        products_updated=summary.products_updated,
        products_unchanged=summary.products_unchanged,
        products_rejected=summary.products_rejected,
        variants=summary.variants,
        images=summary.images,
        rows=summary.rows,
        rows_rejected=summary.rows_rejected,
        categories_created=summary.categories_created,
        brands_created=summary.brands_created,
        dry_run=summary.dry_run,
    )


def to_event(event: ImportEvent, bytes_received: int) -> catalog_service_pb2.ImportProductsResponse:
    """One message of an import's stream."""
    match event:
        case ImportProgress():
            return catalog_service_pb2.ImportProductsResponse(progress=_to_progress(event, bytes_received))
        case RowError():
            return catalog_service_pb2.ImportProductsResponse(row_error=_to_row_error(event))
        case RowWarning():
            return catalog_service_pb2.ImportProductsResponse(row_warning=_to_row_warning(event))
        case ImportSummary():
            return catalog_service_pb2.ImportProductsResponse(summary=_to_summary(event))


def to_inline(report: ImportReport) -> catalog_service_pb2.ImportProductsInlineResponse:
    """What came of a small import."""
    return catalog_service_pb2.ImportProductsInlineResponse(
        summary=_to_summary(report.summary),
        row_errors=[_to_row_error(error) for error in report.errors[:MAX_INLINE_ERRORS]],
        row_warnings=[_to_row_warning(warning) for warning in report.warnings[:MAX_INLINE_ERRORS]],
    )
