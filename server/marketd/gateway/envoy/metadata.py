"""Headers that HTTP allows and gRPC does not: the core of gRPC ends a call for one of them, so they stay here."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy.names import extension, typed

METADATA: Final = "envoy.filters.http.header_mutation"
_MESSAGES: Final = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"

NO_KEY: Final = r":?[^:]*[^0-9a-z_.:-][^:]*"
"""A name with a character that no key of metadata has; those of HTTP/2's own begin with a colon."""
NOT_OF_REST: Final = r"grpc-.*|.*-bin"
"""What the core itself reads: bytes in base64, and how messages travel, which is the gateway's to say."""


def metadata_filter() -> dict[str, Any]:
    """The filter; it stands before what makes calls of gRPC."""
    return extension(METADATA, _MESSAGES, mutations={"request_mutations": [_removed(NO_KEY)]})


def rest_metadata() -> dict[str, Any]:
    """For routes of REST, in addition."""
    return typed(f"{_MESSAGES}PerRoute", mutations={"request_mutations": [_removed(NOT_OF_REST)]})


def _removed(regex: str) -> dict[str, Any]:
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": regex}}}}
