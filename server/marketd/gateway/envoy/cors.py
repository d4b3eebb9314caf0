"""Which web pages may call from a browser. Tokens travel in metadata alone, so no credentials are let."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import typed
from marketd.gateway.gateway import Gateway

_REQUEST_HEADERS: Final = (
    "authorization",
    "content-type",
    "accept",
    "accept-language",
    "grpc-timeout",
    "idempotency-key",
    "x-grpc-web",
    "x-request-id",
    "x-user-agent",
)
_RESPONSE_HEADERS: Final = (
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "deprecated",
    "etag",
    "replayed",
    "retry-after",
    "x-request-id",
)


def cors(gateway: Gateway) -> dict[str, Any] | None:
    """The policy of every route, or None where no page of another origin may call."""
    if not gateway.origins:
        return None
    return typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[
            {"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in gateway.origins
        ],
        allow_methods="GET, POST, PUT, PATCH, DELETE",
        allow_headers=", ".join(_REQUEST_HEADERS),
        expose_headers=", ".join(_RESPONSE_HEADERS),
        max_age="7200",
    )
