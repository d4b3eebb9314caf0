"""How long the server works for a call when the client does not say less."""

from __future__ import annotations

from marketd.transport.rules import Kind, RateClass, Rule

UNARY_SECONDS = 5.0
UPLOAD_SECONDS = 120.0
"""Of a file that is made into something, and may have to wait until it is its turn."""
UPLOAD_MESSAGE_SECONDS = 30.0
"""In which an upload in one message must have come."""
IMPORT_SECONDS = 600.0
"""Of whole files in either direction."""


def limit_seconds(rule: Rule) -> float | None:
    """The method's limit in seconds; None for watches, which end with the caller's token instead."""
    uploads = rule.rate_class is RateClass.UPLOAD
    match rule.kind:
        case Kind.UNARY:
            return UPLOAD_SECONDS if uploads else UNARY_SECONDS
        case Kind.CLIENT_STREAM:
            return UPLOAD_SECONDS
        case Kind.BIDI | Kind.SERVER_STREAM if rule.rate_class is not RateClass.STREAM:
            return IMPORT_SECONDS
        case _:
            return None
