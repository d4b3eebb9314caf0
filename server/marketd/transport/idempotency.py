"""The idempotency key of a request: who, which method, which request id, and a fingerprint of what was asked.

The edge only derives it. The transactor stores it with the effect, in the effect's own transaction. The request id
comes in the request, or in the header `idempotency-key`, which is how HTTP clients are used to give it.
"""

from __future__ import annotations

import hmac
import re
from typing import Any, Final
from uuid import UUID, uuid5

from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.transport.rules import Idempotency, Rule

HEADER: Final = "idempotency-key"
_FIELD: Final = "request_id"
_MOST_CHARACTERS: Final = 128
MISSING: Final = (
    f"must be given, here or as the header {HEADER}: a UUID that you make, the same again when you repeat the call"
)
_PRINTABLE: Final = re.compile(rf"[ -~]{{1,{_MOST_CHARACTERS}}}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NAMESPACE: Final = UUID("6f1c1d0e-5a7b-5c1e-9d5e-3b0c2c8f4a11")


def request_id_of(value: str, caller: Caller) -> str:
    """The request id that the header's value stands for: a UUID is one, and any other text of the caller's makes one.

    The quotes in which the header's draft standard writes it do not count. Raises ValidationFailed for no text of 1 to
    128 printable characters.
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if _PRINTABLE.fullmatch(value) is None:
        raise ValidationFailed(
            FieldViolation(_FIELD, f"must have 1 to {_MOST_CHARACTERS} printable characters in the header {HEADER}")
        )
    if _UUID.fullmatch(value):
        return value.lower()
    # Words are easily chosen twice. Of those whom nobody knows, the address at least tells strangers apart.
    is_known = caller.user_id is not None or caller.guest_cart_id is not None
    who = caller.key if is_known else f"{caller.key} {caller.address}"
    return str(uuid5(_NAMESPACE, f"{who}\0{value}"))


def give(message: Any, request_id: str) -> FieldViolation | None:
    """Put the header's request id into the request; says what is wrong when the request has another one already."""
    given: str = message.request_id
    if given and given.lower() != request_id:
        return FieldViolation(_FIELD, f"must be the same as in the header {HEADER}, or stand in one of the two only")
    message.request_id = request_id
    return None


def once_key(rule: Rule, caller: Caller, message: Any, secret: bytes) -> OnceKey | None:
    """The key of this request; None when the method takes a request id only as it likes, and none was given.

    The fingerprint covers a deterministic re-serialization, so equal requests are equal whatever order a client's
    library wrote their fields and map entries in. It is an HMAC, so the stored value says nothing about the request.
    """
    request_id: str = message.request_id
    if not request_id:
        if rule.idempotency is Idempotency.KEY_REQUIRED:
            raise ValidationFailed(FieldViolation(_FIELD, MISSING))
        return None
    # Ids are compared as UUIDs: the same one in capitals is the same request.
    message.request_id = request_id = request_id.lower()
    content = rule.method.encode() + b"\0" + message.SerializeToString(deterministic=True)
    return OnceKey(caller.key, rule.method, request_id, hmac.digest(secret, content, "sha256"))
