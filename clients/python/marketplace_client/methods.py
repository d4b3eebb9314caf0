"""What the contract says of each method, read from the descriptors: what may be repeated, and how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

_FILES: tuple[FileDescriptor, ...] = (
    auth_service_pb2.DESCRIPTOR,
    user_service_pb2.DESCRIPTOR,
    seller_service_pb2.DESCRIPTOR,
    inventory_service_pb2.DESCRIPTOR,
    catalog_service_pb2.DESCRIPTOR,
    cart_service_pb2.DESCRIPTOR,
    payment_service_pb2.DESCRIPTOR,
    order_service_pb2.DESCRIPTOR,
    courier_service_pb2.DESCRIPTOR,
    delivery_service_pb2.DESCRIPTOR,
    tracking_service_pb2.DESCRIPTOR,
)

# A little more than the server gives itself (5 s, 30 s), so that its own answer arrives instead of a local one.
_UNARY_SECONDS = 10.0
_UPLOAD_SECONDS = 35.0
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


@dataclass(frozen=True)
class MethodFacts:
    """What a client needs to know of a method. `timeout_seconds` is None for a stream that may last."""

    path: str
    service: str
    name: str
    repetition: Repetition
    timeout_seconds: float | None


def _facts(method: MethodDescriptor) -> MethodFacts:
    service = method.containing_service.full_name
    path = f"/{service}/{method.name}"
    rule = method.GetOptions().Extensions[policy_pb2.rule]
    if "request_id" in method.input_type.fields_by_name and not method.client_streaming:
        repetition = Repetition.KEYED
    elif rule.rate_class == policy_pb2.RATE_CLASS_READ or path in _REPEATABLE:
        repetition = Repetition.SAFE
    else:
        repetition = Repetition.UNSAFE
    upload = rule.rate_class == policy_pb2.RATE_CLASS_UPLOAD
    unary = not (method.client_streaming or method.server_streaming)
    timeout = (_UPLOAD_SECONDS, _LONG_UPLOAD_SECONDS) if upload else (_UNARY_SECONDS, None)
    return MethodFacts(path, service, method.name, repetition, timeout[0] if unary else timeout[1])


def _all() -> Mapping[str, MethodFacts]:
    found = [
        _facts(method) for file in _FILES for service in file.services_by_name.values() for method in service.methods
    ]
    return MappingProxyType({facts.path: facts for facts in found})


METHODS: Mapping[str, MethodFacts] = _all()
"""The facts of every method by its path."""
