"""The idempotency key of a request: who, which method, which request id, and a fingerprint of what was asked.

The edge only derives it. The transactor stores it with the effect, in the effect's own transaction.
"""

from __future__ import annotations

import hmac
from typing import Any

from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.transport.rules import Idempotency, Rule


def once_key(rule: Rule, caller: Caller, message: Any, secret: bytes) -> OnceKey | None:
    """The key of this request; None when the method takes a request id only as it likes, and none was given.

    The fingerprint covers a deterministic re-serialization, so equal requests are equal whatever order a client's
    library wrote their fields and map entries in. It is an HMAC, so the stored value says nothing about the request.
    """
    request_id: str = message.request_id
    if not request_id:
        if rule.idempotency is Idempotency.KEY_REQUIRED:
            raise ValidationFailed(
                FieldViolation(
                    "request_id", "must be given: a UUID that you make, the same again when you repeat the call"
                )
            )
        return None
    # Ids are compared as UUIDs: the same one in capitals is the same request.
    message.request_id = request_id = request_id.lower()
    content = rule.method.encode() + b"\0" + message.SerializeToString(deterministic=True)
    return OnceKey(caller.key, rule.method, request_id, hmac.digest(secret, content, "sha256"))
