"""Between the values of exports and their messages."""

from __future__ import annotations

from marketplace.catalog.v1 import catalog_service_pb2, export_pb2

from marketd.catalog.convert import optional_id, states_of
from marketd.catalog.exports.run import ExportEvent
from marketd.catalog.exports.values import ExportHeader, ExportOptions, ExportSummary


def from_request(request: catalog_service_pb2.ExportProductsRequest) -> ExportOptions:
    """What to export."""
    return ExportOptions(optional_id(request.seller_id), states_of(request.states))


def to_event(event: ExportEvent) -> catalog_service_pb2.ExportProductsResponse:
    """One message of an export's stream."""
    match event:
        case ExportHeader():
            header = export_pb2.ExportHeader(file_name=event.file_name, columns=event.columns)
            return catalog_service_pb2.ExportProductsResponse(header=header)
        case bytes():
            return catalog_service_pb2.ExportProductsResponse(chunk=event)
        case ExportSummary():
            return catalog_service_pb2.ExportProductsResponse(summary=_to_summary(event))


def _to_summary(summary: ExportSummary) -> export_pb2.ExportSummary:
    return export_pb2.ExportSummary(
        products=summary.products,
        variants=summary.variants,
        images=summary.images,
        rows=summary.rows,
        size=summary.size,
        sha256=summary.sha256,
        variants_left_out=summary.variants_left_out,
        products_left_out=summary.products_left_out,
        left_out_handles=summary.left_out_handles,
    )
