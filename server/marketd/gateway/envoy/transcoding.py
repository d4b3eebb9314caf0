"""REST: JSON at the paths of the contract's annotations becomes a call of gRPC, and its answer JSON again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marketd.gateway.envoy.names import TRANSCODER, extension
from marketd.gateway.gateway import Gateway

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Of one answer in JSON, which is longer than it was: a message has at most the 4 MiB that clients of gRPC take."""


def transcoder(gateway: Gateway, services: Sequence[str]) -> dict[str, Any]:
    """The filter for the methods of these services that have a path."""
    return extension(
        TRANSCODER,
        "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(gateway.descriptors),
        services=list(services),
        # The route is chosen by the path that was asked for, not by the rpc's.
        match_incoming_request_route=True,
        convert_grpc_status=True,
        # A space in a query may be written as forms do.
        query_param_unescape_plus=True,
        print_options={"always_print_primitive_fields": True, "stream_newline_delimited": True},
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=gateway.upload_bytes,
        max_response_body_size=MAX_ANSWER_BYTES,
    )
