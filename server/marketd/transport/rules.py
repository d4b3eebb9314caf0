"""The words of a method's rule: who may call it and how the edge treats it. Where rules come from is access.py's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import Message

from marketd.kernel.call.caller import Role


class Kind(StrEnum):
    """The four shapes of an rpc."""

    UNARY = "UNARY"
    SERVER_STREAM = "SERVER_STREAM"
    CLIENT_STREAM = "CLIENT_STREAM"
    BIDI = "BIDI"

    @classmethod
    def of(cls, *, client_streams: bool, server_streams: bool) -> Kind:
        """The kind with these two directions streaming."""
        if client_streams:
            return cls.BIDI if server_streams else cls.CLIENT_STREAM
        return cls.SERVER_STREAM if server_streams else cls.UNARY


class Open(StrEnum):
    """Access that asks for no role."""

    PUBLIC = "PUBLIC"
    AUTHENTICATED = "AUTHENTICATED"


Access = Open | frozenset[Role]

NOT_SIGNED_IN = frozenset({Role.GUEST, Role.VIEWER})
"""The roles of a token for one thing, a cart or a delivery: nobody's account."""


class Idempotency(StrEnum):
    """What a method does with `request_id`."""

    NONE = "NONE"
    KEY_OPTIONAL = "KEY_OPTIONAL"
    KEY_REQUIRED = "KEY_REQUIRED"


class RateClass(StrEnum):
    """Which limit counts the call."""

    READ = "READ"
    WRITE = "WRITE"
    LOGIN = "LOGIN"
    CODE = "CODE"
    CHECKOUT = "CHECKOUT"
    UPLOAD = "UPLOAD"
    STREAM = "STREAM"
    ADMIN = "ADMIN"


class Stability(StrEnum):
    """How far callers may build on a method."""

    ALPHA = "ALPHA"
    BETA = "BETA"
    STABLE = "STABLE"


@dataclass(frozen=True, slots=True)
class Rule:
    """One method's rule. `method` is its path, such as `/marketplace.order.v1.OrderService/PlaceOrder`.

    A `vital` method (health) passes without token, limit or room, also while the server drains: whoever asks whether
    the server lives must get an answer when it is full. `unrepeatable` says why a method that writes takes no
    `request_id`, and is empty for all others; `replacement` is what to call instead of a deprecated method, such as
    `marketplace.order.v1.OrderService/PlaceOrder`, and empty for all others.
    """

    method: str
    access: Access
    idempotency: Idempotency
    rate_class: RateClass
    audit: bool
    kind: Kind
    request: type[Message]
    response: type[Message]
    vital: bool = False
    stability: Stability = Stability.STABLE
    unrepeatable: str = ""
    replacement: str = ""

    @property
    def required_roles(self) -> frozenset[Role]:
        """The roles of which a caller must hold one; none where anybody may call."""
        if isinstance(self.access, Open):
            return frozenset(Role) - NOT_SIGNED_IN if self.access is Open.AUTHENTICATED else frozenset()
        return self.access

    @property
    def access_names(self) -> list[str]:
        """The access as it is printed: `["PUBLIC"]`, `["AUTHENTICATED"]` or the roles."""
        return [str(self.access)] if isinstance(self.access, Open) else sorted(str(role) for role in self.access)
