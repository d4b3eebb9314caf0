"""Headers that HTTP allows and gRPC does not: the core of gRPC ends a call for one of them, so they stay here."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import METADATA, extension

_NO_KEY: Final = r":?[^:]*[^0-9a-z_.:-][^:]*"
"""A name with a character that no key of metadata has; those of HTTP/2's own begin with a colon."""
_OF_GRPC: Final = r"grpc-.*|.*-bin"
"""What the core itself reads: bytes in base64, and how messages travel, which is the gateway's to say."""


def no_keys() -> dict[str, Any]:
    """The mutation that drops what is no key of metadata."""
    return _removed(_NO_KEY)


def rest_metadata() -> dict[str, Any]:
    """The filter for calls by REST, which have nothing to say in gRPC's own headers; it is off on other routes."""
    return extension(
        METADATA,
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [_removed(_OF_GRPC)]},
    )


def _removed(regex: str) -> dict[str, Any]:
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": regex}}}}
