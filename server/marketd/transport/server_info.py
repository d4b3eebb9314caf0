"""ServerService: what the server is and what it takes, as it was put together. It knows no slice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from marketplace.server.v1 import server_service_pb2 as pb
from marketplace.server.v1 import server_service_pb2_grpc

from marketd import __version__
from marketd.config import Settings
from marketd.kernel.call.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_BYTES, MAX_PAGE_SIZE
from marketd.kernel.events.watch import BEAT_SECONDS, RESUME_LIFETIME
from marketd.kernel.values.money import minor_digits
from marketd.transport.deadlines import UNARY_SECONDS, UPLOAD_SECONDS
from marketd.transport.descriptors import descriptor_set
from marketd.transport.server import MAX_METADATA_BYTES, ServerOptions
from marketd.transport.validation import MAX_LIST_ITEMS, MAX_REQUEST_BYTES


class ServerInfoServicer(server_service_pb2_grpc.ServerServiceServicer):
    """marketplace.server.v1.ServerService: one answer, made when the server is put together."""

    def __init__(
        self, services: Iterable[str], settings: Settings, options: ServerOptions, limits: Mapping[str, int]
    ) -> None:
        """services: the full names of what is served. limits: those of slices, by their names in ServerLimits."""
        info = pb.ServerInfo(
            version=__version__,
            contract_digest=contract_digest(services),
            currency_code=settings.currency,
            currency_digits=minor_digits(settings.currency),
            limits=_limits(settings, options, limits),
            demo=settings.demo,
        )
        self._answer = pb.GetServerInfoResponse(server_info=info)

    async def GetServerInfo(  # noqa: N802 - the contract's name
        self, request: pb.GetServerInfoRequest, context: Any
    ) -> pb.GetServerInfoResponse:
        return self._answer


def contract_digest(services: Iterable[str]) -> str:
    """The SHA-256 of the contract of these services, in hexadecimal: of what `marketd descriptors` writes."""
    return hashlib.sha256(descriptor_set(services).SerializeToString(deterministic=True)).hexdigest()


def _limits(settings: Settings, options: ServerOptions, of_slices: Mapping[str, int]) -> pb.ServerLimits:
    limits = pb.ServerLimits(
        max_message_bytes=options.max_receive_bytes,
        max_metadata_bytes=MAX_METADATA_BYTES,
        encodings=["identity"],
        max_connection_calls=options.max_streams_per_connection,
        min_ping_interval=_seconds(options.ping_interval_seconds),
        connection_idle_duration=_seconds(options.connection_idle_seconds),
        connection_age_duration=_seconds(options.connection_age_seconds),
        max_request_bytes=MAX_REQUEST_BYTES,
        max_list_items=MAX_LIST_ITEMS,
        default_page_size=DEFAULT_PAGE_SIZE,
        max_page_size=MAX_PAGE_SIZE,
        max_page_bytes=MAX_PAGE_BYTES,
        max_call_duration=_seconds(UNARY_SECONDS),
        max_upload_duration=_seconds(UPLOAD_SECONDS),
        max_address_calls=options.bounds.unary[1],
        max_address_streams=options.bounds.streams[1],
        max_account_streams=options.bounds.streams_of_account,
        heartbeat_interval=_seconds(BEAT_SECONDS),
        resume_duration=_span(RESUME_LIFETIME),
        request_id_duration=_span(settings.request_id_lifetime),
    )
    for name, limit in of_slices.items():
        setattr(limits, name, limit)  # raises AttributeError for what the contract does not have
    return limits


def _seconds(seconds: float) -> Duration:
    return _span(timedelta(seconds=seconds))


def _span(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration
