"""What the contract says of each method, read from the descriptors: what may be repeated, how long it lasts, and
whether it needs to know who calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from marketplace.policy.v1 import policy_pb2

from marketplace_client.services import SERVICES

# A little more than the server gives itself (5 s, 30 s), so that its own answer arrives instead of a local one.
_UNARY_SECONDS = 10.0
_UPLOAD_SECONDS = 125.0
_LONG_UPLOAD_SECONDS = 615.0

# Repeating these changes nothing more although they are no reads: a successor token is given again, and a position is
# stored once by its number.
_REPEATABLE = frozenset(
    {
        "/marketplace.auth.v1.AuthService/RefreshTokens",
        "/marketplace.tracking.v1.TrackingService/ReportLocations",
    }
)


class Repetition(Enum):
    """Whether a call whose outcome is unknown may be sent again."""

    SAFE = "safe"
    """It reads, or repeating it changes nothing."""
    KEYED = "keyed"
    """Its request has a `request_id`: the same id gets the first answer."""
    UNSAFE = "unsafe"
    """Only when the server says that it did not begin."""


class TokenUse(Enum):
    """Whether a call carries the session's token; it follows from the method's rule, so no method is named here."""

    NEVER = "never"
    """Open to everybody, and no read: signing in, refreshing, the way back to a lost password."""
    WHERE_LIVE = "where live"
    """A read that is open to everybody: its owner sees more of a product or a shop that is not public yet."""
    NEEDED = "needed"
    """Everything else."""


@dataclass(frozen=True)
class MethodFacts:
    """What a client needs to know of a method. `timeout_seconds` is None for a stream that may last."""

    path: str
    service: str
    name: str
    repetition: Repetition
    timeout_seconds: float | None
    token_use: TokenUse = TokenUse.NEEDED
    updates: str = ""
    """The request's field with the resource that an update changes, whose etag says what it was made for."""


def _facts(method: MethodDescriptor) -> MethodFacts:
    service = method.containing_service.full_name
    path = f"/{service}/{method.name}"
    options = method.GetOptions()
    rule = options.Extensions[policy_pb2.rule]
    rate_class = rule.rate_class
    unary = not (method.client_streaming or method.server_streaming)
    # A GET changes nothing (RFC 9110). Lists for administrators are known by it alone: their rate class is ADMIN.
    reads = rate_class == policy_pb2.RATE_CLASS_READ or options.Extensions[annotations_pb2.http].HasField("get")
    if "request_id" in method.input_type.fields_by_name and not method.client_streaming:
        repetition = Repetition.KEYED
    elif unary and (reads or path in _REPEATABLE):
        repetition = Repetition.SAFE
    else:
        repetition = Repetition.UNSAFE
    upload = rate_class == policy_pb2.RATE_CLASS_UPLOAD
    if unary:
        seconds: float | None = _UPLOAD_SECONDS if upload else _UNARY_SECONDS
    else:
        seconds = None if rate_class == policy_pb2.RATE_CLASS_STREAM else _LONG_UPLOAD_SECONDS
    if rule.WhichOneof("access") != "public":
        token_use = TokenUse.NEEDED
    else:
        token_use = TokenUse.WHERE_LIVE if reads else TokenUse.NEVER
    return MethodFacts(path, service, method.name, repetition, seconds, token_use, _updated(method.input_type))


def _updated(request: Any) -> str:
    if "update_mask" not in request.fields_by_name:
        return ""
    messages = (field for field in request.fields if field.message_type is not None)
    return next((field.name for field in messages if "etag" in field.message_type.fields_by_name), "")


def _all() -> Mapping[str, MethodFacts]:
    found = [_facts(method) for service in SERVICES for method in service.descriptor.methods]
    return MappingProxyType({facts.path: facts for facts in found})


METHODS: Mapping[str, MethodFacts] = _all()
"""The facts of every method by its path."""
