"""Between the values of imports and their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from google.protobuf.duration_pb2 import Duration
from marketplace.catalog.v1 import catalog_service_pb2, import_pb2

from marketd.catalog.convert import optional_id
from marketd.catalog.errors import UploadOutOfOrder
from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import RowError, RowReason, RowWarning
from marketd.catalog.imports.values import (
    ImportEvent,
    ImportOptions,
    ImportProgress,
    ImportReport,
    ImportSummary,
    OnError,
    ReasonCount,
    Severity,
)
from marketd.kernel.enums import EnumMap

_REASONS = EnumMap(RowReason, import_pb2.ImportRowReason)
_FORMATS = EnumMap(FileFormat, import_pb2.ImportFormat)
_ON_ERROR = EnumMap(OnError, import_pb2.ImportOnError)
_SEVERITIES = EnumMap(Severity, import_pb2.ImportSeverity)


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
        on_error=_ON_ERROR.optional_from_wire(message.on_error) or OnError.REJECT_ROWS,
    )


def _to_progress(progress: ImportProgress, bytes_received: int) -> import_pb2.ImportProgress:
    remaining = None
    if progress.remaining_seconds is not None:
        remaining = Duration()
        remaining.FromMilliseconds(round(progress.remaining_seconds * 1000))
    return import_pb2.ImportProgress(
        bytes_received=bytes_received,
        rows_read=progress.rows_read,
        rows_total=progress.rows_total or None,
        products_done=progress.products_done,
        products_total=progress.products_total or None,
        remaining_duration=remaining,
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


def _to_reason(told: ReasonCount) -> import_pb2.ImportReason:
    return import_pb2.ImportReason(
        severity=_SEVERITIES.to_wire(told.severity),
        reason=_REASONS.to_wire(told.reason),
        column=told.column or None,
        count=told.count,
        first_row=told.first_row,
        example=told.example,
    )


def _to_summary(summary: ImportSummary) -> import_pb2.ImportSummary:
    return import_pb2.ImportSummary(
        format=_FORMATS.to_wire(summary.format),
        dry_run=summary.dry_run,
        products_created=summary.products_created,
        products_updated=summary.products_updated,
        products_unchanged=summary.products_unchanged,
        products_rejected=summary.products_rejected,
        rows=summary.rows,
        rows_created=summary.rows_created,
        rows_updated=summary.rows_updated,
        rows_unchanged=summary.rows_unchanged,
        rows_warned=summary.rows_warned,
        rows_rejected=summary.rows_rejected,
        variants=summary.variants,
        images=summary.images,
        categories_created=summary.categories_created,
        brands_created=summary.brands_created,
        reasons=[_to_reason(told) for told in summary.reasons],
        unused_columns=[
            import_pb2.ImportUnusedColumn(name=column.name, filled_rows=column.filled_rows)
            for column in summary.unused_columns
        ],
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
    """What came of an import in one message: the answer to a small file, and what is kept of a streamed one."""
    return catalog_service_pb2.ImportProductsInlineResponse(
        summary=_to_summary(report.summary),
        row_errors=[_to_row_error(error) for error in report.errors],
        row_warnings=[_to_row_warning(warning) for warning in report.warnings],
    )


def told_again(kept: bytes) -> Iterator[catalog_service_pb2.ImportProductsResponse]:
    """The messages of a stream that ended before: out of what is kept of it, the summary at the end."""
    report = catalog_service_pb2.ImportProductsInlineResponse.FromString(kept)
    for error in report.row_errors:
        yield catalog_service_pb2.ImportProductsResponse(row_error=error)
    for warning in report.row_warnings:
        yield catalog_service_pb2.ImportProductsResponse(row_warning=warning)
    yield catalog_service_pb2.ImportProductsResponse(summary=report.summary)


def last_message(
    kept: catalog_service_pb2.ImportProductsInlineResponse | bytes,
) -> catalog_service_pb2.ImportProductsResponse:
    """The end of a stream: the message with its summary. kept: as bytes where it has a request id."""
    if isinstance(kept, bytes):
        kept = catalog_service_pb2.ImportProductsInlineResponse.FromString(kept)
    return catalog_service_pb2.ImportProductsResponse(summary=kept.summary)
