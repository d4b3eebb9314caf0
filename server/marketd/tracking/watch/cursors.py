"""Resume tokens of WatchDelivery: where a stream stands, opaque to clients and bound to its delivery.

A token holds the number of the last event told, the sample time of the newest position, and when it was made. The
check sum is keyed, so what this marketplace did not make is told apart from what is merely old.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from uuid import UUID

from marketd.tracking.uplink.judge import MICROS

_LAYOUT = struct.Struct(">B16sQqI")
_VERSION = 1
_CHECK_BYTES = 8  # with it a token is a multiple of three bytes long: no padding in base64

MAX_AGE_SECONDS = 24 * 3600
NO_POSITION = -1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream stood. `sample_micros` is NO_POSITION before the first position."""

    seq: int
    sample_micros: int
    issue_seconds: int

    def is_too_old(self, now_micros: int) -> bool:
        """Whether more than 24 h have passed since it was made."""
        return now_micros // MICROS - self.issue_seconds > MAX_AGE_SECONDS


class Cursors:
    """Makes and reads tokens. `secret`: the same on every worker."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"track-cursor").digest()

    def issue(self, delivery_id: UUID, seq: int, sample_micros: int, now_micros: int) -> bytes:
        """The token as ASCII bytes, as it goes into a message."""
        body = _LAYOUT.pack(_VERSION, delivery_id.bytes, seq, sample_micros, now_micros // MICROS)
        return base64.urlsafe_b64encode(body + self._check(body))

    def read(self, token: str, delivery_id: UUID) -> Cursor | None:
        """The cursor in a token; None when it is not of this delivery or not ours."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, check = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        if len(body) != _LAYOUT.size or not hmac.compare_digest(check, self._check(body)):
            return None
        version, owner, seq, sample_micros, issued = _LAYOUT.unpack(body)
        if version != _VERSION or owner != delivery_id.bytes:
            return None
        return Cursor(seq, sample_micros, issued)

    def _check(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._key, digest_size=_CHECK_BYTES).digest()
