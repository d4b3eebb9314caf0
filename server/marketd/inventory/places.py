"""The resume tokens of watches of several stocks: a number for each."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.tokens import SignedToken
from marketd.kernel.events.watch import OF_NO_USE, RESUME_LIFETIME, TOO_OLD
from marketd.kernel.values.clock import Clock

Places: TypeAlias = tuple[int, ...]
"""The number of the last event told of each stock, in the order of the ids."""
_SECONDS: Final = struct.Struct(">I")


class PlaceTokens:
    """Makes and reads the tokens, bound to the variants and to who watches them. variant_ids: sorted, each once."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._tokens = SignedToken(secret, "stock-watch")
        self._clock = clock

    def token(self, caller: Caller, variant_ids: Sequence[UUID], places: Places) -> str:
        """The token of a place."""
        body = _SECONDS.pack(self._now()) + _layout(variant_ids).pack(*places)
        return self._tokens.issue(body, _context(caller, variant_ids)).decode("ascii")

    def after(self, caller: Caller, variant_ids: Sequence[UUID], token: str) -> Places | None:
        """The place to go on after: None without a token, all OF_NO_USE for one that is not ours, all TOO_OLD."""
        if not token:
            return None
        body = self._tokens.read(token, _context(caller, variant_ids))
        layout = _layout(variant_ids)
        if body is None or len(body) != _SECONDS.size + layout.size:
            return (OF_NO_USE,) * len(variant_ids)
        (issued,) = _SECONDS.unpack_from(body)
        if self._now() - issued > RESUME_LIFETIME.total_seconds():
            return (TOO_OLD,) * len(variant_ids)
        return layout.unpack_from(body, _SECONDS.size)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _layout(variant_ids: Sequence[UUID]) -> struct.Struct:
    # Four bytes each: a token of a hundred stocks has 600 characters, and a stock two thousand million changes.
    return struct.Struct(f">{len(variant_ids)}i")


def _context(caller: Caller, variant_ids: Sequence[UUID]) -> bytes:
    return caller.key.encode() + b"".join(variant_id.bytes for variant_id in variant_ids)
